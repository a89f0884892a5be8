// Package bench turns a model and variants of how it is compiled into numbers: counts
// of the plan, times that the cost model predicts, and times measured on a device.
//
//	Run       variants of a model     -> Rows: one step each
//	Contexts  attention backends      -> ContextRows: at several lengths of text
//	Kernels   kernels of a model      -> AloneRows: each alone
//
// Whatever is compared is measured interleaved, by the one loop in interleave.go.
//
// Read next: run.go for what one measurement is; runtime/search for who asks.
package bench

import (
	"context"
	"fmt"
	"time"

	"foundry/frontends/model"
	"foundry/ir"
	"foundry/ir/cost"
	"foundry/ir/sym"
	"foundry/ir/target"
	"foundry/lower/compile"
	"foundry/lower/plan"
	"foundry/passes"
	"foundry/runtime"
	"foundry/runtime/cpu"
	"foundry/runtime/engine"
)

// Options say what to measure.
type Options struct {
	Device   string          // the place to run: an engine's device, not Auto
	Compile  compile.Options // options of the compiler; engine.Defaults fill what they leave open
	Variants []Variant
	PlanDir  string // a bundle to measure instead of Variants
	Phase    string // "decode": tokens one by one; "prefill": the prompt
	Prompt   int    // decode: tokens in the cache; prefill: tokens that run
	Tokens   int    // decode: tokens that one measurement runs, without a round trip to the host in between; 0 is 1
	Reps     int    // runs of each variant, at least; 0: plan statistics only, no weight is read
	// Within asks for more runs until every variant's median is known to this share of
	// it, with 95 % confidence, or Limit is over. 0: Reps runs, no more. When to stop
	// follows from how wide the intervals are, never from where they lie.
	Within    float64
	Limit     time.Duration
	PerKernel bool   // each kernel alone, too
	Indirect  bool   // a second row for each variant on an Apple GPU, replayed from an indirect command buffer
	Capture   string // a file for the trace of one more run on an Apple GPU
	CPU       cpu.Options

	targetOnly bool // modelled times for the target alone
	Progress   runtime.Progress
	Say        func(line string)
	// Measured is told, behind each round, the rows as far as they are measured: what a
	// run that is interrupted has found. nil: nobody is.
	Measured func([]Row)
	// Counted is told rows of a long list that nothing is measured of, as they are found;
	// what else gives their plans may still come to Also. nil: nobody is.
	Counted func([]Row)
}

// Row is one variant in numbers: what `foundry bench --format json` prints.
type Row struct {
	Model          string             `json:"model"`
	Device         string             `json:"device"`
	Phase          string             `json:"phase"`
	Variant        string             `json:"variant"`
	Also           []string           `json:"also,omitempty"` // variants that give the same plan: it is measured once
	Passes         string             `json:"passes"`
	Weights        string             `json:"weights,omitempty"` // dtype of matrices
	Context        int                `json:"context"`
	Prompt         int                `json:"prompt"`
	Tokens         int                `json:"tokens,omitempty"` // decode: tokens of one measurement, whose time is divided by them
	Dispatches     int                `json:"dispatches"`
	Waves          int                `json:"waves"`
	Barriers       int                `json:"barriers"`
	CommandBuffers int                `json:"command_buffers"`
	WeightBytes    int64              `json:"weight_bytes"`
	MovedBytes     int64              `json:"moved_bytes"`
	ArenaBytes     int64              `json:"arena_bytes,omitempty"` // left out of a long list that was counted on few layers
	Modelled       map[string]float64 `json:"modelled"`              // us by target; uncalibrated
	Measured       *Spread            `json:"measured_us"`           // times of the device; null when nothing ran
	Times          string             `json:"times,omitempty"`       // "emulation" where they say nothing of a GPU
	TokS           *float64           `json:"tok_s"`                 // tokens a second of the median
	BandwidthShare *float64           `json:"bandwidth_share"`       // weights over median time, of the device's bandwidth; null where that is not known

	Flops       int64           `json:"flops,omitempty"`        // operations of the entry's products
	TFlops      *float64        `json:"tflop_s,omitempty"`      // rate of the median
	MatmulShare *float64        `json:"matmul_share,omitempty"` // TFlops, of the machine's matmul rate
	Machine     *Machine        `json:"machine,omitempty"`      // the machine that the shares are of, measured in the same run; on GPUs
	Startup     []runtime.Phase `json:"startup,omitempty"`      // phases before the runs, each once
	Others      *float64        `json:"others,omitempty"`       // share of the machine's processors' time that other processes took meanwhile; null where the system does not tell

	Kernels []KernelRow `json:"kernels,omitempty"` // rows of kernels, with Options.PerKernel

	NoiseWith string  `json:"noise_with,omitempty"` // the next faster row, where noise alone may have ordered the two
	Saves     *Saving `json:"saves,omitempty"`      // the saving against the variant that a list compares this one with
	Target    string  `json:"target,omitempty"`     // the machine that the plan is for

	Samples []float64 `json:"-"` // us, in the order they were taken
}

