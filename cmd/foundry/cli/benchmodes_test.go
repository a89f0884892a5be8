package cli

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestBenchModesSayWhatIsWrong(t *testing.T) {
	for line, want := range map[string]string{
		"compile --short-contexts 12x -o x":          `"12x" is no number of tokens`,
		"compile --short-contexts 512 --fuel 3 -o x": "take one",
		"compile --short-contexts 8,8 -o x":          "two decode entries for 8 positions",
		"compile --short-contexts 9k -o x":           "a decode entry for 9216 positions, want 2 to",
		"bench --contexts 12x":                       `"12x" is no number of tokens`,
		"bench --contexts 2k --variants per-layer-6": "--variants has no place beside --contexts",
		"bench --contexts 2k --format csv":           "not as csv",
		"bench --contexts 2k --phase all":            "want one of decode, prefill, both",
		"bench --contexts 2k --reps 0":               "want at least 1",
		"bench --reps 0 --format benchstat":          "--reps 0 takes none",
		"bench --kernels --device ref":               "ref runs no kernels",
		"bench --kernels gate up":                    "unknown command",
		"bench gate":                                 "unknown command",
		"bench --kernels=":                           "--kernels names nothing; write --kernels alone for all",
		"bench --kernels gate --phase decode":        "--phase has no place beside --kernels",
		"bench --kernels --contexts 2z":              `"2z" is no number of tokens`,
		"bench --kernels --contexts 16 --prompt 2":   "behind --prompt tokens or behind --contexts, not both",
		"bench --kernels --chunk 1":                  "want at least 2 tokens",
		"bench --kernels --format csv":               "not as csv",
		"bench --contexts 16 --device ref":           "ref runs no kernels",
		"bench --contexts 16 --attention flesh":      `"flesh" does not exist`,
	} {
		s, _, errs := streams()
		require.NotZero(t, Main(context.Background(), words(line), s), line)
		require.Contains(t, errs.String(), want, line)
	}
	n, err := parseTokens("32k")
	require.NoError(t, err)
	require.Equal(t, 32768, n)
}
