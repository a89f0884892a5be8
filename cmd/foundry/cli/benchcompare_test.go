package cli

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A row that takes a tenth more ends a comparison with exit code 3, one that does not with
// 0; files that are none are named.
func TestCompareExitCodes(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	record := func(name string, level float64) string {
		dir := filepath.Join(t.TempDir(), name)
		require.NoError(t, os.Mkdir(dir, 0o700))
		for i := range 6 {
			var b strings.Builder
			b.WriteString("model,device,phase,variant,context,prompt,us\n")
			own := level * (1 + 0.003*r.NormFloat64())
			for range 8 {
				fmt.Fprintf(&b, "m,cpu,decode,default,64,8,%.3f\n", own*(1+0.003*r.NormFloat64()))
			}
			require.NoError(t, os.WriteFile(filepath.Join(dir, fmt.Sprint(i, ".csv")), []byte(b.String()), 0o600))
		}
		return dir
	}
	run := func(args ...string) (int, string, string) {
		var out, errs bytes.Buffer
		code := Main(t.Context(), append([]string{"bench", "compare"}, args...), IO{Out: &out, Err: &errs, Env: func(string) string { return "" }})
		return code, out.String(), errs.String()
	}
	a, same, more := record("a", 100), record("same", 100), record("more", 110)
	code, out, _ := run(a, "--", same)
	require.Zero(t, code)
	require.Contains(t, out, "same within 2 %")
	code, out, errs := run(a, "--", more)
	require.Equal(t, 3, code)
	require.Contains(t, out, "slower")
	require.Equal(t, "foundry: 1 of 1 rows are slower\n", errs)
	code, _, errs = run(a, "--", filepath.Join(a, "0.csv"))
	require.Equal(t, 1, code)
	require.Contains(t, errs, "at least 6")
	code, _, errs = run("/dev/zero", "--", a)
	require.Equal(t, 1, code)
	require.Contains(t, errs, "/dev/zero is larger than")
	code, _, _ = run(a)
	require.Equal(t, 2, code)
}
