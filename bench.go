package foundry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"foundry/ir"
	"foundry/ir/cost"
	"foundry/ir/sym"
	"foundry/ir/target"
	"foundry/lower/plan"
	"foundry/passes"
	"foundry/runtime"
	"foundry/runtime/cpu"
)

// Pipeline is a variant to be measured: a list of passes under a name.
type Pipeline struct{ Name, Passes string }

// ParseVariants reads a list of variants: names separated by commas, "ladder"
// (one fusion more a row) or "leave-one-out" (the last rung without one of its
// fusions).
func ParseVariants(list string) ([]Pipeline, error) {
	var names []string
	for _, name := range strings.Split(list, ",") {
		switch name = strings.TrimSpace(name); name {
		case "":
		case "ladder":
			names = append(names, passes.Ladder()...)
		case "leave-one-out":
			names = append(append(names, "floor"), passes.LeaveOneOut()...)
		default:
			names = append(names, name)
		}
	}
	var out []Pipeline
	for _, name := range names {
		p, err := passes.Variant(name)
		if err != nil {
			return nil, err
		}
		out = append(out, Pipeline{name, p.String()})
	}
	if len(out) == 0 {
		return nil, errors.New("the list of variants is empty")
	}
	return out, nil
}

// ParseVariantFile reads one variant a line: NAME, or NAME = PIPELINE. Empty
// lines and lines that begin with # are skipped.
func ParseVariantFile(name, text string) ([]Pipeline, error) {
	var out []Pipeline
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		variant, pipeline, own := strings.Cut(line, "=")
		if own && !strings.ContainsAny(variant, "{,") {
			p, err := passes.Parse(strings.TrimSpace(pipeline))
			if err != nil {
				return nil, fmt.Errorf("%s:%d: %w", name, i+1, err)
			}
			out = append(out, Pipeline{strings.TrimSpace(variant), p.String()})
			continue
		}
		named, err := ParseVariants(line)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, i+1, err)
		}
		out = append(out, named...)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s: holds no variant", name)
	}
	return out, nil
}

// BenchOptions say what to measure.
type BenchOptions struct {
	Compile   CompileOptions // Compile.Device says where
	Variants  []Pipeline
	PlanDir   string // measure this bundle instead of Variants
	Phase     string // "decode": tokens one by one; "prefill": the prompt
	Prompt    int    // decode: tokens in the cache; prefill: tokens that run
	Tokens    int    // decode: tokens that one measurement runs, without a round trip to the host in between; 0 is 1
	Reps      int    // runs of each variant; 0: plan statistics only, no weight is read
	PerKernel bool   // time each kernel alone too
	CPU       cpu.Options
	Progress  Progress
	Say       func(line string)
}

// BenchRow is one variant in numbers: what `foundry bench --format json` prints.
type BenchRow struct {
	Model          string             `json:"model"`
	Device         string             `json:"device"`
	Phase          string             `json:"phase"`
	Variant        string             `json:"variant"`
	Passes         string             `json:"passes"`
	Context        int                `json:"context"`
	Prompt         int                `json:"prompt"`
	Tokens         int                `json:"tokens,omitempty"` // decode: tokens of one measurement, whose time is divided by them
	Dispatches     int                `json:"dispatches"`
	Waves          int                `json:"waves"`
	Barriers       int                `json:"barriers"`
	CommandBuffers int                `json:"command_buffers"`
	WeightBytes    int64              `json:"weight_bytes"`
	MovedBytes     int64              `json:"moved_bytes"`
	ArenaBytes     int64              `json:"arena_bytes"`
	Modelled       map[string]float64 `json:"modelled"`        // target: us; uncalibrated
	Measured       *Spread            `json:"measured_us"`     // null when nothing ran
	Times          string             `json:"times,omitempty"` // "emulation" where they say nothing of a GPU
	TokS           *float64           `json:"tok_s"`           // of the median
	BandwidthShare *float64           `json:"bandwidth_share"` // weights over median time, of the device's bandwidth; null where that is not known

	Kernels []KernelRow `json:"kernels,omitempty"` // with BenchOptions.PerKernel

	Samples []float64 `json:"-"` // us, in the order they were taken
}

