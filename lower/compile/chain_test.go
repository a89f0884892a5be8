package compile

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"foundry/frontends/model"
)

// chain is the text of a graph of n elementwise operations, each of the result of the
// one before.
func chain(n int) string {
	var b strings.Builder
	b.WriteString("graph @g (T=1..4, P=0..0, S<=4) {\n  %0 = input \"x\" : f32[T, 64]\n")
	for i := range n {
		fmt.Fprintf(&b, "  %%%d = silu %%%d\n", i+1, i)
	}
	fmt.Fprintf(&b, "  return y=%%%d\n}\n", n)
	return b.String()
}

// A long chain costs in proportion to its length: these took minutes when it was the
// square, and more.
func TestLongChain(t *testing.T) {
	const n = 6000
	path := filepath.Join(t.TempDir(), "chain.fir")
	require.NoError(t, os.WriteFile(path, []byte(chain(n)), 0o600))
	m, err := model.OpenGraph(path)
	require.NoError(t, err)
	for variant, dispatches := range map[string]int{"unfused": n, "default": (n + 63) / 64} {
		began := time.Now()
		c, err := Model(m, Options{Variant: variant})
		require.NoError(t, err)
		require.Equal(t, dispatches, len(c.Entries[0].Nodes()))
		require.Less(t, time.Since(began), time.Minute, "variant %s", variant)
	}
}
