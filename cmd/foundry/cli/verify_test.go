package cli

import (
	"testing"

	"foundry/verify"

	"github.com/stretchr/testify/require"
)

// Failures are named in one line, so not all of many are.
func TestVerdictNamesTheFirstFew(t *testing.T) {
	row := func(kernel string) *verify.Row { return &verify.Row{Kernel: kernel, Format: "f16", Failure: "NaN"} }
	r := &verify.Report{Rows: []*verify.Row{row("a"), row("b"), row("c")}}
	require.EqualError(t, verdict(r), "verify: 3 of 3 rows failed: a f16 (NaN); b f16 (NaN); c f16 (NaN)")
	r.Rows = append(r.Rows, row("d"), row("e"))
	require.EqualError(t, verdict(r), "verify: 5 of 5 rows failed: a f16 (NaN); b f16 (NaN); c f16 (NaN); and 2 more")
	r = &verify.Report{Strangers: []string{"a", "b", "c", "d"}}
	require.EqualError(t, verdict(r), "verify: no row stands for a; b; c; and 1 more")
}
