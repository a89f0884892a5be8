package foundry

import (
	"context"
	"fmt"
	"time"

	"foundry/lower/plan"
	"foundry/runtime"
	"foundry/runtime/cpu"
)

// StartOptions say how Start gets a model running.
type StartOptions struct {
	Compile  CompileOptions // Compile.Device says where
	PlanDir  string         // run this bundle instead of compiling; of Compile only Device, Chunk and AllLogits count then
	CPU      cpu.Options    // of the device cpu
	Progress Progress
	Say      func(line string) // told what Auto took and why, and other notes; nil: nobody

	// Fits is asked, before a device is opened or a weight is read, whether what shall
	// run fits Vocab and Context of the model; nil: nobody asks.
	Fits func(runtime.Limits) error
}

// Start is the way from a model to an Engine in one call: it compiles for the
// device, or reads a plan, and loads the weights.
func Start(ctx context.Context, m *Model, o StartOptions) (*Engine, error) {
	if o.Say == nil {
		o.Say = func(string) {}
	}
	p, err := o.ready(m)
	if err != nil {
		return nil, err
	}
	device := o.Compile.Device
	if device == Auto {
		device = o.auto()
		o.Compile.Device = device
	}
	if p != nil {
		return startPlan(ctx, m, device, p, o)
	}
	if o.Compile.Passes == SearchPasses {
		found, err := Search(ctx, m, SearchOptions{Compile: o.Compile, CPU: o.CPU, Progress: o.Progress, Say: o.Say})
		if err != nil {
			return nil, err
		}
		found.Apply(&o.Compile)
	}
	if o.Compile.Target == "" {
		o.Compile.Target = o.Compile.deviceTarget() // which may start a driver, not to be counted as compilation
	}
	start := time.Now()
	g, err := Fuse(m, o.Compile)
	if err != nil {
		return nil, err
	}
	for _, note := range g.Notes {
		o.Say(fmt.Sprintf("%s: %s", m.Name, note))
	}
	if device == Ref {
		return Interpret(ctx, g)
	}
	c, err := g.Lower()
	if err != nil {
		return nil, err
	}
	compiled := compiling(start)
	e, err := startOn(ctx, m, device, c.Plan, g, o)
	if err == nil {
		e.compiled = compiled
	}
	return e, err
}

// ready finds what is wrong with o as far as that takes no device and no weight. It
// returns the plan of PlanDir, nil for none.
func (o *StartOptions) ready(m *Model) (p *plan.Plan, err error) {
	if err := m.speaks(); err != nil {
		return nil, err
	}
	if _, _, err := deviceKind(o.Compile.Device); err != nil {
		return nil, err
	}
	limits := runtime.Limits{Vocab: m.Config.Vocab}
	if o.PlanDir != "" {
		if p, err = plan.Load(o.PlanDir); err != nil {
			return nil, err
		}
		if err := m.fits(p); err != nil {
			return nil, err
		}
		limits.Context = p.Model.Context
	} else {
		c := o.Compile
		c.Device = "" // whose driver would say the target
		if c, _, err = c.resolve(m); err != nil {
			return nil, err
		}
		if c.Passes != SearchPasses {
			if _, err := c.pipeline(); err != nil {
				return nil, err
			}
		}
		limits.Context = c.Context
	}
	if o.Fits == nil {
		return p, nil
	}
	return p, o.Fits(limits)
}

// compiling is the phase from start to now in which a model became a plan.
func compiling(start time.Time) *runtime.Phase {
	return &runtime.Phase{Name: "compile the model", Seconds: time.Since(start).Seconds()}
}

// startPlan runs a bundle from disk: no compiler in between.
func startPlan(ctx context.Context, m *Model, device string, p *plan.Plan, o StartOptions) (*Engine, error) {
	if device == Ref {
		return nil, fmt.Errorf("%s: a plan runs on a device that executes kernels, such as cpu; ref runs graphs", o.PlanDir)
	}
	if o.Compile.AllLogits && !p.Options.AllLogits {
		return nil, fmt.Errorf("%s computes the last row's logits only; compile it with --all-logits", o.PlanDir)
	}
	chunk := o.Compile.Chunk
	if chunk > p.Model.Chunk {
		return nil, fmt.Errorf("%s runs at most %d tokens at a time, not %d; compile it with --chunk %d", o.PlanDir, p.Model.Chunk, chunk, chunk)
	}
	e, err := startOn(ctx, m, device, p, nil, o)
	if err == nil {
		e.chunk = chunk
	}
	return e, err
}

func startOn(ctx context.Context, m *Model, device string, p *plan.Plan, g *Graphs, o StartOptions) (*Engine, error) {
	dev, err := OpenDevice(device, o.CPU)
	if err != nil {
		return nil, err
	}
	if note := unknownCosts(dev.Info(), p); note != "" {
		o.Say(note)
	}
	e, err := Load(ctx, dev, m, p, g, o.Progress)
	if err == nil && e.Loss.Overflowed+e.Loss.Flushed > 0 {
		o.Say(fmt.Sprintf("%s: of %d weights converted to narrower types %d overflowed and %d became zero", m.Name, e.Loss.Values, e.Loss.Overflowed, e.Loss.Flushed))
	}
	return e, err
}

// unknownCosts is what to say of a GPU of which no target is known: the plan's choices
// are those for another.
func unknownCosts(i runtime.Info, p *plan.Plan) string {
	if i.Emulation || i.Target != "" {
		return ""
	}
	return fmt.Sprintf("nothing is known of the costs of %s: the plan was compiled for %s", i.Name, p.Options.Target)
}

// expectations are what auto tries, the fastest first, and the speed to expect.
var expectations = []struct{ device, expect string }{
	{Metal, "an Apple GPU"},
	{CUDA, "an NVIDIA GPU, thousands of tokens a second from a small model"},
	{CPU, "which executes the plan's Metal text; expect seconds a token from a model of billions of parameters"},
}

// auto takes the fastest device that opens here, and says so.
func (o *StartOptions) auto() string {
	var why error
	for _, x := range expectations {
		dev, err := OpenDevice(x.device, o.CPU)
		if err != nil {
			why = err
			continue
		}
		name := dev.Info().Name
		if err := dev.Close(); err != nil {
			why = err
			continue
		}
		o.Say(fmt.Sprintf("device auto: took %s (%s), %s", x.device, name, x.expect))
		return x.device
	}
	o.Say(fmt.Sprintf("device auto: took ref, the interpreter, because no device that executes kernels is usable: %v", why))
	return Ref
}
