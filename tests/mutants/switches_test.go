package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Text with switches means what the text means: lines stay, and what stands around what
// is nested in the same places.
func TestSwitched(t *testing.T) {
	text := []byte("package p\n\nfunc f(a, b int) bool {\n\tfor i := 0; i < 9; i += 2 {\n\t\tg(a)\n\t}\n\treturn a < b && !(a*b+1 == 2)\n}\n")
	edits, err := goEdits("p.go", text)
	require.NoError(t, err)
	numbers := make([]int, len(edits))
	for i := range edits {
		numbers[i] = i
		if strings.HasPrefix(edits[i].what, "a constant") {
			edits[i].behind = nil
		}
	}
	have := string(switched(text, edits, numbers))
	require.Equal(t, strings.Count(string(text), "\n"), strings.Count(have, "\n"))
	require.Contains(t, have, "for i := 0; mutant_.Less(2, i , 9); i += 2 {\n\t\tif !mutant_.On(8) { g(a) }")
	require.Contains(t, have, "return (((mutant_.Less(10, a , b)) != mutant_.On(9) && (!(((mutant_.Add(12, mutant_.Mul(13, a,b),1) == 2) != mutant_.On(11)))) != mutant_.On(9)) != mutant_.On(9))")
}

// Each mistake is made where its switch is on, and only there, and both say that they
// were met.
func TestSwitchesSwitch(t *testing.T) {
	set := token.NewFileSet()
	f, err := parser.ParseFile(set, "switches.go", switchesText, parser.SkipObjectResolution)
	require.NoError(t, err)
	functions := map[string]bool{}
	for _, d := range f.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok {
			functions[fn.Name.Name] = true
		}
	}
	for op, name := range calls {
		require.True(t, functions[name], "%s of %s", name, op)
	}
}

// Arguments change places behind a switch where they are read twice for nothing.
func TestSwitchedArguments(t *testing.T) {
	text := []byte("package p\n\nvar x = f(a.b, c[i], g(a), \"%d\", n)\n")
	edits, err := goEdits("p.go", text)
	require.NoError(t, err)
	require.Equal(t, "package p\n\nvar x = f(mutant_.Either(0, a.b, c[i]), mutant_.Either(0, c[i], a.b), g(a), mutant_.Either(3, \"%d\", n), mutant_.Either(3, n, \"%d\"))\n", string(switched(text, edits, []int{0, 1, 2, 3, 4})))
}

// Constants that must stay some, functions that must end and texts that are added keep
// what the language wants of them; all others have switches.
func TestFitting(t *testing.T) {
	text := []byte(`package p

const size = 2 + 1

func f(a [3]int, s string, n int64) int64 {
	for i := range a {
		if a[i] > 2 {
			s = s + "x"
		}
	}
	if len(s) == 1 {
		panic(s)
	}
	switch {
	case n < 5:
		return n * 2
	}
	panic("never")
}
`)
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "p.go"), text, 0o666))
	edits, err := goEdits("p.go", text)
	require.NoError(t, err)
	f := &fitted{map[string][]byte{}, make([]bool, len(edits))}
	numbers := make([]int, len(edits))
	for k, e := range edits {
		numbers[k], f.has[k] = k, e.behind != nil
	}
	set := token.NewFileSet()
	require.NoError(t, f.fit(set, dir, listed{ImportPath: "p", Dir: dir, GoFiles: []string{"p.go"}}, edits, map[string][]int{"p.go": numbers},
		importers{stub(t, set), nil}))
	var without []string
	for k, e := range edits {
		if !f.has[k] && !strings.HasPrefix(e.what, "a constant") {
			without = append(without, e.what)
		}
	}
	require.Contains(t, without, "+ becomes -")
	with := 0
	for k, e := range edits {
		if f.has[k] && (e.what == "a condition negated" || strings.HasPrefix(e.what, ">")) {
			with++
		}
	}
	require.Equal(t, 3, with)
}

// stub is the package of the switches, without what it needs of the system.
func stub(t *testing.T, set *token.FileSet) *types.Package {
	t.Helper()
	f, err := parser.ParseFile(set, "stub.go", `package mutant_
type n interface{ ~int | ~int64 }
type o interface{ ~int | ~int64 | ~string }
func On(int) bool { return false }
func Either[T any](k int, a, b T) T { return a }
func More(k, v int) int { return v }
func Fewer(k, v int) int { return v }
func Less[T o](k int, a, b T) bool { return a < b }
func Greater[T o](k int, a, b T) bool { return a > b }
func Add[T n](k int, a, b T) T { return a + b }
func Mul[T n](k int, a, b T) T { return a * b }
`, 0)
	require.NoError(t, err)
	p, err := (&types.Config{}).Check("foundry/mutant_", set, []*ast.File{f}, nil)
	require.NoError(t, err)
	return p
}

