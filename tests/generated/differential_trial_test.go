package generated

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"slices"
	"strings"

	"foundry/ir"
	"foundry/ir/cost"
	"foundry/ir/dtype"
	"foundry/ir/interp"
	"foundry/ir/irgen"
	"foundry/ir/seeded"
	"foundry/ir/sym"
	"foundry/ir/target"
	"foundry/lower/metal"
	"foundry/lower/plan"
	"foundry/passes"
	"foundry/runtime/msl/gate"
	"foundry/shaders"
)

// fuzzCase is one compile of a graph, and a run that compares. Held are:
//   - texts of the graph and of the fused graph are read back as they were;
//   - every pass leaves a valid graph, and a fusing one the same graph without regions;
//   - the fused graph has the results and caches of the graph, in float64;
//   - what can be a plan unfused can be one fused, whose checks pass, and whose kernels
//     pass the gate;
//   - cpu computes the same from the plan, within what its arithmetic allows.
type fuzzCase struct {
	graph    *ir.Graph
	pipeline string
	target   string // the name, and "tiled" and "planed" where the machine is made to be so
	fuel     int    // rewrites; -1: no bound
	pins     uint64 // what chooses kernels in place of the cost model; 0: nothing
	env      sym.Env
	seed     uint64 // of the numbers

	fused *ir.Graph
	plan  *plan.Plan // nil where no plan can have the graph
}

// fault is an error with the stage that it is of.
type fault struct {
	stage string
	error
}

func stageOf(err error) string {
	var f fault
	if errors.As(err, &f) {
		return f.stage
	}
	return "other"
}

// drawTrial returns the trial of a seed. Those of 64 seeds in a row share a target, so
// that they can share a plan.
func drawTrial(seed uint64) *fuzzCase {
	r := rand.New(rand.NewPCG(seed, 0xd1ff))
	c := &fuzzCase{graph: irgen.Wide(seed), fuel: -1, seed: seed}
	if r.IntN(4) == 0 {
		c.graph = irgen.Graph(seed)
	}
	c.env = irgen.Env(c.graph, seed)
	c.pipeline = drawPipeline(r)
	if r.IntN(4) == 0 {
		c.fuel = r.IntN(12)
	}
	if pins := r.Uint64() | 1; r.IntN(3) == 0 && !strings.Contains(c.pipeline, "choose-kernels") {
		c.pins = pins // others beside those that the pass writes might contradict them
	}
	block := rand.New(rand.NewPCG(seed/64, 0xd1ff+1))
	c.target = targetsDrawn[block.IntN(len(targetsDrawn))]
	if block.IntN(2) == 0 {
		c.target += " tiled"
	}
	if block.IntN(2) == 0 {
		c.target += " planed"
	}
	return c
}

// drawPipeline returns a legal pipeline: a variant, one with calls left out, or any passes
// in any order that is allowed, with any options.
func drawPipeline(r *rand.Rand) string {
	var calls []string
	switch kind := r.IntN(3); kind {
	case 0, 1:
		variants := passes.Variants()
		p, err := passes.Variant(variants[r.IntN(len(variants))])
		if err != nil {
			panic(err)
		}
		for _, c := range p {
			if kind == 0 || r.IntN(4) > 0 {
				calls = append(calls, c.String())
			}
		}
	default:
		all := passes.BuiltIn().Passes()
		for _, i := range r.Perm(len(all)) {
			if r.IntN(2) == 0 {
				calls = append(calls, drawCall(r, all[i]))
			}
		}
	}
	if r.IntN(4) == 0 {
		calls = append(calls, "choose-kernels")
	}
	last := "legalize"
	if slices.Contains(calls, "choose-kernels") {
		last = "legalize,choose-kernels"
	}
	var out []string
	for _, c := range calls { // what may not stand here is left out
		if _, err := passes.Parse(strings.Join(append(slices.Clone(out), c, last), ",")); err == nil {
			out = append(out, c)
		}
	}
	return strings.Join(append(out, last), ",")
}

func drawCall(r *rand.Rand, p *passes.Pass) string {
	var options []string
	for _, o := range p.Options {
		values := o.Values
		if values == nil {
			values = passWords
		}
		if r.IntN(3) == 0 {
			options = append(options, o.Name+"="+values[r.IntN(len(values))])
		}
	}
	if len(options) == 0 {
		return p.Name
	}
	return p.Name + "{" + strings.Join(options, ",") + "}"
}

