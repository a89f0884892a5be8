package tests

import (
	"debug/macho"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// darwinLibraries are those that a Mac's command may name: Metal and libobjc must come
// by Dlopen alone.
var darwinLibraries = []string{
	"/usr/lib/libSystem.B.dylib", "/usr/lib/libresolv.9.dylib",
	"/System/Library/Frameworks/CoreFoundation.framework/Versions/A/CoreFoundation",
	"/System/Library/Frameworks/Security.framework/Versions/A/Security",
}

var importedLibrary = regexp.MustCompile(`(?m)^//go:cgo_import_dynamic .*"(/[^"]+)"`)

// forDarwin runs go for a Mac, without cgo.
func forDarwin(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command("go", args...)
	cmd.Env = append(os.Environ(), "GOOS=darwin", "GOARCH=arm64", "CGO_ENABLED=0")
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	require.NoError(t, err, errs.String())
	return string(out)
}

// TestDarwinImports reads which libraries the command for a Mac names: in the sources of
// everything that it is made of, since without cgo a linker knows no others, and with
// FOUNDRY_COMPLETE in the command as built.
func TestDarwinImports(t *testing.T) {
	t.Parallel()
	named := map[string]bool{}
	list := json.NewDecoder(strings.NewReader(forDarwin(t, "list", "-deps", "-json=Dir,GoFiles", "foundry/cmd/foundry")))
	for {
		var p struct {
			Dir     string
			GoFiles []string
		}
		err := list.Decode(&p)
		if err == io.EOF {
			break
		}
		require.NoError(t, err)
		for _, name := range p.GoFiles {
			text, err := os.ReadFile(filepath.Join(p.Dir, name))
			require.NoError(t, err)
			for _, m := range importedLibrary.FindAllSubmatch(text, -1) {
				named[string(m[1])] = true
			}
		}
	}
	require.Contains(t, named, darwinLibraries[0], "what the search finds")
	if isComplete() {
		out := filepath.Join(t.TempDir(), "foundry")
		forDarwin(t, "build", "-o", out, "foundry/cmd/foundry")
		f, err := macho.Open(out)
		require.NoError(t, err)
		defer f.Close()
		libraries, err := f.ImportedLibraries()
		require.NoError(t, err)
		for _, l := range libraries {
			require.True(t, named[l], "%s is linked, and no source names it", l)
		}
	}
	for l := range named {
		require.Contains(t, darwinLibraries, l)
	}
}
