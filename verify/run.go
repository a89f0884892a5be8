package verify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"foundry/ir"
	"foundry/ir/interp"
	"foundry/ir/sym"
)

// batchProbes is how many probes share a plan: one compilation, and memory for all of
// their operands.
const batchProbes = 200

// batch is probes whose kernels are compiled together.
type batch struct {
	on     machine
	trials []*trial
}

// batches cuts the trials by machine, context (a plan has one) and number.
func batches(all []*trial) []batch {
	type key struct {
		on      machine
		context int64
	}
	var out []batch
	open := map[key]int{} // to the batch of out that takes more
	// Twins of one format share their kernels.
	all = slices.Clone(all)
	slices.SortStableFunc(all, func(a, b *trial) int { return strings.Compare(a.format, b.format) })
	for _, s := range all {
		k := key{s.probe.on, s.probe.bounds.SMax}
		i, ok := open[k]
		if !ok || len(out[i].trials) == batchProbes {
			i = len(out)
			open[k] = i
			out = append(out, batch{on: k.on})
		}
		out[i].trials = append(out[i].trials, s)
	}
	return out
}

// loaded is a batch on its device, or why it is not there.
type loaded struct {
	batch
	runner runner
	err    error
}

// runAll runs the batches; while one runs, the next is compiled.
func (r *Report) runAll(ctx context.Context, o Options, all []*trial) error {
	list := batches(all)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ready := make(chan loaded, 1)
	go func() {
		defer close(ready)
		for _, b := range list {
			run, err := b.load(ctx, o)
			ready <- loaded{b, run, err}
			if err != nil {
				return
			}
		}
	}()
	open := map[*Row]int{}  // trials that have not run
	for _, s := range all { // rows stand in the table's order
		open[r.row(s.kernel, s.format)]++
	}
	done, err := 0, error(nil)
	for l := range ready {
		if err == nil {
			err = l.err
		}
		if l.err != nil {
			continue
		}
		for _, s := range l.trials {
			if err == nil {
				err = ctx.Err()
			}
			if err == nil {
				err = r.runSubject(ctx, l.runner, s, o.Quick)
			}
			if row := r.row(s.kernel, s.format); err == nil {
				if open[row]--; open[row] == 0 && o.Finished != nil {
					o.Finished(r.without(open))
				}
			}
			if done++; o.Progress != nil {
				o.Progress("run kernels", int64(done), int64(len(all)))
			}
		}
		err = errors.Join(err, l.runner.close())
		if err != nil {
			cancel()
		}
	}
	for _, row := range r.Rows {
		r.Cases += row.Cases
		if !row.Pass {
			r.Failed++
		}
	}
	return err
}

// without returns the rows that have no open trials.
func (r *Report) without(open map[*Row]int) []Row {
	var out []Row
	for _, row := range r.Rows {
		if open[row] == 0 {
			out = append(out, *row)
		}
	}
	return out
}

// load compiles the batch's graphs for the device.
func (b batch) load(ctx context.Context, o Options) (runner, error) {
	if o.Device == nil {
		bySubject := map[*ir.Graph]*trial{}
		for _, s := range b.trials {
			for _, g := range s.entries() {
				bySubject[g] = s
			}
		}
		return newInterpreter(interp.Float32, func(g *ir.Graph) interp.Source { return bySubject[g].weights(g) }), nil
	}
	var graphs []*ir.Graph
	w := weightSource{}
	for _, s := range b.trials {
		graphs = append(graphs, s.entries()...)
		w.add(s.flatGraph, s.weights(s.flatGraph))
	}
	p, err := lower(graphs, b.on.target(o.Target), o.Shaders)
	if err != nil {
		return nil, err
	}
	return newDevice(ctx, o.Device, p, w, o.Progress)
}

// runSubject runs a probe at every size, on the device and in float64.
func (r *Report) runSubject(ctx context.Context, run runner, s *trial, quick bool) error {
	row := r.row(s.kernel, s.format)
	oracle := newInterpreter(interp.Float64, s.weights)
	program, err := oracle.program(s.flatGraph)
	if err != nil {
		return err
	}
	for i, env := range s.sizesOf(quick) {
		in, err := s.input(program, env, uint64(i+1))
		if err != nil {
			return err
		}
		row.Cases++
		where := fmt.Sprintf("T=%d P=%d of %s", env.T, env.P, s.sizes())
		want, err := oracle.run(ctx, s.flatGraph, in)
		if s.probe.refuse != "" {
			if err := s.refused(err); err != nil {
				return fmt.Errorf("%s %s: the reference: %w", s.kernel.name, s.format, err)
			}
			for _, g := range s.entries() {
				_, err := run.run(ctx, g, in)
				if err := s.refused(err); err != nil {
					row.fail(fmt.Sprintf("%s: %v", where, err))
				}
			}
			continue
		}
		if err != nil {
			return fmt.Errorf("%s %s: the reference: %w", s.kernel.name, s.format, err)
		}
		c := comparison{row, s, oracle, in, where}
		have, err := run.run(ctx, s.fused, in)
		if errors.Is(err, context.Canceled) {
			return err
		}
		if err != nil {
			row.fail(fmt.Sprintf("%s: %v", where, err))
			continue
		}
		if err := c.kernel(ctx, have, want); err != nil {
			return err
		}
		if s.twin == nil {
			continue
		}
		plain, err := run.run(ctx, s.twin, in)
		if err != nil {
			row.fail(fmt.Sprintf("unfused twin, %s: %v", where, err))
			continue
		}
		if err := c.twin(ctx, have, plain, want); err != nil {
			return err
		}
	}
	return nil
}

