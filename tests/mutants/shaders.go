package main

import (
	"context"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Mistakes in a stage file meet the rows of verify whose kernels have it, then the tests of
// runtime/cpu that name it, the rows that look at every access and those of a complete run,
// the tests of lowering in a file called after it, or all of them, then those that run
// models: the rows come first since they need no build, stage files are replaced as `foundry
// verify --shaders` does. A header is part of the program that runs the rows, which is built
// again once the tests of the language have found nothing.

// step is a part of a stage.
type step func() (verdict, error)

// mslStages are those of a mistake in Metal text.
func (r *sourceRunner) mslStages(ctx context.Context, e edit, text []byte, overlay string) []func() (verdict, error) {
	tests := func(pkg string, limit time.Duration, orAll bool, find func(text, tables, file string) bool) step {
		return func() (verdict, error) {
			names, err := testsThat(filepath.Join(r.root, filepath.FromSlash(pkg)), find)
			if err != nil || len(names) == 0 && !orAll {
				return verdict{}, err
			}
			return r.goTest(ctx, byOwn, overlay, pkg, names, stageLimit, limit)
		}
	}
	all := func(packages ...string) (out []step) {
		for _, pkg := range packages {
			out = append(out, func() (verdict, error) { return r.goTest(ctx, byOthers, overlay, pkg, nil, stageLimit, 0) })
		}
		return out
	}
	stage, isStage := strings.CutPrefix(e.file, "shaders/")
	if isStage {
		rows := func(by string) step {
			return func() (verdict, error) { return r.rows.run(ctx, by, r.rows.self, stage, e.apply(text)) }
		}
		return []func() (verdict, error){
			rows(byRows),
			inTurn(tests("runtime/cpu", languageLimit, false, namesStage(stage)), rows(byCheckedRows), rows(byCompleteRows),
				tests("lower/metal", loweringLimit, true, fileOfStage(stage))),
			inTurn(all("lower/metal", "tests/oncpu", "tests/generated", "tests/models")...),
		}
	}
	rows := func() (v verdict, err error) {
		program := filepath.Join(r.work, "program")
		output, failed, _, err := goTool(ctx, r.root, []string{"build", "-ldflags=-s -w", "-overlay", overlay, "-o", program, "./tests/mutants"}, stageLimit, 0)
		if err != nil || failed {
			return verdict{broken, firstFailure(output)}, err
		}
		return r.rows.run(ctx, byRows, []string{program}, "", nil)
	}
	return []func() (verdict, error){
		tests("runtime/cpu", languageLimit, false, func(_, _, file string) bool { return slices.Contains(languageTests, file) }), rows,
		inTurn(all("runtime/cpu", "lower/metal", "tests/oncpu", "tests/generated", "tests/models")...),
	}
}

// inTurn is the steps, until one notices.
func inTurn(steps ...step) step {
	return func() (v verdict, err error) {
		for _, s := range steps {
			if v, err = s(); err != nil || v.stage != "" {
				break
			}
		}
		return v, err
	}
}

// languageLimit is the processor time of a process of the tests of the language, which takes
// a second of it beside compilers: kernels that never end are not looked at longer.
const languageLimit = 15 * time.Second

// loweringLimit is the same for the tests of lowering, which take a minute.
const loweringLimit = 4 * time.Minute

// languageTests are the files of tests of what the headers give texts.
var languageTests = []string{"group_test.go", "header_hard_test.go", "header_names_test.go", "header_test.go", "mistakes_test.go", "tensor_test.go"}

// namesStage reports whether a test names a stage file, by its text or by a table of its file.
func namesStage(stage string) func(text, tables, file string) bool {
	word := regexp.MustCompile(`"[^"\n]*\b` + strings.TrimSuffix(path.Base(stage), ".metal") + `\b[^"\n]*"`)
	return func(text, tables, _ string) bool {
		return strings.Contains(text, `"`+stage+`"`) || word.MatchString(tables)
	}
}

// fileOfStage reports whether a file of tests is called after a stage file's first word, such
// as sample_test.go for main/sample_cut.metal; after formats for one that reads weights.
func fileOfStage(stage string) func(text, tables, file string) bool {
	word, _, _ := strings.Cut(strings.TrimSuffix(path.Base(stage), ".metal"), "_")
	if word == "dequant" {
		word = "formats"
	}
	return func(_, _, file string) bool { return strings.HasPrefix(file, word+"_") }
}

// testsThat lists the tests of a folder that are wanted by their text, by that of their
// file's tables and its name.
func testsThat(dir string, wanted func(text, tables, file string) bool) (out []string, err error) {
	names, err := fs.Glob(os.DirFS(dir), "*_test.go")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		set := token.NewFileSet()
		f, err := parser.ParseFile(set, path.Base(name), text, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		of := func(n ast.Node) string {
			return string(text[set.Position(n.Pos()).Offset:set.Position(n.End()).Offset])
		}
		tables := ""
		for _, d := range f.Decls {
			if d, ok := d.(*ast.GenDecl); ok && d.Tok == token.VAR {
				tables += of(d)
			}
		}
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && strings.HasPrefix(fn.Name.Name, "Test") && wanted(of(fn), tables, name) {
				out = append(out, fn.Name.Name)
			}
		}
	}
	return out, nil
}
