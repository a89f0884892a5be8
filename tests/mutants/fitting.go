package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"foundry/runtime/child"
)

// fitted are the sources with switches.
type fitted struct {
	files map[string][]byte // those that have some, below the root
	has   []bool            // programs' results by number
}

// listed is what go list says of a package.
type listed struct {
	ImportPath, Dir, Export string
	GoFiles                 []string
}

// fitting puts switches around all that the language's rules allow to have one: a
// constant must stay one, and a function must end. Each package is checked by itself,
// beside the others as they are, again and again without the switches of lines that are
// at odds with the rules: first those of arguments, then of constants, of sums, then all.
func fitting(ctx context.Context, root string, edits []edit) (*fitted, error) {
	packages, exports, err := listPackages(ctx, root)
	if err != nil {
		return nil, err
	}
	byFile := map[string][]int{}
	for k, e := range edits {
		byFile[e.file] = append(byFile[e.file], k)
	}
	out := &fitted{map[string][]byte{}, make([]bool, len(edits))}
	for k, e := range edits {
		out.has[k] = e.behind != nil
	}
	set := token.NewFileSet()
	others := importer.ForCompiler(set, "gc", func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) })
	own, err := checkSwitches(set, others)
	if err != nil {
		return nil, err
	}
	for _, p := range packages {
		if err := out.fit(set, root, p, edits, byFile, importers{own, others}); err != nil {
			return nil, fmt.Errorf("%s: %w", p.ImportPath, err)
		}
	}
	return out, nil
}

// importers finds the package of the switches, and all others.
type importers struct {
	own    *types.Package
	others types.Importer
}

func (i importers) Import(path string) (*types.Package, error) {
	if path == i.own.Path() {
		return i.own, nil
	}
	return i.others.Import(path)
}

func checkSwitches(set *token.FileSet, in types.Importer) (*types.Package, error) {
	f, err := parser.ParseFile(set, "switches.go", switchesText, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	c := types.Config{Importer: in}
	return c.Check("foundry/mutant_", set, []*ast.File{f}, nil)
}

func listPackages(ctx context.Context, root string) (out []listed, exports map[string]string, err error) {
	tool, err := exec.LookPath("go")
	if err != nil {
		return nil, nil, err
	}
	args := []string{"list", "-export", "-deps", "-json=ImportPath,Dir,Export,GoFiles"}
	for _, f := range sourceKinds["go"].folders {
		args = append(args, "./"+f+"/...")
	}
	text, _, err := child.Run(ctx, child.Command{Path: tool, Args: args, Dir: root})
	if err != nil {
		return nil, nil, err
	}
	exports = map[string]string{}
	for d := json.NewDecoder(strings.NewReader(string(text))); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return out, exports, nil
		} else if err != nil {
			return nil, nil, err
		}
		exports[p.ImportPath] = p.Export
		rel, err := filepath.Rel(root, p.Dir)
		if err == nil && slices.Contains(sourceKinds["go"].folders, strings.Split(filepath.ToSlash(rel), "/")[0]) {
			out = append(out, p)
		}
	}
}

// packageClause is where the package's name ends, behind which an import may stand.
var packageClause = regexp.MustCompile(`(?m)^package \w+`)

// fit finds the switches that the files of a package can have.
func (f *fitted) fit(set *token.FileSet, root string, p listed, edits []edit, byFile map[string][]int, in importers) error {
	var files []string
	originals := map[string][]byte{}
	for _, name := range p.GoFiles {
		path := filepath.Join(p.Dir, name)
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if originals[rel], err = os.ReadFile(path); err != nil {
			return err
		}
		files = append(files, rel)
	}
	for {
		var parsed []*ast.File
		wrong := map[string][]int{} // lines
		note := func(err error) {
			var e types.Error
			if errors.As(err, &e) {
				at := set.Position(e.Pos)
				wrong[at.Filename] = append(wrong[at.Filename], at.Line)
			}
		}
		for _, file := range files {
			text, some := f.with(originals[file], edits, byFile[file])
			delete(f.files, file)
			if some {
				f.files[file] = text
			}
			one, err := parser.ParseFile(set, file, text, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			parsed = append(parsed, one)
		}
		c := types.Config{Importer: in, Error: note}
		_, err := c.Check(p.ImportPath, set, parsed, nil)
		if len(wrong) == 0 {
			return err
		}
		taken := 0
		for file, lines := range wrong {
			for _, line := range slices.Compact(slices.Sorted(slices.Values(lines))) {
				taken += f.take(originals[file], edits, byFile[file], line)
			}
		}
		if taken == 0 {
			return err
		}
	}
}

// with is the text with the switches of the numbers that have one.
func (f *fitted) with(text []byte, edits []edit, numbers []int) (_ []byte, some bool) {
	numbers = slices.DeleteFunc(slices.Clone(numbers), func(k int) bool { return !f.has[k] })
	if len(numbers) == 0 {
		return text, false
	}
	list := make([]edit, len(numbers))
	for i, k := range numbers {
		list[i] = edits[k]
	}
	end := packageClause.FindIndex(text)[1]
	list = append(list, edit{behind: []insertion{{at: end, text: `; import "foundry/mutant_"`}}})
	return switched(text, list, append(numbers, -1)), true
}

// rank is the order in which switches are taken from a line: those of arguments, of
// constants, of sums and products, all others.
func rank(e edit) int {
	switch {
	case e.what == swapped:
		return 0
	case strings.HasPrefix(e.what, "a constant"):
		return 1
	case strings.ContainsAny(e.what[:1], "+-*"):
		return 2
	}
	return 3
}

// take takes switches from a line. Of a line that has none a function's end was found to
// be missing: the last statement before it must not be dropped.
func (f *fitted) take(text []byte, edits []edit, numbers []int, line int) (taken int) {
	lineOf := func(at int) int { return 1 + strings.Count(string(text[:at]), "\n") }
	var here, before []int
	for _, k := range numbers {
		if !f.has[k] {
			continue
		}
		e := edits[k]
		first, last := lineOf(e.behind[0].at), lineOf(e.behind[0].at)
		if rank(e) < 3 { // all lines of arguments and of a sum
			last = lineOf(slices.MaxFunc(e.behind, func(a, b insertion) int { return cmp.Compare(a.at, b.at) }).at)
		}
		if first <= line && line <= last {
			here = append(here, k)
		}
		if e.what == "a statement dropped" && lineOf(e.from) <= line {
			before = append(before, k)
		}
	}
	switch {
	case len(here) == 0 && len(before) == 0:
		return 0
	case len(here) == 0:
		here = []int{slices.MaxFunc(before, func(a, b int) int { return cmp.Compare(edits[a].from, edits[b].from) })}
	}
	first := rank(edits[slices.MinFunc(here, func(a, b int) int { return cmp.Compare(rank(edits[a]), rank(edits[b])) })])
	for _, k := range here {
		if rank(edits[k]) == first {
			f.has[k] = false
			taken++
		}
	}
	return taken
}
