// Package tests holds what crosses packages: the command line, bad input, what plans are,
// and the borders between packages. Folders below hold what runs whole models: models
// against goldens made elsewhere, generated ones against a float64 oracle, and emulated
// ones on a Metal framework of ours.
//
// Read next: models/goldens_test.go, the proof that the compiler is right.
package tests

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// levels says on which floor of the house each package stands. A package imports
// packages of lower levels only, so none of one level imports another.
var levels = []struct {
	level    int
	packages []string
}{
	{0, []string{"ir/dtype", "ir/sym", "ir/sampling", "ir/kernel", "shaders", "runtime/msl/lex", "lower/msl", "tests/covering", "tests/mutate"}}, // standard library only
	{1, []string{"ir/names", "runtime/confine", "frontends/jinja", "tests/oracle"}},
	{2, []string{"runtime/files", "runtime/child", "viz/graphviz", "viz/paint"}},
	{3, []string{"ir", "ir/target", "lower/plan", "frontends/checkpoint", "frontends/tokenizer", "frontends/chat"}},
	{4, []string{"ir/interp", "ir/irgen", "ir/task", "frontends/decoder", "runtime", "runtime/msl", "runtime/msl/gate", "runtime/msl/strict"}},
	{5, []string{"ir/seeded", "ir/cost", "frontends/qwen25", "frontends/qwen3", "runtime/cpu", "runtime/cuda", "runtime/mtl", "runtime/devicetest"}},
	{6, []string{"passes", "lower/metal", "frontends/model", "runtime/mtl/emulator"}},
	{7, []string{"lower/compile"}},
	{8, []string{"runtime/engine", "viz"}},
	{9, []string{"runtime/eval", "verify"}},
	{10, []string{"runtime/bench"}},
	{11, []string{"runtime/search", "runtime/chart"}},
	{12, []string{""}},
	{13, []string{"cmd/foundry/cli", "tests/mutants", "tests/goldens", "tests/blocks", "tests/oncpu"}},
	{14, []string{"cmd/foundry"}},
}

// What executes plans never sees a graph: of what lies below runtime, all but the
// rooms above the devices imports packages of runtime and these only.
var (
	aboveDevices = []string{"runtime/engine", "runtime/eval", "runtime/bench", "runtime/search", "runtime/chart"}
	ofPlans      = []string{"ir/dtype", "ir/sym", "ir/sampling", "ir/target", "ir/names", "lower/plan", "shaders"}
)

// level returns the level of a package.
func level(pkg string) (int, bool) {
	for _, l := range levels {
		if slices.Contains(l.packages, pkg) {
			return l.level, true
		}
	}
	return 0, false
}

func below(pkg, folder string) bool { return pkg == folder || strings.HasPrefix(pkg, folder+"/") }

// imports lists the imports of every package of the module, tests left out, by
// the package's path below the module's root.
func imports(t *testing.T) map[string]map[string]bool {
	t.Helper()
	root, err := filepath.Abs("..")
	require.NoError(t, err)
	out := map[string]map[string]bool{}
	require.NoError(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); path != root && (strings.HasPrefix(name, ".") || name == "testdata") {
				return fs.SkipDir
			}
			if _, err := os.Stat(filepath.Join(path, "go.mod")); err == nil && path != root {
				return fs.SkipDir // a module of its own
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		dir, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		pkg := filepath.ToSlash(dir)
		if pkg == "." {
			pkg = ""
		}
		if out[pkg] == nil {
			out[pkg] = map[string]bool{}
		}
		for _, spec := range f.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			out[pkg][imported] = true
		}
		return nil
	}))
	return out
}

// inModule returns the package's path below the module's root.
func inModule(imported string) (string, bool) {
	if imported == "foundry" {
		return "", true
	}
	return strings.CutPrefix(imported, "foundry/")
}

func TestBorders(t *testing.T) {
	all := imports(t)
	for _, l := range levels {
		for _, pkg := range l.packages {
			require.Contains(t, all, pkg, "the table of levels names it")
		}
	}
	for pkg, list := range all {
		from, known := level(pkg)
		require.True(t, known, "package %s stands on no level; add it to the table", pkg)
		executes := below(pkg, "runtime") && !slices.Contains(aboveDevices, pkg)
		for imported := range list {
			to, internal := inModule(imported)
			if !internal {
				outside := strings.Contains(strings.Split(imported, "/")[0], ".")
				require.False(t, from == 0 && outside, "%s is of level 0 and imports %s; it may import the standard library only", pkg, imported)
				continue
			}
			level, known := level(to)
			require.True(t, known, "package %s stands on no level; add it to the table", to)
			require.Less(t, level, from, "%s (level %d) imports %s (level %d)", pkg, from, to, level)
			require.True(t, !executes || below(to, "runtime") || slices.Contains(ofPlans, to), "%s executes plans and imports %s", pkg, to)
		}
	}
}

// The root is a facade: names of what stands elsewhere.
func TestRootIsAFacade(t *testing.T) {
	files, err := filepath.Glob("../*.go")
	require.NoError(t, err)
	lines, sources := 0, 0
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		lines += strings.Count(string(text), "\n")
		sources++
	}
	require.LessOrEqual(t, sources, 3)
	require.LessOrEqual(t, lines, 300)
}

// Only the command reads the environment: a package that did would behave
// differently for reasons that its caller cannot see.
func TestOnlyTheCommandReadsTheEnvironment(t *testing.T) {
	root, err := filepath.Abs("..")
	require.NoError(t, err)
	require.NoError(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil || strings.HasPrefix(filepath.ToSlash(rel), "cmd/") {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, call := range []string{"os.Getenv(", "os.LookupEnv("} {
			require.NotContains(t, string(text), call, rel)
		}
		return nil
	}))
}