// KernelRow is what one kernel of the entry costs when its dispatches run alone,
// one after the other.
type KernelRow struct {
	Kernel     string  `json:"kernel"`
	Dispatches int     `json:"dispatches"` // dispatches in one run
	Us         float64 `json:"us"`         // time of one dispatch
	Bytes      int64   `json:"bytes"`      // bytes that one dispatch moves
	GBs        float64 `json:"gb_s"`
	Share      float64 `json:"bandwidth_share,omitempty"` // part of the device's bandwidth, where that is known
	TFlops     float64 `json:"tflop_s"`
}

// Spread summarises samples.
type Spread struct {
	Median float64 `json:"median"`
	Low    float64 `json:"low"`  // lower end of the interval that holds the true median with 95 % confidence
	High   float64 `json:"high"` // upper end; of fewer than six samples both are the extremes
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
	N      int     `json:"n"`
}

// Within is how far the true median may lie from this one, as a share of it; known is
// false of fewer than six runs, which do not tell.
func (s *Spread) Within() (share float64, known bool) {
	return Interval{Mid: s.Median, Low: s.Low, High: s.High}.halfWidth(), s.N >= fewestRuns
}

// Check is an error of what cannot be measured, as far as that is seen without
// compiling anything.
func (o *Options) Check(m *model.Model) error {
	if err := o.checkMetal(); err != nil || m.Graph != nil {
		return err
	}
	if o.Phase != "decode" && o.Phase != "prefill" {
		return fmt.Errorf("there is no phase %q, want decode or prefill", o.Phase)
	}
	if o.Tokens < 0 || o.Tokens > 1 && o.Phase != "decode" {
		return fmt.Errorf("%d tokens a measurement of %s, want 1, or more of decode", o.Tokens, o.Phase)
	}
	return nil
}

// Run compiles every variant and measures them, interleaved.
func Run(ctx context.Context, m *model.Model, o Options) ([]Row, error) {
	if o.Say == nil {
		o.Say = func(string) {}
	}
	if err := o.Check(m); err != nil {
		return nil, err
	}
	o.Compile = engine.Defaults(o.Device, o.Compile)
	rows, err := o.rows(ctx, m)
	if err != nil {
		return nil, err
	}
	markNoise(rows)
	saves, err := o.savings(m, rows)
	for i := range rows {
		rows[i].Saves = saves[rows[i].Variant]
	}
	return rows, err
}

