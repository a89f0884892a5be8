package tests

import (
	"debug/macho"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestDarwinImports builds the command for a Mac, without cgo, and reads which
// libraries it names: Metal and libobjc must come by Dlopen alone.
func TestDarwinImports(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("builds a binary")
	}
	out := filepath.Join(t.TempDir(), "foundry")
	cmd := exec.Command("go", "build", "-o", out, "foundry/cmd/foundry")
	cmd.Env = append(os.Environ(), "GOOS=darwin", "GOARCH=arm64", "CGO_ENABLED=0")
	text, err := cmd.CombinedOutput()
	require.NoError(t, err, string(text))
	f, err := macho.Open(out)
	require.NoError(t, err)
	defer f.Close()
	libraries, err := f.ImportedLibraries()
	require.NoError(t, err)
	allowed := []string{
		"/usr/lib/libSystem.B.dylib", "/usr/lib/libresolv.9.dylib",
		"/System/Library/Frameworks/CoreFoundation.framework/Versions/A/CoreFoundation",
		"/System/Library/Frameworks/Security.framework/Versions/A/Security",
	}
	for _, l := range libraries {
		require.True(t, slices.Contains(allowed, l), "the binary needs %s", l)
	}
	t.Log(libraries)
}
