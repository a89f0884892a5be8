package foundry

import (
	"context"
	"errors"
	"fmt"
	"time"

	"foundry/ir/interp"
	"foundry/ir/sym"
	"foundry/runtime"
)

// benchGraph is Bench for a .fir file: its one graph takes the phase's place, at
// the most tokens that it allows.
func (o *BenchOptions) benchGraph(ctx context.Context, m *Model) (rows []BenchRow, err error) {
	if o.PlanDir != "" || o.PerKernel {
		return nil, fmt.Errorf("%s is a graph: it is measured whole and without a plan from disk", m.Name)
	}
	if err := o.search(ctx, m); err != nil {
		return nil, err
	}
	if o.many() {
		return nil, fmt.Errorf("%s is a graph: it is measured in at most %d variants, not %d", m.Name, few, len(o.Variants))
	}
	b := m.Graph.Bounds
	env := sym.Env{T: min(b.TMax, b.SMax-b.PMin), P: b.PMin}
	o.Phase, o.Prompt, o.Tokens = m.Graph.Name, int(env.T), 1
	subjects, err := o.subjects(m)
	if err != nil {
		return nil, err
	}
	rows = make([]BenchRow, len(subjects))
	for i, s := range subjects {
		if rows[i], err = o.rowOf(m, s, []sym.Env{env}); err != nil {
			return nil, err
		}
	}
	if o.Reps == 0 {
		return rows, nil
	}
	runs := make([]func() error, len(subjects))
	for i, s := range subjects {
		var closer func() error
		if runs[i], closer, err = o.graphRun(ctx, s, env, &rows[i]); err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, closer()) }()
	}
	for rep := -1; rep < o.Reps; rep++ { // the first round warms up
		for i, run := range runs {
			start := time.Now()
			if err := run(); err != nil {
				return nil, fmt.Errorf("variant %s: %w", rows[i].Variant, err)
			}
			if rep >= 0 {
				rows[i].Samples = append(rows[i].Samples, float64(time.Since(start).Nanoseconds())/1e3)
			}
		}
	}
	for i := range rows {
		rows[i].summarise(nil)
	}
	return rows, nil
}

// graphRun makes a variant of a graph ready to run on seeded values.
func (o *BenchOptions) graphRun(ctx context.Context, s subject, env sym.Env, row *BenchRow) (run, closer func() error, err error) {
	graph := s.graphs.Entries[0]
	v, err := newGraphValues(graph, env, GraphOptions{Seed: 1})
	if err != nil {
		return nil, nil, err
	}
	if o.Compile.Device == Ref {
		row.Times = "emulation"
		program, err := interp.New(graph, v.weights, interp.Float32)
		if err != nil {
			return nil, nil, err
		}
		state, err := v.state(program)
		if err != nil {
			return nil, nil, err
		}
		return func() error {
			_, err := program.Run(ctx, interp.Run{Env: env, Inputs: v.inputs, State: state})
			return err
		}, func() error { return nil }, nil
	}
	dev, err := OpenDevice(o.Compile.Device, o.CPU)
	if err != nil {
		return nil, nil, err
	}
	if dev.Info().Emulation {
		row.Times = "emulation"
	}
	exec, err := runtime.New(ctx, dev, s.plan, v, o.Progress)
	if err != nil {
		return nil, nil, errors.Join(err, dev.Close())
	}
	in, err := exec.NewInstance()
	if err == nil {
		err = v.write(in)
	}
	closer = func() error {
		var errs []error
		if in != nil {
			errs = append(errs, in.Close())
		}
		return errors.Join(append(errs, exec.Close(), dev.Close())...)
	}
	if err != nil {
		return nil, nil, errors.Join(err, closer())
	}
	return func() error { return in.Run(ctx, graph.Name, env) }, closer, nil
}
