package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing/fstest"
	"time"

	"foundry/ir/target"
	"foundry/lower/plan"
	"foundry/runtime"
	"foundry/runtime/child"
	"foundry/runtime/cpu"
	"foundry/shaders"
	"foundry/verify"
)

// Mistakes in Metal text meet the tests of runtime/cpu that name the stage file, or those of
// the language for a header, then the rows of verify whose kernels have it, then the tests of lowering and those that run
// models. Stage files are replaced as `foundry verify --shaders` does; a header is part
// of the program that runs the rows, which is built again.

// The stages of verify's rows.
const (
	byRows        = "rows of verify"
	byCheckedRows = "rows of verify, checked"
)

// checkedRows is how many rows look at every access, which takes thirty times as long.
const checkedRows = 3

// rowRunner runs rows of verify in another process, which a mistake may bring down.
type rowRunner struct {
	self []string // how to run this program
	work string
}

// rowLimit is how long the rows may take that a mistake has to pass.
const rowLimit = 20 * time.Minute

// run runs the rows that have the stage file, "" for all, with another text for it.
func (r *rowRunner) run(ctx context.Context, stage string, self []string, file string, text []byte) (v verdict, err error) {
	args := append(slices.Clone(self[1:]), "-run-rows", filepath.Join(r.work, "kernels"), fmt.Sprintf("-checked=%t", stage == byCheckedRows))
	if file != "" {
		changed := filepath.Join(r.work, "changed.metal")
		if err := os.WriteFile(changed, text, 0o666); err != nil {
			return v, err
		}
		args = append(args, "-stage", file, "-text", changed)
	}
	_, _, err = within(ctx, rowLimit, child.Command{Path: self[0], Args: args})
	var exit *child.ExitError
	switch {
	case ctx.Err() != nil:
		return v, ctx.Err()
	case errors.Is(err, context.DeadlineExceeded):
		return verdict{late, ""}, nil
	case errors.As(err, &exit) && exit.Code == tooLong:
		return verdict{late, ""}, nil
	case errors.As(err, &exit):
		why := lastLine(exit.Stderr)
		if doesNotCompile([]byte(why)) {
			return verdict{broken, why}, nil
		}
		return verdict{stage, exit.Status() + ": " + why}, nil
	}
	return v, err
}

// oneRowLimit is what a row may take, with compilation, that takes seconds; tooLong is the
// exit code of a process whose kernel does not end, which nothing else can stop.
const (
	oneRowLimit = 2 * time.Minute
	tooLong     = 3
)

// verifyRow is a row of verify, and what its kernels are made of.
type verifyRow struct {
	kernel, format string
	stages         []string
	bytes          int // size of the kernels' texts
}

// errNoRow is that no row has a stage file.
var errNoRow = errors.New("no row of verify has the stage file")

// errSeen ends a compilation of which the kernels are known.
var errSeen = errors.New("kernels are known")

// onlooker is a device that takes the kernels of plans and runs nothing.
type onlooker struct{ row *verifyRow }

func (o onlooker) Info() runtime.Info { return runtime.Info{Kind: "cpu", Name: "onlooker"} }
func (o onlooker) Close() error       { return nil }
func (o onlooker) Alloc(int64, runtime.Use) (runtime.Memory, error) {
	return nil, errSeen
}
func (o onlooker) Load(_ context.Context, p *plan.Plan, _ runtime.Progress) (runtime.Program, error) {
	for _, k := range p.Kernels {
		o.row.bytes += len(k.Source)
		for _, s := range k.Stages {
			if !slices.Contains(o.row.stages, s) {
				o.row.stages = append(o.row.stages, s)
			}
		}
	}
	return nil, errSeen
}

// rowsOf lists the rows that have the stage file, "" for all, those with the least text
// first: of a quick run, and where it has none, of a whole one.
func rowsOf(ctx context.Context, x *target.Target, file string) (o verify.Options, out []verifyRow, err error) {
	for _, quick := range []bool{true, false} {
		o = verify.Options{Target: x, Quick: quick}
		if out, err = someRows(ctx, o, file); err != nil || len(out) > 0 {
			return o, out, err
		}
	}
	return o, nil, errNoRow
}