// refused says how the error of a run is not the refusal that the probe is owed.
func (s *trial) refused(err error) error {
	if err == nil || !strings.Contains(err.Error(), s.probe.refuse) {
		return fmt.Errorf("wants a refusal of %q, has %v", s.probe.refuse, err)
	}
	return nil
}

// sizesOf returns the T and P that a probe is run with: each with two in a whole
// run, with one of products in many formats, which read no more of P than others.
func (s *trial) sizesOf(quick bool) []sym.Env {
	return s.probe.steps(quick || s.kernel.pattern != "" && len(s.kernel.formats) > 2)
}

// sizes names the probe by the types of its params.
func (s *trial) sizes() string {
	var parts []string
	for _, p := range s.flatGraph.Params {
		parts = append(parts, fmt.Sprintf("%s %s", strings.TrimPrefix(p.Param.Name, s.flatGraph.Name+"."), p.Type))
	}
	text := strings.Join(parts, ", ")
	switch {
	case s.probe.on&united != 0:
		text += ", in matrix units"
	case s.probe.on&tiled != 0:
		text += ", in tiles"
	}
	return text
}

// comparison is one run of a probe being compared.
type comparison struct {
	row    *Row
	s      *trial
	oracle *interpreter
	in     input
	where  string
}

// kernel holds the results of the kernel to the bound.
func (c comparison) kernel(ctx context.Context, have, want map[string]interp.Tensor) error {
	for name, w := range want {
		d, err := c.difference(ctx, name, have[name], w)
		if err != nil {
			return err
		}
		c.row.measure(d, c.s.bounds[name])
		if !withinBound(c.s.bounds[name], d, w) {
			c.row.fail(fmt.Sprintf("%s: result %s: %s", c.where, strings.TrimPrefix(name, c.s.flatGraph.Name+"."), d))
		}
	}
	return nil
}

// twin holds the unfused twin to the bound, and the two to each other: where both
// are within a bound of the reference, their roots add up, so four times it.
func (c comparison) twin(ctx context.Context, fused, plain, want map[string]interp.Tensor) error {
	if c.row.Twin == nil {
		c.row.Twin = &Twin{}
	}
	for name, w := range want {
		d, err := c.difference(ctx, name, plain[name], w)
		if err != nil {
			return err
		}
		apart := difference(fused[name], plain[name])
		c.row.Twin.NMSE = max(c.row.Twin.NMSE, Number(d.NMSE))
		c.row.Twin.Between = max(c.row.Twin.Between, Number(apart.NMSE))
		if !withinBound(c.s.bounds[name], d, w) {
			c.row.fail(fmt.Sprintf("unfused twin, %s: result %s: %s", c.where, name, d))
		}
		between := c.s.bounds[name]
		between.NMSE, between.ULP = 4*between.NMSE, 2*between.ULP
		if !withinBound(between, apart, w) {
			c.row.fail(fmt.Sprintf("%s: result %s differs from the unfused twin: %s", c.where, name, apart))
		}
	}
	return nil
}

// withinBound reports whether a result is within the bound; a choice must be the same.
func withinBound(b interp.Bound, d interp.Difference, want interp.Tensor) bool {
	if want.I32 != nil {
		return d.MaxAbs == 0
	}
	return b.Admits(d)
}

// difference compares a result with the reference's. A choice by a random number
// may be that of a number within 1e-5, since the sums of probabilities are rounded: a
// larger number never chooses a lower id.
func (c comparison) difference(ctx context.Context, name string, have, want interp.Tensor) (interp.Difference, error) {
	d := difference(have, want)
	if c.s.probe.nudge == "" || d.MaxAbs == 0 {
		return d, nil
	}
	var around [2][]float64
	for i, by := range []float32{-1e-5, 1e-5} {
		near, err := c.oracle.run(ctx, c.s.flatGraph, c.in.nudged(c.s.flatGraph.Name+"."+c.s.probe.nudge, by))
		if err != nil {
			return d, err
		}
		around[i] = ints(near[name])
	}
	mine, allowed := ints(have), ints(want)
	for i, id := range mine {
		if around[0][i] <= id && id <= around[1][i] {
			allowed[i] = id
		}
	}
	return interp.Compare(mine, allowed), nil
}