func (o *Options) rows(ctx context.Context, m *model.Model) ([]Row, error) {
	if m.Graph != nil {
		return o.benchGraph(ctx, m)
	}
	o.Tokens = max(1, o.Tokens)
	if o.many() {
		return o.benchMany(ctx, m)
	}
	list, err := o.compileAll(ctx, m)
	if err != nil {
		return nil, err
	}
	if o.Indirect {
		list = withReplays(list)
	}
	rows := make([]Row, len(list))
	for i, s := range list {
		if rows[i], err = o.row(m, s); err != nil {
			return nil, err
		}
	}
	if o.Reps > 0 {
		if err := o.measure(ctx, m, list, rows); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// compiledVariant is a variant behind the compiler.
type compiledVariant struct {
	name     string
	plan     *plan.Plan
	indirect bool            // replayed from an indirect command buffer
	graphs   *compile.Graphs // nil for a plan from disk
	compiled *runtime.Phase  // nil for a plan from disk
}

func (o *Options) compileAll(ctx context.Context, m *model.Model) ([]compiledVariant, error) {
	if o.PlanDir != "" {
		p, err := plan.Load(o.PlanDir)
		if err != nil {
			return nil, err
		}
		return []compiledVariant{{name: passes.VariantName(p.Options.Variant), plan: p}}, nil
	}
	var out []compiledVariant
	for i, v := range o.Variants {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if o.Progress != nil {
			o.Progress("compile", int64(i), int64(len(o.Variants)))
		}
		c := v.options(o.Compile)
		if v.CommandBuffers > 0 {
			c.CommandBuffers = v.CommandBuffers
		}
		start := time.Now()
		compiled, err := compile.Model(m, c)
		if err != nil {
			return nil, fmt.Errorf("variant %s: %w", v.Name, err)
		}
		compiled.Plan.Options.Variant = v.Name
		out = append(out, compiledVariant{name: v.Name, plan: compiled.Plan, graphs: compiled.Graphs, compiled: engine.CompilePhase(start)})
	}
	return out, nil
}

// runs lists the values of T and P of what one measurement runs.
func (o *Options) runs(p *plan.Plan) ([]sym.Env, error) {
	if o.Phase == "decode" {
		if o.Prompt < 0 || o.Prompt > p.Model.Context-o.Tokens {
			return nil, fmt.Errorf("%d decode steps behind %d tokens do not fit the context of %d", o.Tokens, o.Prompt, p.Model.Context)
		}
		return []sym.Env{{T: 1, P: int64(o.Prompt)}}, nil
	}
	if o.Prompt < 1 || o.Prompt > p.Model.Context {
		return nil, fmt.Errorf("a prompt of %d tokens does not fit the context of %d", o.Prompt, p.Model.Context)
	}
	chunk := p.Model.Chunk
	if o.Compile.Chunk > chunk {
		return nil, fmt.Errorf("the plan runs at most %d tokens at a time, not %d; compile it with --chunk %d", chunk, o.Compile.Chunk, o.Compile.Chunk)
	}
	if o.Compile.Chunk > 0 {
		chunk = o.Compile.Chunk
	}
	var out []sym.Env
	for at := 0; at < o.Prompt; at += chunk {
		out = append(out, sym.Env{T: int64(min(chunk, o.Prompt-at)), P: int64(at)})
	}
	return out, nil
}

// entryOf is the entry that runs at the given T and P end in: of decode, that for so many
// tokens.
func (o *Options) entryOf(p *plan.Plan, envs []sym.Env) (*plan.Entry, error) {
	if o.Phase == string(plan.Decode) {
		if i := p.EntryAt(plan.Decode, envs[len(envs)-1].P+int64(max(1, o.Tokens))-1); i >= 0 {
			return &p.Entries[i], nil
		}
	}
	return p.Entry(o.Phase)
}

// row counts what the plan does and models its time.
func (o *Options) row(m *model.Model, s compiledVariant) (Row, error) {
	envs, err := o.runs(s.plan)
	if err != nil {
		return Row{}, err
	}
	return o.rowOf(m, s, envs)
}

// rowOf is row for runs at the given T and P, one after the other.
func (o *Options) rowOf(m *model.Model, s compiledVariant, envs []sym.Env) (Row, error) {
	r := o.newRow(m, s.plan, s.name, s.plan.Options.PassesOf(plan.EntryRole(o.Phase)))
	entry, err := o.entryOf(s.plan, envs)
	if err != nil {
		return r, err
	}
	r.count(s.plan, entry, envs)
	if s.graphs == nil {
		return r, nil
	}
	graph, err := s.graphs.Entry(entry.Name)
	if err != nil {
		return r, err
	}
	o.model(&r, graph, s.graphs.Choices, envs)
	return r, nil
}

// newRow is a row that nothing has been counted for.
func (o *Options) newRow(m *model.Model, p *plan.Plan, variant, passes string) Row {
	r := Row{
		Model: m.BaseName(), Device: o.Device, Phase: o.Phase, Variant: variant, Passes: passes,
		Context: p.Model.Context, Prompt: o.Prompt, Modelled: map[string]float64{}, Target: p.Options.Target, Weights: p.Options.Weights.String(),
	}
	if o.Phase == "decode" {
		r.Tokens = o.Tokens
	}
	return r
}

// count adds what runs of an entry do.
func (r *Row) count(p *plan.Plan, entry *plan.Entry, envs []sym.Env) {
	for _, env := range envs {
		st := p.Stats(entry, env)
		r.Dispatches += st.Dispatches
		r.Waves += st.Waves
		r.Barriers += st.Barriers
		r.CommandBuffers += st.CommandBuffers
		r.WeightBytes += st.WeightBytes
		r.MovedBytes += st.MovedBytes
		r.Flops += flops(entry, env)
		r.ArenaBytes = st.ArenaBytes
	}
}

// targets are those whose costs predict: the one that a graph is lowered for, and the
// device's own where that is another.
func (o *Options) targets(lowered *target.Target) []*target.Target {
	targets := []*target.Target{lowered}
	if o.targetOnly || o.Reps == 0 { // a device's own costs stand beside what is measured there
		return targets
	}
	if own, err := target.Find(o.Device); err == nil && own.Name != lowered.Name {
		targets = append(targets, own)
	}
	return targets
}

// model predicts what runs of a graph take.
func (o *Options) model(r *Row, graph *ir.Graph, choices *cost.Choices, envs []sym.Env) {
	buffers := r.CommandBuffers / len(envs)
	for _, t := range o.targets(choices.Target) {
		for _, env := range envs {
			r.Modelled[t.Name] += cost.Predict(graph, choices, t, env, buffers)
		}
	}
}