// KernelRow is what one kernel of the entry costs when its dispatches run alone,
// one after the other.
type KernelRow struct {
	Kernel     string  `json:"kernel"`
	Dispatches int     `json:"dispatches"` // in one run
	Us         float64 `json:"us"`         // of one dispatch
	Bytes      int64   `json:"bytes"`      // moved by one dispatch
	GBs        float64 `json:"gb_s"`
	Share      float64 `json:"bandwidth_share,omitempty"` // of the device's bandwidth, where that is known
}

// Spread summarises samples.
type Spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
	N      int     `json:"n"`
}

// Bench compiles every variant and measures them, interleaved: one run of each,
// then the next of each, so that a machine that warms up or slows down favours
// none.
func Bench(ctx context.Context, m *Model, o BenchOptions) ([]BenchRow, error) {
	if o.Say == nil {
		o.Say = func(string) {}
	}
	if o.Phase != "decode" && o.Phase != "prefill" {
		return nil, fmt.Errorf("there is no phase %q, want decode or prefill", o.Phase)
	}
	if o.Tokens == 0 {
		o.Tokens = 1
	}
	if o.Tokens < 1 || o.Tokens > 1 && o.Phase != "decode" {
		return nil, fmt.Errorf("%d tokens a measurement of %s, want 1, or more of decode", o.Tokens, o.Phase)
	}
	subjects, err := o.subjects(m)
	if err != nil {
		return nil, err
	}
	rows := make([]BenchRow, len(subjects))
	for i, s := range subjects {
		if rows[i], err = o.row(m, s); err != nil {
			return nil, err
		}
	}
	if o.Reps > 0 {
		if err := o.measure(ctx, m, subjects, rows); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// subject is one compiled variant.
type subject struct {
	name   string
	plan   *plan.Plan
	graphs *Graphs // nil for a plan from disk
}

func (o *BenchOptions) subjects(m *Model) ([]subject, error) {
	if o.PlanDir != "" {
		p, err := plan.Load(o.PlanDir)
		if err != nil {
			return nil, err
		}
		return []subject{{p.Options.Variant, p, nil}}, nil
	}
	var out []subject
	for _, v := range o.Variants {
		c := o.Compile
		c.Variant, c.Passes = "", v.Passes
		compiled, err := Compile(m, c)
		if err != nil {
			return nil, fmt.Errorf("variant %s: %w", v.Name, err)
		}
		compiled.Plan.Options.Variant = v.Name
		out = append(out, subject{v.Name, compiled.Plan, compiled.Graphs})
	}
	return out, nil
}

// runs lists the values of T and P of what one measurement runs.
func (o *BenchOptions) runs(p *plan.Plan) ([]sym.Env, error) {
	if o.Phase == "decode" {
		if o.Prompt < 0 || o.Prompt > p.Model.Context-o.Tokens {
			return nil, fmt.Errorf("%d decode steps behind %d tokens do not fit the context of %d", o.Tokens, o.Prompt, p.Model.Context)
		}
		return []sym.Env{{T: 1, P: int64(o.Prompt)}}, nil
	}
	if o.Prompt < 1 || o.Prompt > p.Model.Context {
		return nil, fmt.Errorf("a prompt of %d tokens does not fit the context of %d", o.Prompt, p.Model.Context)
	}
	var out []sym.Env
	for at := 0; at < o.Prompt; at += p.Model.Chunk {
		out = append(out, sym.Env{T: int64(min(p.Model.Chunk, o.Prompt-at)), P: int64(at)})
	}
	return out, nil
}

// row counts what the plan does and models its time.
func (o *BenchOptions) row(m *Model, s subject) (BenchRow, error) {
	r := BenchRow{
		Model: m.BaseName(), Device: o.Compile.Device, Phase: o.Phase, Variant: s.name, Passes: s.plan.Options.Passes,
		Context: s.plan.Model.Context, Prompt: o.Prompt, Modelled: map[string]float64{},
	}
	if o.Phase == "decode" {
		r.Tokens = o.Tokens
	}
	entry, err := s.plan.Entry(o.Phase)
	if err != nil {
		return r, err
	}
	envs, err := o.runs(s.plan)
	if err != nil {
		return r, err
	}
	for _, env := range envs {
		st := s.plan.Stats(entry, env)
		r.Dispatches += st.Dispatches
		r.Waves += st.Waves
		r.Barriers += st.Barriers
		r.CommandBuffers += st.CommandBuffers
		r.WeightBytes += st.WeightBytes
		r.MovedBytes += st.MovedBytes
		r.ArenaBytes = st.ArenaBytes
	}
	if s.graphs == nil {
		return r, nil
	}
	graph, err := s.graphs.Entry(o.Phase)
	if err != nil {
		return r, err
	}
	targets := []*target.Target{s.graphs.Target}
	if own, err := target.Find(o.Compile.Device); err == nil && own.Name != s.graphs.Target.Name {
		targets = append(targets, own)
	}
	for _, t := range targets {
		for _, env := range envs {
			r.Modelled[t.Name] += modelled(graph, t, env, len(entry.CommandBuffers))
		}
	}
	return r, nil
}

func modelled(g *ir.Graph, t *target.Target, env sym.Env, buffers int) float64 {
	kernels := func(n *ir.Node) []cost.Kernel { return cost.Kernels(n, t, env) }
	us, _ := cost.Total(cost.Waves(g.Nodes(), nil, kernels), t, buffers)
	return us
}

// contender is one variant, loaded and ready to be timed.
type contender struct {
	engine *Engine
	model  runtime.Model
	envs   []sym.Env
	tokens int // of a decode measurement
	row    *BenchRow
}

// measure loads the variants and times them. Variants whose weights do not fit in
// memory together are measured one after the other.
func (o *BenchOptions) measure(ctx context.Context, m *Model, subjects []subject, rows []BenchRow) error {
	start := func(i int) (*contender, error) { return o.contender(ctx, m, subjects[i], &rows[i]) }
	if o.fitTogether(subjects) {
		var all []*contender
		var err error
		for i := range subjects {
			var c *contender
			if c, err = start(i); err != nil {
				break
			}
			all = append(all, c)
		}
		if err == nil {
			err = o.interleave(ctx, all)
		}
		for _, c := range all {
			err = errors.Join(err, c.close())
		}
		return err
	}
	o.Say("the variants' weights do not fit in memory together: each is measured on its own, not interleaved")
	for i := range subjects {
		c, err := start(i)
		if err != nil {
			return err
		}
		if err := errors.Join(o.interleave(ctx, []*contender{c}), c.close()); err != nil {
			return err
		}
	}
	return nil
}

// fitTogether reports whether all variants may hold their weights at once: within
// a quarter of the memory of a small machine.
func (o *BenchOptions) fitTogether(subjects []subject) bool {
	const room = 2 << 30
	total := int64(0)
	for _, s := range subjects {
		total += s.plan.ClassBytes(plan.Weight) + s.plan.ClassBytes(plan.State) + s.plan.ArenaBytes
	}
	return len(subjects) == 1 || total <= room
}

func (o *BenchOptions) contender(ctx context.Context, m *Model, s subject, row *BenchRow) (*contender, error) {
	c := &contender{row: row, tokens: o.Tokens}
	var err error
	if c.envs, err = o.runs(s.plan); err != nil {
		return nil, err
	}
	switch {
	case o.Compile.Device == Ref && s.graphs != nil:
		c.engine, err = Interpret(ctx, s.graphs)
		row.Times = "emulation"
	default:
		dev, openErr := OpenDevice(o.Compile.Device, o.CPU)
		if openErr != nil {
			return nil, openErr
		}
		if dev.Info().Emulation {
			row.Times = "emulation"
		}
		c.engine, err = Load(ctx, dev, m, s.plan, s.graphs, o.Progress)
	}
	if err != nil {
		return nil, err
	}
	if c.model, err = c.engine.open(); err != nil {
		return nil, errors.Join(err, c.engine.Close())
	}
	return c, nil
}

func (c *contender) close() error { return errors.Join(c.model.Close(), c.engine.Close()) }

// run executes what is measured once, and returns how long it took: of decode, a
// token. The caches' content does not change the time, so nothing fills them first.
func (c *contender) run(ctx context.Context) (time.Duration, error) {
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
			return 0, err
		}
	}
	return took / time.Duration(c.tokens), nil
}

