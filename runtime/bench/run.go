package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"foundry/frontends/model"
	"foundry/ir/sym"
	"foundry/runtime"
	"foundry/runtime/engine"
)

// loadedVariant is one variant, loaded and ready to be timed.
type loadedVariant struct {
	engine *engine.Engine
	model  runtime.Model
	envs   []sym.Env
	entry  string // the entry that the last of envs runs
	tokens int    // tokens of a decode measurement
	row    *Row

	compiled *runtime.Phase // nil for a plan from disk
	machine  *Machine       // the machine, where the device was measured
	dev      runtime.Device // nil on ref
}

// measure loads the variants and times them. Variants whose weights do not fit in
// memory together are measured one after the other.
func (o *Options) measure(ctx context.Context, m *model.Model, list []compiledVariant, rows []Row) (err error) {
	if line := estimate(o.Device, list); line != "" {
		o.Say(line)
	}
	var where, indirect *sharedDevice // nil on ref, and where nothing is replayed so
	if o.Device != engine.Ref {
		if where, err = o.openShared(ctx); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, where.close()) }()
	}
	if o.Indirect {
		if indirect, err = o.openIndirect(where); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, indirect.close()) }()
	}
	return o.measureOn(ctx, m, list, rows, where, indirect)
}

func (o *Options) measureOn(ctx context.Context, m *model.Model, list []compiledVariant, rows []Row, where, indirect *sharedDevice) error {
	start := func(i int) (*loadedVariant, error) {
		at := where
		if list[i].indirect {
			at = indirect
		}
		return o.loadVariant(ctx, m, list[i], &rows[i], at)
	}
	if where.fit(list) {
		var all []*loadedVariant
		var err error
		for i := range list {
			var c *loadedVariant
			if c, err = start(i); err != nil {
				break
			}
			all = append(all, c)
		}
		if err == nil {
			err = o.interleave(ctx, all, rows)
		}
		for _, c := range all {
			err = errors.Join(err, c.close())
		}
		return err
	}
	o.Say("the variants do not fit in memory together: each is measured on its own, not interleaved")
	for i := range list {
		c, err := start(i)
		if err != nil {
			return err
		}
		if err := errors.Join(o.interleave(ctx, []*loadedVariant{c}, rows), c.close()); err != nil {
			return err
		}
	}
	return nil
}

func (o *Options) loadVariant(ctx context.Context, m *model.Model, s compiledVariant, row *Row, where *sharedDevice) (*loadedVariant, error) {
	c := &loadedVariant{row: row, tokens: o.Tokens, compiled: s.compiled}
	var err error
	if c.envs, err = o.runs(s.plan); err != nil {
		return nil, err
	}
	entry, err := o.entryOf(s.plan, c.envs)
	if err != nil {
		return nil, err
	}
	c.entry = entry.Name
	switch {
	case o.Device == engine.Ref && s.graphs != nil:
		c.engine, err = engine.Interpret(ctx, s.graphs)
		row.Times = "emulation"
	case where == nil:
		err = errors.New("ref runs graphs, not plans: take --device cpu for a plan")
	default:
		c.machine, c.dev = where.machine, where.dev
		if where.dev.Info().Emulation {
			row.Times = "emulation"
		}
		c.engine, err = where.load(ctx, m, s, o.Progress)
	}
	if err != nil {
		return nil, err
	}
	if c.model, err = c.engine.Open(); err != nil {
		return nil, errors.Join(err, c.engine.Close())
	}
	c.model.(assumer).AssumeWritten()
	return c, nil
}

// assumer is a model that can be measured behind tokens that did not run.
type assumer interface{ AssumeWritten() }

func (c *loadedVariant) close() error { return errors.Join(c.model.Close(), c.engine.Close()) }

// run executes what is measured once, and returns how long it took: of decode, a
// token. The caches' content does not change the time, so nothing fills them first
// (AssumeWritten).
func (c *loadedVariant) run(ctx context.Context) (time.Duration, error) {
	var took time.Duration
	for _, e := range c.envs {
		ids := make([]int32, e.T)
		for i := range ids {
			ids[i] = int32((i*7919 + 13) % c.model.Limits().Vocab)
		}
		start := time.Now()
		var err error
		if c.row.Phase == "decode" {
			err = c.decode(ctx, int(e.P), ids[0])
		} else {
			_, err = c.model.Prefill(ctx, int(e.P), ids)
		}
		took += time.Since(start)
		if err != nil {
			return 0, c.engine.Diagnose(ctx, ids, err)
		}
	}
	return took / time.Duration(c.tokens), nil
}

