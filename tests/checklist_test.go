package tests

import (
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// words are those of a command line without quotes within words.
var words = regexp.MustCompile(`"[^"]*"|\S+`)

// The commands of docs/metal.md for a person with a Mac: here those without a Mac's GPU run,
// and each that wants one is understood and says in one line what is missing.
func TestTenMinutesWithAMac(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join("..", "docs", "metal.md"))
	require.NoError(t, err)
	_, commands, found := strings.Cut(string(doc), "## Ten minutes with a Mac")
	require.True(t, found)
	t.Chdir(t.TempDir())
	ran, wanted := 0, 0
	for _, line := range strings.Split(commands, "\n") {
		line, _, _ = strings.Cut(line, "  #")
		_, command, ok := strings.Cut(line, "./foundry ")
		if !ok || !strings.HasPrefix(line, "    ") {
			continue
		}
		var args []string
		for _, w := range words.FindAllString(command, -1) {
			args = append(args, strings.Trim(w, `"`))
		}
		if !strings.Contains(command, "--device metal") {
			code, _, errs := foundryCmd(t, nil, args...)
			require.Zero(t, code, "%s: %s", command, errs)
			ran++
			continue
		}
		wanted++
		if runtime.GOOS == "darwin" {
			continue // TestConformanceOnMetal is what runs there
		}
		code, _, errs := foundryCmd(t, nil, args...)
		require.Equal(t, 1, code, command)
		require.Equal(t, "foundry: metal: this is no Mac; take --device cpu or cuda, or carry the bundle to a Mac\n", errs, command)
	}
	require.GreaterOrEqual(t, ran, 4)
	require.GreaterOrEqual(t, wanted, 7)
	require.NotEmpty(t, globbed(t, "plan5/kernels/*_matrices*.metal"), "the new path is compiled")
}

func globbed(t *testing.T, pattern string) []string {
	t.Helper()
	names, err := filepath.Glob(pattern)
	require.NoError(t, err)
	return names
}
