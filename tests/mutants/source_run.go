package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"foundry/runtime/child"
)

// The stages of a mistake in a source, the cheapest first. Of each, the tests run that
// run through the mistake's line.
const (
	byOwn     = "its package"
	byKernels = "verify"
	byOthers  = "packages above, tests"
)

// stageLimit is how long the tests of one package may take.
const stageLimit = 15 * time.Minute

// sourceRunner makes mistakes in sources, through the overlay of go test.
type sourceRunner struct {
	root     string
	work     string // a folder for changed files and programs
	most     int    // how many stages may be used
	programs *programs
	rows     *rowRunner // runner of the rows of Metal text
	known    *equivalents
	types    *typeChecker
	imports  map[string][]string // the packages above each
	above    *regexp.Regexp      // names of those whose tests are run
}

// newSourceRunner makes one for the module at root.
func newSourceRunner(root, work, self string, most int, others *regexp.Regexp) (*sourceRunner, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	known, err := readEquivalents(equivalentsText)
	if err != nil {
		return nil, err
	}
	return &sourceRunner{root: root, work: work, most: most, rows: newRowRunner([]string{self}, work), known: known, above: others}, nil
}

// readGo reads what mistakes in Go take, and those in Metal text do not; the tests'
// programs are kept in a folder.
func (r *sourceRunner) readGo(ctx context.Context, folder string, slowest float64) (err error) {
	if r.programs, err = newPrograms(ctx, r.root, folder); err != nil {
		return err
	}
	r.programs.slowest = slowest
	if r.imports, err = above(ctx, r.root); err != nil {
		return err
	}
	r.types, err = newTypeChecker(ctx, r.root)
	return err
}

// runSource makes n mistakes of a kind in files that within matches.
func (r *sourceRunner) runSource(ctx context.Context, j *journal, kind string, in *regexp.Regexp, seed uint64, n int) (out []record, err error) {
	edits, err := sourceKinds[kind].all(r.root, os.ReadFile)
	if err != nil {
		return nil, err
	}
	edits = slices.DeleteFunc(edits, func(e edit) bool {
		return !in.MatchString(e.file) || kind == "go" && !r.types.isMade(e.file) || kind == "checker" && !r.types.knows(e.file)
	})
	rng := rand.New(rand.NewPCG(seed, uint64(len(kind))))
	rng.Shuffle(len(edits), func(a, b int) { edits[a], edits[b] = edits[b], edits[a] })
	counted := 0
	for i := 0; i < len(edits) && counted < n; i++ {
		rec, done := j.had[key(kind, seed, i)]
		if !done {
			if rec, err = r.try(ctx, kind, edits[i]); err != nil {
				return out, err
			}
			rec.Kind, rec.Seed, rec.N = kind, seed, i
			if err := j.write(rec); err != nil {
				return out, err
			}
		}
		out = append(out, rec)
		if rec.counts() {
			counted++
		}
	}
	return out, nil
}

// verdict is what a stage says of a mistake; without a stage it did not notice.
type verdict struct{ stage, why string }

// try runs the stages until one notices.
func (r *sourceRunner) try(ctx context.Context, kind string, e edit) (rec record, err error) {
	text, err := os.ReadFile(filepath.Join(r.root, filepath.FromSlash(e.file)))
	if err != nil {
		return rec, err
	}
	start := time.Now()
	rec = record{Folder: path.Dir(e.file), Place: e.place(text), What: e.what}
	if rec.Equal = r.known.argument(kind, e.file, e.diff(text)); rec.Equal != "" {
		return rec, nil
	}
	if kind != "msl" {
		if err := r.types.check(e, text); err != nil {
			rec.Stage, rec.Why = broken, err.Error()
			return rec, nil
		}
	}
	overlay, err := r.overlay(e, text)
	if err != nil {
		return rec, err
	}
	stages := r.goStages(ctx, e, overlay)
	if kind == "msl" {
		stages = r.mslStages(ctx, e, text, overlay)
	}
	for _, stage := range stages[:min(r.most, len(stages))] {
		v, err := stage()
		if err != nil {
			return rec, err
		}
		if rec.Stage, rec.Why = v.stage, v.why; v.stage != "" {
			break
		}
	}
	if rec.Stage == "" {
		rec.Diff = e.diff(text)
	}
	rec.Seconds = time.Since(start).Seconds()
	return rec, nil
}

// overlay writes the changed file and what makes go take it for the other.
func (r *sourceRunner) overlay(e edit, text []byte) (string, error) {
	changed, overlay := filepath.Join(r.work, "changed"+path.Ext(e.file)), filepath.Join(r.work, "overlay.json")
	list, err := json.Marshal(map[string]any{"Replace": map[string]string{filepath.Join(r.root, filepath.FromSlash(e.file)): changed}})
	if err == nil {
		err = errors.Join(os.WriteFile(changed, e.apply(text), 0o666), os.WriteFile(overlay, list, 0o666))
	}
	return overlay, err
}

