package foundry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"foundry/ir"
	"foundry/lower/metal"
	"foundry/lower/plan"
	"foundry/passes"
)

// A list of more than few variants is not compiled one by one: variants that begin
// alike share passes, plans that run the same are measured once, and what is left
// shares kernels as the entries of one plan, of together variants at most.
const (
	few      = 32
	together = 2048
)

// many reports whether the variants are taken together.
func (o *BenchOptions) many() bool {
	return o.PlanDir == "" && len(o.Variants) > few
}

// benchMany is Bench for a long list.
func (o *BenchOptions) benchMany(ctx context.Context, m *Model) ([]BenchRow, error) {
	switch {
	case o.Compile.Device == Ref && o.Reps > 0:
		return nil, fmt.Errorf("%d variants are too many for ref, which interprets each from the start; take --device cpu, or --reps 0 for their numbers", len(o.Variants))
	case o.PerKernel || o.Tokens > 1:
		return nil, fmt.Errorf("%d variants are timed by whole steps; kernels alone, and several tokens in one run, are for lists of at most %d", len(o.Variants), few)
	case slices.ContainsFunc(o.Variants, func(v Pipeline) bool { return v.CommandBuffers > 0 }):
		return nil, fmt.Errorf("numbers of command buffers are compared in a list of at most %d variants", few)
	case o.Compile.Fuel != nil:
		return nil, fmt.Errorf("--fuel is for a list of at most %d variants", few)
	}
	b, variants, err := o.bundle(m)
	if err != nil {
		return nil, err
	}
	var where *place
	if o.Reps > 0 {
		if where, err = o.openPlace(ctx); err != nil {
			return nil, err
		}
		defer where.close()
	}
	b.more = func(rep int) bool { return rep < o.Reps }
	for part := range slices.Chunk(variants, together) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		p, fresh, err := b.compile(part)
		if err != nil {
			return nil, err
		}
		if where != nil {
			if err := b.measure(ctx, p, fresh, where); err != nil {
				return nil, err
			}
		}
	}
	o.Say(fmt.Sprintf("%d variants give %d distinct plans", len(o.Variants), len(b.rows)))
	return b.rows, nil
}

// bundle returns an empty bundle and the variants that may go into it.
func (o *BenchOptions) bundle(m *Model) (*bundle, []passes.Subset, error) {
	asked := o.Compile.Weights
	c, t, err := o.Compile.resolve(m)
	if err != nil {
		return nil, nil, err
	}
	b := &bundle{o: o, m: m, graphs: &Graphs{Model: m, Options: c, Target: t}, met: map[string]int{}}
	if err := b.graphs.build(asked); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", m.Name, err)
	}
	if b.graph, err = b.graphs.Entry(o.Phase); err != nil {
		return nil, nil, err
	}
	variants := make([]passes.Subset, len(o.Variants))
	for i, v := range o.Variants {
		pipeline, err := v.options(c).pipelineOf(o.Phase)
		if err != nil {
			return nil, nil, fmt.Errorf("variant %s: %w", v.Name, err)
		}
		variants[i] = passes.Subset{Names: []string{v.Name}, Pipeline: pipeline}
	}
	return b, variants, nil
}

// bundle is the work of benchMany: rows of distinct plans, in the order they were
// met.
type bundle struct {
	o      *BenchOptions
	m      *Model
	graphs *Graphs   // their model, target and options
	graph  *ir.Graph // of the phase, as the frontend makes it
	rows   []BenchRow
	met    map[string]int     // a plan's digest to its row
	more   func(rep int) bool // whether to run all plans once more, behind rep runs
}

// compile makes one plan of variants, verified, and keeps the entries that do
// something new: fresh are their rows.
func (b *bundle) compile(variants []passes.Subset) (p *plan.Plan, fresh []int, err error) {
	cx := &passes.Context{Target: b.graphs.Target, Lowerable: lowerable(b.graphs.Target)}
	part, err := passes.Enumerate(b.graph, cx, variants, func(g *ir.Graph) *ir.Graph { return g })
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", b.m.Name, err)
	}
	entries := make([]metal.Entry, len(part))
	for i, x := range part {
		x.Of.Name = x.String()
		entries[i] = metal.Entry{Name: x.Of.Name, Graph: x.Of}
	}
	if p, err = b.graphs.lowerEntries(entries); err != nil {
		return nil, nil, err
	}
	var kept []plan.Entry
	for i := range p.Entries {
		var names []string
		for _, k := range part[i].Members {
			names = append(names, variants[k].String())
		}
		digest := p.Digest(&p.Entries[i])
		if k, known := b.met[digest]; known {
			b.rows[k].Also = append(b.rows[k].Also, names...)
			continue
		}
		envs, err := b.o.runs(p)
		if err != nil {
			return nil, nil, err
		}
		row := b.o.newRow(b.m, p, names[0], part[i].Pipeline.String())
		row.Also = names[1:]
		row.count(p, &p.Entries[i], envs)
		row.ArenaBytes = p.EntryArena(&p.Entries[i])
		b.o.model(&row, part[i].Of, b.graphs.Target, envs)
		b.met[digest] = len(b.rows)
		fresh = append(fresh, len(b.rows))
		b.rows = append(b.rows, row)
		kept = append(kept, p.Entries[i])
	}
	p.Entries = kept
	return p, fresh, p.Rehash()
}

// measure times the entries of p, which are the given rows, interleaved.
func (b *bundle) measure(ctx context.Context, p *plan.Plan, fresh []int, where *place) (err error) {
	if len(fresh) == 0 {
		return nil
	}
	engine, err := where.load(ctx, b.m, subject{plan: p, graphs: b.graphs}, b.o.Progress)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, engine.Close()) }()
	in, err := engine.exec.NewInstance()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	in.AssumeWritten()
	envs, err := b.o.runs(p)
	if err != nil {
		return err
	}
	for rep := -1; rep < 0 || b.more(rep); rep++ { // the first round warms up
		for i, k := range fresh {
			if b.o.Progress != nil {
				b.o.Progress("measure", int64((rep+1)*len(fresh)+i), int64((b.o.Reps+1)*len(fresh)))
			}
			row := &b.rows[k]
			start := time.Now()
			for _, env := range envs {
				if err := in.Run(ctx, p.Entries[i].Name, env); err != nil {
					return fmt.Errorf("variant %s: %w", row.Variant, err)
				}
			}
			if rep >= 0 {
				row.Samples = append(row.Samples, float64(time.Since(start).Nanoseconds())/1e3)
			}
		}
	}
	for _, k := range fresh {
		if where.dev.Info().Emulation {
			b.rows[k].Times = "emulation"
		}
		b.rows[k].summarise(where.machine)
	}
	return nil
}