// A test that meets a mistake is chosen, one that fails without any is not; a mistake
// without a switch is near those of its declaration.
func TestMeeting(t *testing.T) {
	p := &programs{edits: []edit{{file: "a/a.go", decl: 1}, {file: "a/a.go", decl: 1}, {file: "a/a.go", decl: 2}, {file: "a/b.go"}}}
	all := &tests{Tests: []test{{"One", 1, false, []byte{0b0001}}, {"Two", 2, false, []byte{0b0100}}, {"Sick", 3, true, []byte{0b1111}}}}
	for _, c := range []struct {
		k        int
		switched []bool
		want     []string
	}{
		{0, []bool{true, true, true, true}, []string{"One"}},
		{1, []bool{true, true, true, true}, nil},
		{1, []bool{true, false, true, true}, []string{"One"}},
		{2, []bool{true, true, false, true}, []string{"One"}},
		{3, []bool{true, true, true, false}, []string{"One", "Two"}},
	} {
		names, _ := p.meeting("above", all, c.k, c.switched)
		require.Equal(t, c.want, names, "%d %v", c.k, c.switched)
	}
	names, _ := p.meeting("a", all, 3, []bool{false, true, false, false})
	require.Equal(t, []string{"One", "Two"}, names, "of a declaration without a switch, all of its own package")
	names, _ = p.meeting("a", all, 0, []bool{false, true, true, true})
	require.Empty(t, names, "of one with, those that meet it")
	p.slowest = 1
	names, seconds := p.meeting("above", all, 3, []bool{true, true, true, false})
	require.Equal(t, []string{"One"}, names)
	require.InDelta(t, 1, seconds, 0)
}

// What is called equivalent stands in the text that it names, with a reason, and there
// is little of it.
func TestEquivalents(t *testing.T) {
	known, err := readEquivalents(equivalentsText)
	require.NoError(t, err)
	require.Len(t, known.list, strings.Count(string(equivalentsText), `"file":`), "an entry with a key twice is two that have become one")
	root := filepath.Join("..", "..")
	named, all := map[string]int{}, map[string]int{}
	for kind, k := range sourceKinds {
		edits, err := k.all(root, os.ReadFile)
		require.NoError(t, err)
		all[kind] = len(edits)
	}
	for i, x := range known.list {
		require.False(t, slices.ContainsFunc(known.list[:i], func(y equivalent) bool { return y.Kind == x.Kind && y.File == x.File && y.Diff == x.Diff }), "%s stands twice", x.File)
		require.Contains(t, sourceKinds, x.Kind)
		require.Greater(t, len(strings.Fields(x.Argument)), 5, "%s: an argument", x.File)
		text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(x.File)))
		require.NoError(t, err)
		edits, err := sourceKinds[x.Kind].edits(x.File, text)
		require.NoError(t, err)
		require.True(t, sourceKinds[x.Kind].files.MatchString(path.Base(x.File)), x.File)
		require.True(t, slices.ContainsFunc(edits, func(e edit) bool { return e.diff(text) == x.Diff }), "%s: no mistake is\n%s", x.File, x.Diff)
		named[x.Kind]++
	}
	for kind, n := range named {
		require.LessOrEqual(t, float64(n), mostEqual*float64(all[kind]), kind)
	}
}

// Tests are found by what their text names, and by their file.
func TestTestsThat(t *testing.T) {
	dir := filepath.Join("..", "..", "runtime", "cpu")
	naming := func(stage string) []string {
		names, err := testsThat(dir, namesStage(stage))
		require.NoError(t, err)
		return names
	}
	require.Contains(t, naming("prologue/dequant_q4_0_planes.metal"), "TestChunksOfWeights") // by a table
	require.Contains(t, naming("main/gemv.metal"), "TestRowsOfAProductEnd")
	require.Empty(t, naming("main/there_is_no_such.metal"))
	for stage, test := range map[string]string{"main/sample_cut.metal": "TestSampleAgrees", "prologue/dequant_q4_0.metal": "TestWeightFormats"} {
		names, err := testsThat(filepath.Join("..", "..", "lower", "metal"), fileOfStage(stage))
		require.NoError(t, err)
		require.Contains(t, names, test)
		require.NotContains(t, names, "TestModels")
	}
	for _, file := range languageTests {
		names, err := testsThat(dir, func(_, _, f string) bool { return f == file })
		require.NoError(t, err)
		require.NotEmpty(t, names, file)
	}
}

// A mistake that does not compile is told from one that does, and a file of another system
// from one of this.
func TestTypeChecker(t *testing.T) {
	root := filepath.Join("..", "..")
	root, err := filepath.Abs(root)
	require.NoError(t, err)
	c, err := newTypeChecker(t.Context(), root)
	require.NoError(t, err)
	const file = "ir/names/plain.go"
	require.True(t, c.knows(file))
	require.False(t, c.knows("ir/names/names_plan9.go"))
	require.True(t, c.isMade(file))
	require.True(t, c.knows("ir/irgen/irgen.go"))
	require.False(t, c.isMade("ir/irgen/irgen.go"), "only tests import it")
	text, err := os.ReadFile(filepath.Join(root, file))
	require.NoError(t, err)
	end := strings.Index(string(text), "\nfunc ")
	require.NoError(t, c.check(edit{file: file, from: end, to: end, by: "\nvar fits = 1\n"}, text))
	require.ErrorIs(t, c.check(edit{file: file, from: end, to: end, by: "\nvar fits string = 1\n"}, text), errNoCode)
	require.ErrorIs(t, c.check(edit{file: file, from: end, to: end, by: "\nfunc f() { unused := 1 }\n"}, text), errNoCode)
}