// machine returns the trial's target.
func (c *fuzzCase) machine() (*target.Target, error) {
	words := strings.Fields(c.target)
	if len(words) == 0 {
		return nil, fmt.Errorf("there is no target")
	}
	x, err := target.Find(words[0])
	if err != nil {
		return nil, err
	}
	for _, w := range words[1:] {
		switch w {
		case "tiled": // as if rows were a million times slower
			x.TFlops, x.Cores = x.TFlops/1e6, 1
		case "planed":
			x.Planes = nil
			for _, d := range dtype.All() {
				if n, _ := d.Block(); d.HasPlanes(int64(n)) {
					x.Planes = append(x.Planes, d.String())
				}
			}
		default:
			return nil, fmt.Errorf("target %q: unknown word %q", c.target, w)
		}
	}
	return x, nil
}

// onRef compiles, and holds everything that needs no device.
func (c *fuzzCase) onRef() (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fault{"panic", fmt.Errorf("%v\n%s", p, debug.Stack())}
		}
	}()
	if err := readBack(c.graph); err != nil {
		return fault{"text", err}
	}
	x, err := c.machine()
	if err != nil {
		return fault{"target", err}
	}
	choices := metal.NewChoices(x)
	lowerable := choices.Lowerable
	plain := c.graph.Clone()
	for _, n := range plain.Nodes() {
		n.Attr.Kernel = ""
	}
	edits, err := c.edits()
	if err != nil {
		return fault{"pipeline", err}
	}
	planned := true
	if err := edits.Run(plain, &passes.Context{Target: x, Choices: choices, Lowerable: lowerable}); err != nil {
		if !strings.Contains(err.Error(), "cannot become a kernel") {
			return fault{"unfused", err}
		}
		planned, lowerable = false, nil // an operation has no kernel as it stands
	}
	if c.fused, err = c.fuse(x, choices, lowerable); err != nil {
		return err
	}
	if err := readBack(c.fused); err != nil {
		return fault{"text", err}
	}
	if err := c.sameNumbers(); err != nil {
		return fault{"numbers", err}
	}
	if !planned {
		return nil
	}
	return c.lower(x, plain)
}

// edits is the pipeline without fusions.
func (c *fuzzCase) edits() (passes.Pipeline, error) {
	p, err := passes.Parse(c.pipeline)
	return slices.DeleteFunc(p, func(call passes.Call) bool {
		return strings.HasPrefix(call.Pass.Name, "fuse-") || call.Pass.Name == "choose-kernels"
	}), err
}

// readBack holds a graph's text to the graph.
func readBack(g *ir.Graph) error {
	again, err := ir.Parse("trial.fir", g.String())
	if err != nil {
		return err
	}
	if have := again.String(); have != g.String() {
		return fmt.Errorf("read back it is\n%s", have)
	}
	return nil
}

// fuse runs the pipeline, and then writes the pins.
func (c *fuzzCase) fuse(x *target.Target, choices *cost.Choices, lowerable func(*ir.Node) error) (*ir.Graph, error) {
	p, err := passes.Parse(c.pipeline)
	if err != nil {
		return nil, fault{"pipeline", err}
	}
	var trace []passes.Step
	flat := ""
	cx := &passes.Context{Target: x, Choices: choices, Lowerable: lowerable, Log: &passes.Log{}, Trace: &trace}
	cx.After = func(pass string, g *ir.Graph) error {
		fuses := strings.HasPrefix(pass, "fuse-")
		if flat != "" && trace[len(trace)-1].Rewrites == 0 {
			return nil
		}
		inlined := g.Clone()
		inlined.InlineAll()
		before := flat
		flat = inlined.Canonical()
		if fuses && before != "" && flat != before {
			return fault{"inlined", fmt.Errorf("without regions it is\n%s\nand was\n%s", flat, before)}
		}
		return nil
	}
	if c.fuel >= 0 {
		cx.Fuel = &passes.Fuel{Left: c.fuel}
	}
	g := c.graph.Clone()
	if err := p.Run(g, cx); err != nil {
		if stageOf(err) == "inlined" {
			return nil, err
		}
		return nil, fault{"passes", err}
	}
	if c.pins != 0 {
		costs := choices.Finished(g, cost.Typical(g.Bounds))
		r := rand.New(rand.NewPCG(c.pins, 0))
		for _, n := range g.Nodes() {
			kernels := slices.Collect(costs.Candidates(n))
			if len(kernels) > 0 && n.Attr.Kernel == "" && r.IntN(2) == 0 {
				// Further words may hang on what others of its operand's readers get.
				n.Attr.Kernel, _, _ = strings.Cut(kernels[r.IntN(len(kernels))].String(), " ")
			}
		}
	}
	if err := ir.Verify(g); err != nil {
		return nil, fault{"passes", err}
	}
	return g, nil
}

