// Package tests holds what crosses packages: whole models against goldens made
// elsewhere, the command line, bad input, and the borders between packages.
//
// Read next: goldens_test.go, the proof that the compiler is right.
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
	{0, []string{"ir/dtype", "ir/sym", "ir/target", "ir/sampling", "shaders", "runtime/files", "runtime/child", "runtime/msl/lex"}}, // standard library only
	{1, []string{"ir", "lower/plan", "frontends/checkpoint", "frontends/tokenizer", "frontends/jinja", "frontends/chat"}},
	{2, []string{"ir/interp", "ir/irgen", "ir/cost"}},
	{3, []string{"passes", "lower/metal", "frontends/qwen25"}},
	{4, []string{"runtime", "runtime/msl", "viz"}},
	{5, []string{"runtime/cpu", "runtime/cuda", "runtime/mtl", "runtime/devicetest", "verify"}},
	{6, []string{""}},
	{7, []string{"cmd", "tests"}},
}

// within are imports inside one level.
var within = map[string][]string{
	"runtime/mtl/emulator": {"runtime/cpu"},     // for tests: Metal's classes over the CPU executor
	"frontends/chat":       {"frontends/jinja"}, // a chat template is a program, and jinja its language
	"ir/irgen":             {"ir/interp"},       // inputs of a sane scale are found by running the graph
}

// forbidden are imports that the level alone would allow.
var forbidden = map[string][]string{
	"runtime": {"ir"}, // an executor sees plans, never graphs
}

// level returns the level of a package by the longest entry that it equals or
// lies below.
func level(pkg string) (int, bool) {
	best, found, length := 0, false, -1
	for _, l := range levels {
		for _, p := range l.packages {
			if pkg == p || p != "" && strings.HasPrefix(pkg, p+"/") {
				if len(p) > length {
					best, found, length = l.level, true, len(p)
				}
			}
		}
	}
	return best, found
}

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
	for _, l := range levels {
		for _, pkg := range l.packages {
			require.DirExists(t, filepath.Join("..", pkg), "the table of levels names it")
		}
	}
	all := imports(t)
	require.Greater(t, len(all), 10)
	for pkg, list := range all {
		from, known := level(pkg)
		require.True(t, known, "package %s stands on no level; add it to the table", pkg)
		for imported := range list {
			to, internal := inModule(imported)
			if !internal {
				outside := strings.Contains(strings.Split(imported, "/")[0], ".")
				require.False(t, from == 0 && outside, "%s is of level 0 and imports %s; it may import the standard library only", pkg, imported)
				continue
			}
			level, known := level(to)
			require.True(t, known, "package %s stands on no level; add it to the table", to)
			inside := slices.Contains(within[pkg], to)
			part := strings.HasPrefix(to, pkg+"/") && pkg != ""
			require.True(t, level < from || level == 7 && from == 7 || part || inside, "%s (level %d) imports %s (level %d)", pkg, from, to, level)
		}
		for _, not := range forbidden[pkg] {
			require.False(t, list["foundry/"+not], "%s imports %s", pkg, not)
		}
	}
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