func someRows(ctx context.Context, o verify.Options, file string) (out []verifyRow, err error) {
	o.Device = nil
	o.Only = func(kernel, format string) bool {
		out = append(out, verifyRow{kernel: kernel, format: format})
		return false
	}
	if _, err := verify.Run(ctx, o); err != nil {
		return nil, err
	}
	for i := range out {
		o.Device = onlooker{&out[i]}
		o.Only = func(kernel, format string) bool { return kernel == out[i].kernel && format == out[i].format }
		if _, err := verify.Run(ctx, o); err != nil && !errors.Is(err, errSeen) {
			return nil, err
		}
	}
	out = slices.DeleteFunc(out, func(r verifyRow) bool { return file != "" && !slices.Contains(r.stages, file) })
	slices.SortStableFunc(out, func(a, b verifyRow) int { return cmp.Compare(a.bytes, b.bytes) })
	return out, nil
}

// runRows is what a child process does: the rows one by one, until one fails. cache is
// the folder of compiled kernels, which no other program needs.
func runRows(ctx context.Context, cache, file, changed string, checked bool) (err error) {
	x, err := target.Find(target.Default)
	if err != nil {
		return err
	}
	o, rows, err := rowsOf(ctx, x, file)
	if errors.Is(err, errNoRow) {
		return nil
	}
	if err != nil {
		return err
	}
	if checked {
		rows = rows[:min(checkedRows, len(rows))]
	}
	if file != "" {
		text, err := os.ReadFile(changed)
		if err != nil {
			return err
		}
		o.Shaders = shaders.Overlay(fstest.MapFS{file: &fstest.MapFile{Data: text}})
	}
	d, err := cpu.Open(ctx, cpu.Options{FewRuns: true, TrustKernels: true, CacheDir: cache, Checked: checked, MaxSteps: 1 << 24})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	o.Device = d
	for _, r := range rows {
		o.Only = func(kernel, format string) bool { return kernel == r.kernel && format == r.format }
		watch := time.AfterFunc(oneRowLimit, func() { os.Exit(tooLong) })
		report, err := verify.Run(ctx, o)
		watch.Stop()
		if err != nil {
			return fmt.Errorf("%s %s: %w", r.kernel, r.format, err)
		}
		for _, have := range report.Rows {
			if !have.Pass {
				return fmt.Errorf("%s %s: %s", r.kernel, r.format, have.Failure)
			}
		}
	}
	return nil
}

// mslStages are those of a mistake in Metal text.
func (r *sourceRunner) mslStages(ctx context.Context, e edit, text []byte, overlay string) []func() (verdict, error) {
	stage, isStage := strings.CutPrefix(e.file, "shaders/")
	own := func() (verdict, error) {
		find := func(test, _ string) bool { return strings.Contains(test, `"`+stage+`"`) }
		if !isStage {
			find = func(_, file string) bool { return slices.Contains(languageTests, file) }
		}
		tests, err := testsThat(filepath.Join(r.root, "runtime", "cpu"), find)
		if err != nil || len(tests) == 0 {
			return verdict{}, err
		}
		return r.goTest(ctx, byOwn, overlay, "runtime/cpu", tests, stageLimit)
	}
	rows := func() (verdict, error) {
		if isStage {
			v, err := r.rows.run(ctx, byRows, r.rows.self, stage, e.apply(text))
			if err != nil || v.stage != "" {
				return v, err
			}
			return r.rows.run(ctx, byCheckedRows, r.rows.self, stage, e.apply(text))
		}
		program := filepath.Join(r.work, "program")
		output, failed, _, err := goTool(ctx, r.root, []string{"build", "-overlay", overlay, "-o", program, "./tests/mutants"}, stageLimit)
		if err != nil || failed {
			return verdict{broken, firstFailure(output)}, err
		}
		return r.rows.run(ctx, byRows, []string{program}, "", nil)
	}
	others := func() (v verdict, err error) {
		packages := []string{"lower/metal", "tests/oncpu", "tests/generated", "tests/models"}
		if !isStage {
			packages = slices.Insert(packages, 0, "runtime/cpu")
		}
		for _, pkg := range packages {
			if v, err = r.goTest(ctx, byOthers, overlay, pkg, nil, stageLimit); err != nil || v.stage != "" {
				break
			}
		}
		return v, err
	}
	return []func() (verdict, error){own, rows, others}
}

// languageTests are the files of tests of what the headers give texts.
var languageTests = []string{"header_test.go", "group_test.go"}

// testsThat lists the tests of a folder that are wanted by their text and file.
func testsThat(dir string, wanted func(text, file string) bool) (out []string, err error) {
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
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if ok && strings.HasPrefix(fn.Name.Name, "Test") && wanted(string(text[set.Position(fn.Pos()).Offset:set.Position(fn.End()).Offset]), name) {
				out = append(out, fn.Name.Name)
			}
		}
	}
	return out, nil
}