// goStages are those of a mistake in Go.
func (r *sourceRunner) goStages(ctx context.Context, e edit, overlay string) []func() (verdict, error) {
	these := func(stage string, packages ...string) func() (verdict, error) {
		return func() (verdict, error) { return r.these(ctx, stage, e, overlay, packages) }
	}
	own := path.Dir(e.file)
	var rows, others []string
	for _, pkg := range r.imports[own] {
		switch {
		case pkg == own || pkg == "tests/mutants" || !r.above.MatchString(pkg):
		case pkg == "verify":
			rows = []string{pkg}
		default:
			others = append(others, pkg)
		}
	}
	tests := these(byOwn, own)
	vetted := func() (verdict, error) {
		has, err := r.programs.switched()
		if err != nil {
			return verdict{}, err
		}
		vet := func() (verdict, error) { return r.vet(ctx, e, overlay) }
		first, second := vet, tests
		if has[r.programs.number(e)] { // tests are there already, vet has to read the package
			first, second = tests, vet
		}
		if v, err := first(); err != nil || v.stage != "" {
			return v, err
		}
		return second()
	}
	return []func() (verdict, error){vetted, these(byKernels, rows...), these(byOthers, others...)}
}

// vet looks at formats and what they are given, as go test does before it runs the tests of
// a package, where the mistake may have given them something else.
func (r *sourceRunner) vet(ctx context.Context, e edit, overlay string) (v verdict, err error) {
	if e.what != swapped {
		return v, nil
	}
	output, failed, _, err := goTool(ctx, r.root, []string{"vet", "-printf", "-overlay", overlay, "./" + path.Dir(e.file)}, stageLimit, 0)
	if err == nil && failed {
		v = verdict{byOwn, "vet: " + firstFailure(output)}
	}
	return v, err
}

// choice is the tests of a package that meet a mistake.
type choice struct {
	pkg     string
	tests   *tests
	names   []string
	seconds float64
}

// these runs the tests of some packages that meet a mistake, the cheapest first: those of
// packages that are measured, then of each as it is measured, which takes minutes, in the
// order given.
func (r *sourceRunner) these(ctx context.Context, stage string, e edit, overlay string, packages []string) (v verdict, err error) {
	k := r.programs.number(e)
	has, err := r.programs.switched()
	if err != nil {
		return v, err
	}
	meeting := func(pkg string) (c choice, err error) {
		c = choice{pkg: pkg}
		if c.tests, err = r.programs.of(ctx, pkg); err == nil {
			c.names, c.seconds = r.programs.meeting(pkg, c.tests, k, has)
		}
		return c, err
	}
	attempt := func(c choice) (verdict, error) {
		switch {
		case len(c.names) == 0:
			return verdict{}, nil
		case has[k]:
			return c.tests.switchOn(ctx, stage, c.names, k)
		}
		return r.goTest(ctx, stage, overlay, c.pkg, c.names, limitOf(c.seconds), 0)
	}
	var known []choice
	var open []string
	for _, pkg := range packages {
		if !slices.Contains(r.programs.tested, pkg) {
			continue
		}
		measured, err := r.programs.measured(pkg)
		if err != nil {
			return v, err
		}
		if !measured {
			open = append(open, pkg)
			continue
		}
		c, err := meeting(pkg)
		if err != nil {
			return v, err
		}
		known = append(known, c)
	}
	slices.SortStableFunc(known, func(a, b choice) int { return cmp.Compare(a.seconds, b.seconds) })
	for _, c := range known {
		if v, err = attempt(c); err != nil || v.stage != "" {
			return v, err
		}
	}
	for _, pkg := range open {
		c, err := meeting(pkg)
		if err == nil {
			v, err = attempt(c)
		}
		if err != nil || v.stage != "" {
			return v, err
		}
	}
	return v, nil
}

// quick is what a test takes that is not among the last to run.
const quick = 1.0 // seconds

// limitOf is how long tests may take that took so many seconds without the mistake.
func limitOf(seconds float64) time.Duration {
	return min(stageLimit, 15*time.Second+time.Duration(5*seconds*float64(time.Second)))
}

// switchOn runs tests with mistake k, the quick ones first: most mistakes are found by
// those, and one that never ends ends early there.
func (t *tests) switchOn(ctx context.Context, stage string, names []string, k int) (v verdict, err error) {
	var groups [2][]string
	var limits [2]float64
	for _, one := range t.Tests {
		if slices.Contains(names, one.Name) {
			group := 0
			if one.Seconds > quick {
				group = 1
			}
			groups[group], limits[group] = append(groups[group], one.Name), limits[group]+one.Seconds
		}
	}
	for i, group := range groups {
		if len(group) == 0 {
			continue
		}
		output, failed, timedOut, err := t.run(ctx, group, limitOf(limits[i]), mutantEnv(k))
		switch {
		case err != nil:
			return v, err
		case timedOut:
			return verdict{late, ""}, nil
		case failed:
			why := firstFailure(output)
			name := failedTest.FindSubmatch(output)
			if name == nil {
				return verdict{stage, why}, nil
			}
			// A test that fails without the mistake, now that others want the machine, has
			// noticed nothing.
			_, failed, _, err := t.run(ctx, []string{string(name[1])}, limitOf(limits[i]), mutantEnv(-1))
			if err != nil || !failed {
				return verdict{stage, why}, err
			}
			fmt.Fprintf(os.Stderr, "%s fails without a mistake\n", name[1])
			return verdict{late, string(name[1]) + " fails without a mistake"}, nil
		}
	}
	return v, nil
}

