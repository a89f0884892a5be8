package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"foundry/runtime/child"
)

// stage is one round of tests.
type stage struct {
	name  string
	args  []string // arguments of go test, behind those that all have; PKG is the package of the mistake
	limit time.Duration
}

// sourceStages are what a mistake in a source has to pass, the cheapest first.
var sourceStages = map[string][]stage{
	"go":      {{"its package", []string{"PKG"}, 4 * time.Minute}, {"verify", []string{"./verify"}, 8 * time.Minute}, {"tests", []string{"./tests/..."}, 20 * time.Minute}},
	"checker": {{"its package", []string{"PKG"}, 4 * time.Minute}, {"tests of mutants", []string{"./tests", "./tests/mutants", "-run", "Mutants|Strict|Plan"}, 8 * time.Minute}},
	"msl":     {{"verify", []string{"./verify"}, 8 * time.Minute}, {"lower/metal", []string{"./lower/metal"}, 12 * time.Minute}, {"tests", []string{"./tests/..."}, 20 * time.Minute}},
}

// runSource makes n mistakes of a kind, through the overlay of go test, and tells which
// tests notice. most is how many stages may be used.
func runSource(ctx context.Context, j *journal, kind, root string, seed uint64, n, most int) (out []record, err error) {
	edits, err := sourceKinds[kind].all(root, os.ReadFile)
	if err != nil {
		return nil, err
	}
	rng := rand.New(rand.NewPCG(seed, uint64(len(kind))))
	rng.Shuffle(len(edits), func(a, b int) { edits[a], edits[b] = edits[b], edits[a] })
	work, err := os.MkdirTemp("", "mutants")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	counted := 0
	for i := 0; i < len(edits) && counted < n; i++ {
		rec, done := j.had[key(kind, seed, i)]
		if !done {
			if rec, err = tryEdit(ctx, root, work, edits[i], sourceStages[kind][:min(most, len(sourceStages[kind]))]); err != nil {
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

// tryEdit runs the stages until one fails.
func tryEdit(ctx context.Context, root, work string, e edit, stages []stage) (rec record, err error) {
	name := filepath.Join(root, filepath.FromSlash(e.file))
	text, err := os.ReadFile(name)
	if err != nil {
		return rec, err
	}
	start := time.Now()
	rec = record{Folder: path.Dir(e.file), Place: e.place(text), What: e.what}
	changed, overlay := filepath.Join(work, "changed"+path.Ext(e.file)), filepath.Join(work, "overlay.json")
	list, err := json.Marshal(map[string]any{"Replace": map[string]string{name: changed}})
	if err == nil {
		err = errors.Join(os.WriteFile(changed, e.apply(text), 0o666), os.WriteFile(overlay, list, 0o666))
	}
	if err != nil {
		return rec, err
	}
	for _, s := range stages {
		args := []string{"test", "-overlay", overlay, "-failfast", "-count=1", "-vet=off", "-timeout", s.limit.String()}
		for _, a := range s.args {
			if a == "PKG" {
				a = "./" + path.Dir(e.file)
			}
			args = append(args, a)
		}
		output, failed, timedOut, err := goTest(ctx, root, args, s.limit+time.Minute)
		if err != nil {
			return rec, err
		}
		if !failed {
			continue
		}
		rec.Stage, rec.Why = s.name, firstFailure(output)
		switch {
		case timedOut || bytes.Contains(output, []byte("panic: test timed out")):
			rec.Stage = late
		case bytes.Contains(output, []byte("[build failed]")) || bytes.Contains(output, []byte("[setup failed]")):
			rec.Stage = broken
		}
		break
	}
	if rec.Stage == "" {
		rec.Diff = e.diff(text)
	}
	rec.Seconds = time.Since(start).Seconds()
	return rec, nil
}

// goTest runs go test. What does not run at all is an error, no failure.
func goTest(ctx context.Context, root string, args []string, limit time.Duration) (output []byte, failed, timedOut bool, err error) {
	tool, err := exec.LookPath("go")
	if err != nil {
		return nil, false, false, err
	}
	_, _, err = within(ctx, limit, child.Command{Path: tool, Args: args, Dir: root})
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

// firstFailure is the first line of output that tells of a failure.
func firstFailure(output []byte) string {
	for line := range strings.Lines(string(output)) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "--- FAIL") || strings.HasPrefix(line, "panic:") || strings.Contains(line, ".go:") {
			return line
		}
	}
	return fmt.Sprintf("%.200s", bytes.TrimSpace(output))
}
