package emulator

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The library is compiled once; a damaged one, or what stands in its place, is replaced.
func TestDamagedLibrary(t *testing.T) {
	bin, dir := t.TempDir(), filepath.Join(t.TempDir(), "cache")
	counted := filepath.Join(bin, "count")
	cxx := "#!/bin/sh\nwhile [ \"$1\" != -o ]; do shift; done\necho library > \"$2\"\necho . >> " + counted + "\n"
	require.NoError(t, os.WriteFile(filepath.Join(bin, "c++"), []byte(cxx), 0o700))
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	var lib string
	compiles := func(times int) {
		t.Helper()
		path, err := compile(t.Context(), dir)
		require.NoError(t, err)
		content, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, "library\n", string(content))
		count, err := os.ReadFile(counted)
		require.NoError(t, err)
		require.Len(t, count, 2*times)
		lib = path
	}
	compiles(1)
	compiles(1)
	require.NoError(t, os.WriteFile(lib, []byte("lib"), 0o600))
	compiles(2)
	compiles(2)
	require.NoError(t, os.Remove(lib))
	require.NoError(t, os.Mkdir(lib, 0o700))
	compiles(3)
	compiles(3)
	entries, err := filepath.Glob(filepath.Join(dir, "*.entry"))
	require.NoError(t, err)
	require.Len(t, entries, 1)
	require.Regexp(t, `^emulator-[0-9a-f]{32}\.entry$`, filepath.Base(entries[0]))
	for i, damaged := range []string{"cut", strings.Repeat("x", 32), strings.Repeat("x", 33)} {
		require.NoError(t, os.WriteFile(entries[0], []byte(damaged), 0o600))
		compiles(4 + i)
		compiles(4 + i)
	}
}
