package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"foundry/frontends/model"
	"foundry/ir"
	"foundry/lower/compile"
	"foundry/lower/metal"
	"foundry/lower/plan"
	"foundry/passes"
	"foundry/runtime"
	"foundry/runtime/engine"
)

// A list of more than mostSeparate variants is not compiled one by one: variants that begin
// alike share passes, plans that run the same are measured once, and what is left
// shares kernels as the entries of one plan, of mostInOnePlan variants at most.
const (
	mostSeparate  = 32
	mostInOnePlan = 2048
)

// many reports whether the variants are taken together.
func (o *Options) many() bool {
	return o.PlanDir == "" && len(o.Variants) > mostSeparate
}

// benchMany is Run for a long list.
func (o *Options) benchMany(ctx context.Context, m *model.Model) ([]Row, error) {
	switch {
	case o.Device == engine.Ref && o.Reps > 0:
		return nil, fmt.Errorf("%d variants are too many for ref, which interprets each from the start; take --device cpu, or --reps 0 for their numbers", len(o.Variants))
	case o.PerKernel || o.Tokens > 1:
		return nil, fmt.Errorf("%d variants are timed by whole steps; kernels alone, and several tokens in one run, are for lists of at most %d", len(o.Variants), mostSeparate)
	case slices.ContainsFunc(o.Variants, func(v Variant) bool { return v.CommandBuffers > 0 }):
		return nil, fmt.Errorf("numbers of command buffers are compared in a list of at most %d variants", mostSeparate)
	case o.Compile.Fuel != nil:
		return nil, fmt.Errorf("--fuel is for a list of at most %d variants", mostSeparate)
	}
	b, variants, err := o.distinctPlans(m)
	if err != nil {
		return nil, err
	}
	if o.Reps == 0 {
		if err := b.count(ctx, variants); err != nil {
			return nil, err
		}
	} else if err := b.time(ctx, variants); err != nil {
		return nil, err
	}
	o.Say(fmt.Sprintf("%d variants give %d distinct plans", len(o.Variants), len(b.rows)))
	return b.rows, nil
}

// time compiles and measures, some variants after the other.
func (b *distinctPlans) time(ctx context.Context, variants []passes.Subset) (err error) {
	where, err := b.o.openShared(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, where.close()) }()
	for part := range slices.Chunk(variants, mostInOnePlan) {
		if err := ctx.Err(); err != nil {
			return err
		}
		p, list, err := b.compile(part)
		if err != nil {
			return err
		}
		fresh := b.take(list)
		if err := b.keep(p, fresh); err != nil {
			return err
		}
		if err := b.measure(ctx, p, fresh, where); err != nil {
			return err
		}
	}
	return nil
}

// distinctPlans returns the work before its begin, and the variants that go into it.
func (o *Options) distinctPlans(m *model.Model) (*distinctPlans, []passes.Subset, error) {
	g, err := compile.Build(m, o.Compile)
	if err != nil {
		return nil, nil, err
	}
	b := &distinctPlans{o: o, m: m, graphs: g, met: map[string]int{}}
	if b.graph, err = b.graphs.Entry(o.Phase); err != nil {
		return nil, nil, err
	}
	variants := make([]passes.Subset, len(o.Variants))
	for i, v := range o.Variants {
		pipeline, err := v.options(g.Options).PipelineOf(o.Phase)
		if err != nil {
			return nil, nil, fmt.Errorf("variant %s: %w", v.Name, err)
		}
		variants[i] = passes.Subset{Names: []string{v.Name}, Pipeline: pipeline}
	}
	return b, variants, nil
}

// distinctPlans is the work of benchMany: rows of distinct plans, in the order they were
// met.
type distinctPlans struct {
	o      *Options
	m      *model.Model
	graphs *compile.Graphs // their model, target and options
	graph  *ir.Graph       // the phase's graph, as the frontend makes it
	rows   []Row
	met    map[string]int        // a plan's digest to its row
	more   func(rounds int) bool // the decision to run all plans once more; nil: as the options say
}