// options are those of a plan for the trial's target and context.
func (c *fuzzCase) options(x *target.Target) metal.Options {
	return metal.Options{Target: x, Model: plan.Model{Name: "trial", Layers: 100, Context: int(c.graph.Bounds.SMax)},
		Meta: plan.Options{Target: x.Name, Weights: dtype.F16, Cache: dtype.F16}}
}

// lower makes the plan; plain is the graph behind edits alone.
func (c *fuzzCase) lower(x *target.Target, plain *ir.Graph) error {
	p, err := metal.Compile([]metal.Entry{{Name: "trial", Graph: c.fused}}, c.options(x))
	if err != nil {
		if _, refused := metal.Compile([]metal.Entry{{Name: "trial", Graph: plain}}, c.options(x)); refused != nil {
			return nil // nor is the graph as it stands
		}
		return fault{"lower", err}
	}
	if err := p.Check(); err != nil {
		return fault{"check", err}
	}
	g := gate.New()
	for i := range p.Kernels {
		if _, err := p.Kernels[i].Split(shaders.FS); err != nil {
			return fault{"gate", err}
		}
		if err := g.Kernel(&p.Kernels[i]); err != nil {
			return fault{"gate", err}
		}
	}
	c.plan = p
	return nil
}

// sameNumbers compares the fused graph with the graph in float64.
func (c *fuzzCase) sameNumbers() error {
	want, err := c.values(c.graph, nil)
	if err != nil {
		return fmt.Errorf("the graph: %w", err)
	}
	have, err := c.values(c.fused, nil)
	if err != nil {
		return err
	}
	if len(have) != len(want) {
		return fmt.Errorf("there are %d results, want %d", len(have), len(want))
	}
	spread := map[string]float64(nil)
	for name, w := range want {
		d := interp.Compare(numbersOf(have[name]), numbersOf(w))
		// A norm in two steps adds the same squares in another order.
		if d.NMSE <= 1e-26 && (w.I32 == nil || d.MaxAbs == 0) {
			continue
		}
		if spread == nil {
			if spread, _, err = c.spread(want, 0x1p-20); err != nil {
				return err
			}
		}
		// Roundings of 2^-53, those of some 64 operations, grow as those of 2^-20 do.
		const grown = 64 * 0x1p-33
		if w.I32 != nil || !(d.NMSE <= grown*grown*spread[name]) {
			return fmt.Errorf("result %s: %v, and %g of inputs rounded to 2^-20", name, d, spread[name])
		}
	}
	return nil
}

// values returns a form's results and its caches after, from the numbers of the graph or
// from what change makes of them.
func (c *fuzzCase) values(g *ir.Graph, change *perturbation) (map[string]interp.Tensor, error) {
	p, err := interp.New(g, change.source(seeded.Weights(c.graph, c.seed)), interp.Float64)
	if err != nil {
		return nil, err
	}
	state := p.NewState()
	if err := seeded.FillState(state, c.seed); err != nil {
		return nil, err
	}
	if err := change.state(state); err != nil {
		return nil, err
	}
	inputs := change.inputs(seeded.Inputs(c.graph, c.env, c.seed))
	out, err := p.Run(context.Background(), interp.Run{Inputs: inputs, Env: c.env, State: state})
	if err != nil {
		return nil, err
	}
	for _, name := range state.Names() {
		if out[name], err = state.Tensor(name); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// text is the trial as a file: the graph, with the rest in comments.
func (c *fuzzCase) text(err error) string {
	first, _, _ := strings.Cut(err.Error(), "\n")
	return fmt.Sprintf("// %s: %s\n// pipeline: %s\n// target: %s\n// fuel: %d\n// pins: %d\n// T: %d\n// P: %d\n// seed: %d\n%s",
		stageOf(err), first, c.pipeline, c.target, c.fuel, c.pins, c.env.T, c.env.P, c.seed, c.graph)
}

// readTrial reads what text wrote.
func readTrial(path string) (*fuzzCase, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	c := &fuzzCase{}
	if c.graph, err = ir.Parse(path, string(text)); err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(text)) {
		rest, comment := strings.CutPrefix(line, "// ")
		key, value, _ := strings.Cut(strings.TrimSpace(rest), ": ")
		if into := map[string]any{"fuel": &c.fuel, "pins": &c.pins, "T": &c.env.T, "P": &c.env.P, "seed": &c.seed}[key]; comment && into != nil {
			if _, err := fmt.Sscan(value, into); err != nil {
				return nil, fmt.Errorf("%s: %s: %w", path, key, err)
			}
		}
		if comment && key == "pipeline" {
			c.pipeline = value
		}
		if comment && key == "target" {
			c.target = value
		}
	}
	return c, nil
}
