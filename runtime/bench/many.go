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
	b, variants, err := o.bundle(m)
	if err != nil {
		return nil, err
	}
	var where *sharedDevice
	if o.Reps > 0 {
		if where, err = o.openShared(ctx); err != nil {
			return nil, err
		}
		defer where.close()
	}
	for part := range slices.Chunk(variants, mostInOnePlan) {
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
func (o *Options) bundle(m *model.Model) (*distinctPlans, []passes.Subset, error) {
	g, err := compile.Build(m, o.Compile)
	if err != nil {
		return nil, nil, err
	}
	b := &distinctPlans{o: o, m: m, graphs: g, met: map[string]int{}, more: untilRounds(o.Reps)}
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
	graph  *ir.Graph       // of the phase, as the frontend makes it
	rows   []Row
	met    map[string]int        // a plan's digest to its row
	more   func(rounds int) bool // whether to run all plans once more
}

// compile makes one plan of variants, verified, and keeps the entries that do
// something new: fresh are their rows.
func (b *distinctPlans) compile(variants []passes.Subset) (p *plan.Plan, fresh []int, err error) {
	cx := &passes.Context{Target: b.graphs.Target, Lowerable: compile.Lowerable(b.graphs.Target)}
	part, err := passes.Enumerate(b.graph, cx, variants, func(g *ir.Graph) *ir.Graph { return g })
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", b.m.Name, err)
	}
	entries := make([]metal.Entry, len(part))
	for i, x := range part {
		x.Of.Name = x.String()
		entries[i] = metal.Entry{Name: x.Of.Name, Graph: x.Of}
	}
	if p, err = b.graphs.LowerEntries(entries); err != nil {
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
func (b *distinctPlans) measure(ctx context.Context, p *plan.Plan, fresh []int, where *sharedDevice) (err error) {
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
	emulation := where.dev.Info().Emulation
	summarise := func() {
		for i, k := range fresh {
			if emulation {
				b.rows[k].Times = "emulation"
			}
			b.rows[k].summarise(all[i].samples, where.machine)
		}
		b.o.report(b.rows)
	}
	return interleave(ctx, all, b.more, b.o.told(len(all)), summarise)
}

// OnDevice measures o.Variants of a model's phase on a device that is open, interleaved,
// at least `least` times each and for as long as the time allows. The times are of one
// run; variants that give one plan share its row.
func OnDevice(ctx context.Context, m *model.Model, dev runtime.Device, o Options, least int, limit time.Duration) (_ []Row, err error) {
	o.Tokens = 1
	b, variants, err := o.bundle(m)
	if err != nil {
		return nil, err
	}
	where := &sharedDevice{dev: dev, weights: runtime.NewWeights()}
	defer func() { err = errors.Join(err, where.weights.Close()) }()
	p, fresh, err := b.compile(variants)
	if err != nil {
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
