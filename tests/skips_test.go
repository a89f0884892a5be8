package tests

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// skipped are the reasons for which tests are left out beside what is absent: somebody
// asked for it, or the case has no meaning.
var skipped = map[string]string{
	"examples/ownpass/main_test.go":         "what is absent, in a module of its own",
	"runtime/bench/busy_test.go":            "a system without /proc/stat",
	"runtime/confine/confine_linux_test.go": "a system without seccomp",
	"runtime/mtl/encode_test.go":            "the race detector",
	"runtime/msl/gate/fuzz_test.go":         "inputs of a fuzz target",
	"tests/architecture_test.go":            "-short",
	"tests/badinput_test.go":                "root may write anywhere",
	"tests/blocked_bench_test.go":           "shapes of a benchmark",
	"tests/confined_test.go":                "a system without seccomp",
	"tests/darwin_test.go":                  "-short",
	"tests/models/synth_test.go":            "-short",
	"verify/verify_test.go":                 "FOUNDRY_VERIFY is not full",
}

var skipCall = regexp.MustCompile(`\b[tb]\.Skip(f|Now)?\(`)

// A test that skips on any error passes where what it tests is broken. devicetest.Need
// skips where something is absent, and nowhere else.
func TestSkipsAreForWhatIsAbsent(t *testing.T) {
	root, err := filepath.Abs("..")
	require.NoError(t, err)
	require.NoError(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		for i, line := range strings.Split(string(text), "\n") {
			if !skipCall.MatchString(line) {
				continue
			}
			require.NotEmpty(t, skipped[filepath.ToSlash(name)], "%s:%d skips; devicetest.Need does so for what is absent", name, i+1)
			require.NotContains(t, line, "Skip(err", "%s:%d", name, i+1)
		}
		return nil
	}))
}
