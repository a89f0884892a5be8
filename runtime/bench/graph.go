package bench

import (
	"context"
	"errors"
	"fmt"

	"foundry/frontends/model"
	"foundry/ir/sym"
	"foundry/runtime/eval"
)

// benchGraph is Run for a .fir file: its one graph takes the phase's place, at
// the most tokens that it allows.
func (o *Options) benchGraph(ctx context.Context, m *model.Model) (rows []Row, err error) {
	if o.PlanDir != "" || o.PerKernel {
		return nil, fmt.Errorf("%s is a graph: it is measured whole and without a plan from disk", m.Name)
	}
	if o.many() {
		return nil, fmt.Errorf("%s is a graph: it is measured in at most %d variants, not %d", m.Name, mostSeparate, len(o.Variants))
	}
	b := m.Graph.Bounds
	env := sym.Env{T: min(b.TMax, b.SMax-b.PMin), P: b.PMin}
	o.Phase, o.Prompt, o.Tokens = m.Graph.Name, int(env.T), 1
	list, err := o.compileAll(ctx, m)
	if err != nil {
		return nil, err
	}
	rows = make([]Row, len(list))
	for i, s := range list {
		if rows[i], err = o.rowOf(m, s, []sym.Env{env}); err != nil {
			return nil, err
		}
	}
	if o.Reps == 0 {
		return rows, nil
	}
	all := make([]*measured, len(list))
	for i, s := range list {
		var l *eval.LoadedGraph
		if l, err = eval.LoadGraph(ctx, s.graphs.Entries[0], s.plan, env, eval.GraphOptions{Device: o.Device, CPU: o.CPU, Seed: 1, Progress: o.Progress}); err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, l.Close()) }()
		if l.Emulation {
			rows[i].Times = "emulation"
		}
		all[i] = &measured{name: "variant " + s.name, run: wallTime(l.Run)}
	}
	from := busyNow()
	summarise := func() {
		others := busyNow().others(from)
		for i := range rows {
			rows[i].summarise(all[i].samples, nil)
			rows[i].Others = others
		}
		o.report(rows)
	}
	return rows, interleave(ctx, all, o.more(all), o.told(len(all)), summarise)
}