// compile makes one plan of variants, verified, whose entries are the distinct graphs
// that they give, and counts each.
func (b *distinctPlans) compile(variants []passes.Subset) (*plan.Plan, []*counted, error) {
	choices := b.graphs.Choices
	cx := &passes.Context{Target: b.graphs.Target, Choices: choices, Lowerable: choices.Lowerable}
	part, err := passes.Enumerate(b.graph, cx, variants, func(g *ir.Graph) *ir.Graph { return g })
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", b.m.Name, err)
	}
	entries := make([]metal.Entry, len(part))
	for i, x := range part {
		x.Of.Name = x.String()
		entries[i] = metal.Entry{Name: x.Of.Name, Graph: x.Of}
	}
	p, err := b.graphs.LowerEntries(entries)
	if err != nil {
		return nil, nil, err
	}
	envs, err := b.o.runs(p)
	if err != nil {
		return nil, nil, err
	}
	digests := p.Digests()
	list := make([]*counted, len(part))
	for i := range p.Entries {
		var names []string
		for _, k := range part[i].Members {
			names = append(names, variants[k].String())
		}
		c := &counted{row: b.o.newRow(b.m, p, names[0], part[i].Pipeline.String()), digest: digests[i]}
		c.row.Also = names[1:]
		c.row.count(p, &p.Entries[i], envs)
		c.row.ArenaBytes = p.EntryArena(&p.Entries[i])
		c.load(part[i].Of, choices, b.o.targets(b.graphs.Target), envs)
		list[i] = c
	}
	return p, list, nil
}

// take adds the rows of plans that were not met before and returns the places of all
// that list has, -1 for what another row stands for.
func (b *distinctPlans) take(list []*counted) (fresh []int) {
	for _, c := range list {
		if k, known := b.met[c.digest]; known {
			b.rows[k].Also = append(append(b.rows[k].Also, c.row.Variant), c.row.Also...)
			fresh = append(fresh, -1)
			continue
		}
		c.predict()
		b.met[c.digest] = len(b.rows)
		fresh = append(fresh, len(b.rows))
		b.rows = append(b.rows, c.row)
	}
	return fresh
}

// keep leaves those entries in p whose rows are fresh.
func (b *distinctPlans) keep(p *plan.Plan, fresh []int) error {
	var kept []plan.Entry
	for i, k := range fresh {
		if k >= 0 {
			kept = append(kept, p.Entries[i])
		}
	}
	p.Entries = kept
	return p.Rehash()
}

// measure times the entries of p, which are the fresh rows, interleaved.
func (b *distinctPlans) measure(ctx context.Context, p *plan.Plan, places []int, where *sharedDevice) (err error) {
	fresh := slices.DeleteFunc(slices.Clone(places), func(k int) bool { return k < 0 })
	if len(fresh) == 0 {
		return nil
	}
	e, err := where.load(ctx, b.m, compiledVariant{plan: p, graphs: b.graphs}, b.o.Progress)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	in, err := openInstance(e)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	in.AssumeWritten()
	envs, err := b.o.runs(p)
	if err != nil {
		return err
	}
	all := make([]*measured, len(fresh))
	for i, k := range fresh {
		all[i] = &measured{name: "variant " + b.rows[k].Variant, run: wallTime(func(ctx context.Context) error {
			for _, env := range envs {
				if err := in.Run(ctx, p.Entries[i].Name, env); err != nil {
					return err
				}
			}
			return nil
		})}
	}
	emulation, from := where.dev.Info().Emulation, busyNow()
	more := b.more
	if more == nil {
		more = b.o.more(all)
	}
	summarise := func() {
		others := busyNow().others(from)
		for i, k := range fresh {
			if emulation {
				b.rows[k].Times = "emulation"
			}
			b.rows[k].summarise(all[i].samples, where.machine)
			b.rows[k].Others = others
		}
		b.o.report(b.rows)
	}
	return interleave(ctx, all, more, b.o.told(len(all)), summarise)
}

// OnDevice measures o.Variants of a model's phase on a device that is open, interleaved,
// at least `least` times each and for as long as the time allows. The times are of one
// run; variants that give one plan share its row.
func OnDevice(ctx context.Context, m *model.Model, dev runtime.Device, o Options, least int, limit time.Duration) (_ []Row, err error) {
	o.Tokens = 1
	b, variants, err := o.distinctPlans(m)
	if err != nil {
		return nil, err
	}
	where := &sharedDevice{dev: dev, weights: runtime.NewWeights()}
	defer func() { err = errors.Join(err, where.weights.Close()) }()
	p, list, err := b.compile(variants)
	if err != nil {
		return nil, err
	}
	fresh := b.take(list)
	if err := b.keep(p, fresh); err != nil {
		return nil, err
	}
	until := time.Time{}
	b.more = func(round int) bool {
		if round == 0 {
			until = time.Now().Add(limit)
		}
		return round < least || time.Now().Before(until)
	}
	return b.rows, b.measure(ctx, p, fresh, where)
}