// failedTest finds the name of the test that failed in what a program of tests printed.
var failedTest = regexp.MustCompile(`(?m)^--- FAIL: ([^ /]+)`)

// goTest runs tests of a package with the overlay, each process of which may take so much
// processor time; 0: any.
func (r *sourceRunner) goTest(ctx context.Context, stage, overlay, pkg string, tests []string, limit, processor time.Duration) (v verdict, err error) {
	defer tidied(filepath.Join(r.root, filepath.FromSlash(pkg)), &err)()
	args := []string{"test", "-ldflags=-s -w", "-overlay", overlay, "-failfast", "-count=1", "-vet=off", "-timeout", limit.String()}
	if tests != nil {
		args = append(args, "-run", "^("+strings.Join(tests, "|")+")$")
	}
	output, failed, timedOut, err := goTool(ctx, r.root, append(args, "./"+pkg), limit+5*time.Minute, processor)
	switch {
	case err != nil || !failed:
		return v, err
	case timedOut || bytes.Contains(output, []byte("panic: test timed out")) || processor > 0 && bytes.Contains(output, []byte("signal: killed")):
		return verdict{late, ""}, nil
	case bytes.Contains(output, []byte("[build failed]")) || bytes.Contains(output, []byte("[setup failed]")) || doesNotCompile(output):
		return verdict{broken, firstFailure(output)}, nil
	}
	return verdict{stage, firstFailure(output)}, nil
}

// doesNotCompile reports whether a text of Metal, or its header, was no text of C++:
// that no test but the compiler noticed.
func doesNotCompile(output []byte) bool { return bytes.Contains(output, []byte("does not compile")) }

// goTool runs the go command. What does not run at all is an error, no failure.
func goTool(ctx context.Context, root string, args []string, limit, processor time.Duration) (output []byte, failed, timedOut bool, err error) {
	tool, err := exec.LookPath("go")
	if err != nil {
		return nil, false, false, err
	}
	_, _, err = within(ctx, limit, child.Command{Path: tool, Args: args, Dir: root, Limits: child.Limits{Processor: processor}})
	return ended(ctx, err)
}

// ended says how a command ended that was run within a limit.
func ended(ctx context.Context, err error) (output []byte, failed, timedOut bool, _ error) {
	var exit *child.ExitError
	switch {
	case ctx.Err() != nil:
		return nil, false, false, ctx.Err()
	case errors.Is(err, context.DeadlineExceeded):
		return nil, true, true, nil
	case errors.As(err, &exit):
		return slices.Concat(exit.Stdout, exit.Stderr), true, false, nil
	}
	return nil, false, false, err
}

// above lists the packages below the root whose tests depend on each package, those that
// depend on the fewest first: their tests take the least time.
func above(ctx context.Context, root string) (map[string][]string, error) {
	tool, err := exec.LookPath("go")
	if err != nil {
		return nil, err
	}
	text, _, err := child.Run(ctx, child.Command{Path: tool, Dir: root, Args: []string{"list", "-test", "-f", "{{.ImportPath}}\t{{join .Deps \" \"}}", "./..."}})
	if err != nil {
		return nil, err
	}
	out, weights := map[string][]string{}, map[string]int{}
	for line := range strings.Lines(string(text)) {
		name, deps, _ := strings.Cut(strings.TrimSpace(line), "\t")
		pkg, isTest := strings.CutSuffix(name, ".test")
		if !isTest {
			continue
		}
		pkg = strings.TrimPrefix(strings.TrimPrefix(pkg, "foundry"), "/")
		for dep := range strings.FieldsSeq(deps) {
			dep, ours := strings.CutPrefix(dep, "foundry/")
			if ours {
				weights[pkg]++
			}
			if ours && !slices.Contains(out[dep], pkg) {
				out[dep] = append(out[dep], pkg)
			}
		}
	}
	for _, pkgs := range out {
		slices.SortStableFunc(pkgs, func(a, b string) int { return cmp.Compare(weights[a], weights[b]) })
	}
	return out, nil
}

// firstFailure is the first line of output that tells of a failure.
func firstFailure(output []byte) string {
	for line := range strings.Lines(string(output)) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "--- FAIL") || strings.HasPrefix(line, "panic:") || strings.Contains(line, ".go:") {
			return line
		}
	}
	return fmt.Sprintf("%.200s", bytes.TrimSpace(output))
}
