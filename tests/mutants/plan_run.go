package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"foundry"
	"foundry/ir/sampling"
	"foundry/lower/plan"
	"foundry/runtime/child"
	"foundry/runtime/cpu"
)

// outcome is what a driver sees of a plan: the tokens chosen, and rows of logits.
type outcome struct {
	IDs    []int32
	Logits [][]float32
}

// rowBound is the NMSE that rows of logits of a plan executed on cpu keep to (README.md);
// what a change moves by less, no test of results can notice.
const rowBound = 2e-6

// differs says how b is not a, "" where they are the same.
func (a outcome) differs(b outcome) string {
	if !slices.Equal(a.IDs, b.IDs) {
		return fmt.Sprintf("chose tokens %v, not %v", b.IDs, a.IDs)
	}
	for i, row := range a.Logits {
		var off, all float64
		for j, v := range row {
			d := float64(b.Logits[i][j] - v)
			off, all = off+d*d, all+float64(v)*float64(v)
		}
		if !(off <= rowBound*all) {
			return fmt.Sprintf("logits %d differ by an NMSE of %.2g", i, off/all)
		}
	}
	return ""
}

// execute runs the bundle in dir as drivers do, on cpu: a prompt in chunks, tokens chosen
// one by one and in chains, drawn by settings, a sequence that goes back, and one that
// fills the context to its end. A checked run looks at every memory access, takes some
// thirty times as long, and leaves out what goes back.
func execute(ctx context.Context, dir, model string, checked bool) (out outcome, err error) {
	m, err := foundry.Open(model, foundry.Hub{})
	if err != nil {
		return out, err
	}
	p, err := plan.Load(dir)
	if err != nil {
		return out, err
	}
	if p.EntryFor(plan.Decode) < 0 {
		return out, errors.New("no entry of role decode to go on with")
	}
	dev, err := foundry.OpenDevice(ctx, foundry.CPU, cpu.Options{Checked: checked, FewRuns: true, MaxSteps: 1 << 22})
	if err != nil {
		return out, err
	}
	e, err := foundry.Load(ctx, dev, m, p, nil, nil)
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	s, err := e.NewSession()
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	ids := s.IDs
	limits := ids.Limits()
	feed := func(n, seed int) error {
		prompt := []int32{0, int32(limits.Vocab - 1)}
		for i := range n - 2 {
			prompt = append(prompt, int32((i*i*37+seed)%limits.Vocab))
		}
		if limits.AllLogits {
			return ids.PrefillEach(ctx, prompt, func(_ int, row []float32) error {
				out.Logits = append(out.Logits, slices.Clone(row))
				return nil
			})
		}
		return ids.Prefill(ctx, prompt)
	}
	generate := func(n int, how sampling.Settings) error {
		for id, err := range ids.Generate(ctx, n, how) {
			if err != nil {
				return err
			}
			out.IDs = append(out.IDs, id)
		}
		logits, err := ids.Logits()
		if err == nil {
			out.Logits = append(out.Logits, slices.Clone(logits))
		}
		return err
	}
	drawn := sampling.Settings{Temperature: 1.5, TopK: 50, TopP: 0.95, MinP: 0.001, Repetition: 1.3, Seed: 7}
	left := func() int { return limits.Context - len(ids.Tokens()) }
	short := []func() error{
		func() error { return feed(limits.Chunk+5, 11) },
		func() error { return generate(1, sampling.Settings{}) },
		func() error { return generate(3, drawn) },
		func() error { return feed(left()-3, 5) },
		func() error { return generate(left(), drawn) },
	}
	long := []func() error{
		func() error { return feed(limits.Chunk+5, 11) },
		func() error { return generate(1, sampling.Settings{}) },
		func() error { return generate(5, sampling.Settings{}) },
		func() error { return generate(4, drawn) },
		func() error { return ids.Rewind(limits.Chunk) },
		func() error { return feed(left()-limits.Chunk, 5) },
		func() error { return feed(limits.Chunk-1, 3) },
		func() error { return generate(1, sampling.Settings{}) },
		func() error { return ids.Rewind(7) },
		func() error { return generate(left(), drawn) },
	}
	if checked {
		long = short
	}
	for _, step := range long {
		if err := step(); err != nil {
			return out, err
		}
	}
	return out, nil
}

// runPlan is what a child process does: it writes the outcome as JSON.
func runPlan(ctx context.Context, w io.Writer, dir, model string, checked bool) error {
	out, err := execute(ctx, dir, model, checked)
	if err != nil {
		return err
	}
	for _, row := range out.Logits {
		for i, v := range row {
			if v != v || math.IsInf(float64(v), 0) {
				return fmt.Errorf("logit %d is %v", i, v)
			}
		}
	}
	return json.NewEncoder(w).Encode(out)
}

// inChild runs the bundle in dir in another process, which a mutant may bring down.
func inChild(ctx context.Context, self []string, dir, model string, checked bool, limit time.Duration) (out outcome, timedOut bool, err error) {
	args := append(slices.Clone(self[1:]), "-run-plan", dir, "-model", model, fmt.Sprintf("-checked=%t", checked))
	text, _, err := within(ctx, limit, child.Command{Path: self[0], Args: args})
	var exit *child.ExitError
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return out, true, err
	case errors.As(err, &exit):
		return out, false, fmt.Errorf("%s: %s", exit.Status(), lastLine(exit.Stderr))
	case err != nil:
		return out, false, err
	}
	return out, false, json.Unmarshal(text, &out)
}

// within runs a command for at most so long; the error is then the deadline's.
func within(ctx context.Context, limit time.Duration, c child.Command) (stdout, stderr []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return child.Run(ctx, c)
}