func (c *loadedVariant) decode(ctx context.Context, p int, id int32) error {
	if b, ok := c.model.(runtime.Batcher); ok && c.tokens > 1 {
		n := c.model.Limits().Chain
		if n == 0 {
			n = c.tokens
		}
		for left := c.tokens; left > 0; left -= n { // as a session does
			n = min(n, left)
			ids, err := b.DecodeN(ctx, p, id, n, left >= 2*n)
			if err != nil {
				return err
			}
			p, id = p+n, ids[n-1]
		}
		return nil
	}
	for i := range c.tokens {
		var err error
		if id, err = c.model.Decode(ctx, p+i, id); err != nil {
			return err
		}
	}
	return nil
}

// interleave measures the variants, some of the rows, and what else the options ask
// of each.
func (o *Options) interleave(ctx context.Context, all []*loadedVariant, rows []Row) error {
	list := make([]*measured, len(all))
	for i, c := range all {
		list[i] = &measured{name: "variant " + c.row.Variant, run: c.run}
	}
	from := busyNow()
	summarise := func() {
		others := busyNow().others(from)
		for i, c := range all {
			c.row.summarise(list[i].samples, c.machine)
			c.row.Others = others
		}
		o.report(rows)
	}
	if err := interleave(ctx, list, o.more(list), o.told(len(all)), summarise); err != nil {
		return err
	}
	for _, c := range all {
		if c.row.Startup = c.engine.Startup(); c.compiled != nil && c.row.Startup != nil {
			c.row.Startup = slices.Insert(c.row.Startup, 0, *c.compiled)
		}
		if o.PerKernel {
			if err := c.perKernel(ctx); err != nil {
				return fmt.Errorf("variant %s: %w", c.row.Variant, err)
			}
		}
		if o.Capture != "" {
			if err := c.capture(ctx, o.Capture); err != nil {
				return err
			}
		}
	}
	return nil
}

// perKernel times each kernel of what is measured alone.
func (c *loadedVariant) perKernel(ctx context.Context) error {
	in, ok := c.model.(*runtime.Instance)
	if !ok {
		return errors.New("the reference runs no kernels; take --device cpu or a GPU")
	}
	times, err := in.KernelTimes(ctx, c.entry, c.envs[len(c.envs)-1], 4)
	if err != nil {
		return err
	}
	for _, t := range times {
		us := float64(t.Each.Nanoseconds()) / 1e3
		row := KernelRow{Kernel: t.Kernel, Dispatches: t.Dispatches, Us: us, Bytes: t.Bytes, GBs: float64(t.Bytes) / us / 1e3, TFlops: float64(t.Flops) / us / 1e6}
		if c.machine != nil {
			row.Share = row.GBs / c.machine.ReadGBs
		}
		c.row.Kernels = append(c.row.Kernels, row)
	}
	return nil
}

// summarise makes the row's numbers of its samples; machine may be nil.
func (r *Row) summarise(samples []float64, machine *Machine) {
	r.Samples = slices.Clone(samples)
	measured := spread(r.Samples)
	r.Measured = &measured
	tokens := 1.0
	if r.Phase != "decode" {
		tokens = float64(r.Prompt)
	}
	rate := tokens / r.Measured.Median * 1e6
	r.TokS = &rate
	tflops := float64(r.Flops) / r.Measured.Median / 1e6
	if r.Flops > 0 && r.Times == "" {
		r.TFlops = &tflops
	}
	if r.Machine = machine; machine != nil {
		share := float64(r.WeightBytes) / r.Measured.Median / 1e3 / machine.ReadGBs
		product := tflops / machine.MatmulTFlops
		r.BandwidthShare, r.MatmulShare = &share, &product
	}
}

// spread summarises samples, of which there is at least one.
func spread(samples []float64) Spread {
	sorted := slices.Sorted(slices.Values(samples))
	i := medianInterval(sorted)
	return Spread{Median: i.Mid, Low: i.Low, High: i.High, Min: sorted[0], Max: sorted[len(sorted)-1], N: len(sorted)}
}