func (c *contender) decode(ctx context.Context, p int, id int32) error {
	if b, ok := c.model.(runtime.Batcher); ok && c.tokens > 1 {
		_, err := b.DecodeN(ctx, p, id, c.tokens)
		return err
	}
	for i := range c.tokens {
		var err error
		if id, err = c.model.Decode(ctx, p+i, id); err != nil {
			return err
		}
	}
	return nil
}

func (o *BenchOptions) interleave(ctx context.Context, all []*contender) error {
	for rep := -1; rep < o.Reps; rep++ { // the first round warms up and counts for nothing
		for i, c := range all {
			if o.Progress != nil {
				o.Progress("measure", int64((rep+1)*len(all)+i), int64((o.Reps+1)*len(all)))
			}
			took, err := c.run(ctx)
			if err != nil {
				return fmt.Errorf("variant %s: %w", c.row.Variant, err)
			}
			if rep >= 0 {
				c.row.Samples = append(c.row.Samples, float64(took.Nanoseconds())/1e3)
			}
		}
	}
	for _, c := range all {
		c.row.summarise(c.engine.bandwidth())
		if o.PerKernel {
			if err := c.perKernel(ctx); err != nil {
				return fmt.Errorf("variant %s: %w", c.row.Variant, err)
			}
		}
	}
	return nil
}

// perKernel times each kernel of what is measured alone.
func (c *contender) perKernel(ctx context.Context) error {
	in, ok := c.model.(*runtime.Instance)
	if !ok {
		return errors.New("the reference runs no kernels; take --device cpu or a GPU")
	}
	e := c.envs[len(c.envs)-1]
	entry := "prefill"
	if e.T == 1 {
		entry = "decode"
	}
	times, err := in.KernelTimes(ctx, entry, e, 4)
	if err != nil {
		return err
	}
	for _, t := range times {
		us := float64(t.Each.Nanoseconds()) / 1e3
		row := KernelRow{Kernel: t.Kernel, Dispatches: t.Dispatches, Us: us, Bytes: t.Bytes, GBs: float64(t.Bytes) / us / 1e3}
		if b := c.engine.bandwidth(); b > 0 {
			row.Share = row.GBs * 1e3 / b
		}
		c.row.Kernels = append(c.row.Kernels, row)
	}
	return nil
}

// bandwidth is the device's, in bytes a microsecond; 0 where it is not known.
func (e *Engine) bandwidth() float64 {
	if e.dev == nil || e.dev.Info().Emulation {
		return 0
	}
	t, err := target.Find(e.dev.Info().Target)
	if err != nil {
		return 0
	}
	return t.BandwidthGBs * 1e3
}

func (r *BenchRow) summarise(bandwidth float64) {
	sorted := slices.Sorted(slices.Values(r.Samples))
	r.Measured = &Spread{
		Median: (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2,
		Min:    sorted[0], Max: sorted[len(sorted)-1], N: len(sorted),
	}
	tokens := 1.0
	if r.Phase == "prefill" {
		tokens = float64(r.Prompt)
	}
	rate := tokens / r.Measured.Median * 1e6
	r.TokS = &rate
	if bandwidth > 0 {
		share := float64(r.WeightBytes) / r.Measured.Median / bandwidth
		r.BandwidthShare = &share
	}
}
