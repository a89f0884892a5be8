package engine

import (
	"context"
	"fmt"
	"time"

	"foundry/frontends/model"
	"foundry/lower/compile"
	"foundry/lower/plan"
	"foundry/runtime"
	"foundry/runtime/cpu"
)

// Options say how Start gets a model running.
type Options struct {
	Device   string          // the place to run, such as Auto
	Compile  compile.Options // options of the compiler; Defaults of the device fill what they leave open
	PlanDir  string          // a bundle to run instead of compiling, Guarded; of Compile only Chunk and AllLogits count then
	CPU      cpu.Options     // options of the device cpu
	Progress runtime.Progress
	Say      func(line string) // a taker of notes, such as what Auto took and why; nil: nobody

	// CheckLimits is asked, before a device is opened or a weight is read, whether what shall
	// run fits Vocab and Context of the model; nil: nobody asks.
	CheckLimits func(runtime.Limits) error
}

// Start is the way from a model to an Engine in one call: it compiles for the
// device, or reads a plan, and loads the weights.
func Start(ctx context.Context, m *model.Model, o Options) (*Engine, error) {
	s, err := Prepare(ctx, m, o)
	if err != nil {
		return nil, err
	}
	return s.Start(ctx)
}

// Starting is a start of which everything is known that takes no weight.
type Starting struct {
	Options // Device is no longer Auto, Say never nil
	m       *model.Model
	plan    *plan.Plan // the plan in PlanDir; nil for none
}

// Prepare checks everything that can be checked without a weight, and takes a device
// for Auto. A search for the fastest pipeline has its place behind it.
func Prepare(ctx context.Context, m *model.Model, o Options) (*Starting, error) {
	if o.Say == nil {
		o.Say = func(string) {}
	}
	s := &Starting{Options: o, m: m}
	if err := s.check(); err != nil {
		return nil, err
	}
	var err error
	s.Device, err = Choose(ctx, o.Device, o.CPU, o.Say)
	return s, err
}

// Start compiles and loads.
func (s *Starting) Start(ctx context.Context) (*Engine, error) {
	if s.plan != nil {
		return s.startPlan(ctx)
	}
	o := Defaults(s.Device, s.Compile) // may start a driver, which is not to be counted as compilation
	start := time.Now()
	g, err := compile.Fuse(s.m, o)
	if err != nil {
		return nil, err
	}
	for _, note := range g.Notes {
		s.Say(fmt.Sprintf("%s: %s", s.m.Name, note))
	}
	if s.Device == Ref {
		e, err := Interpret(ctx, g)
		if err == nil {
			s.sayLoss(e)
		}
		return e, err
	}
	c, err := g.Lower()
	if err != nil {
		return nil, err
	}
	compiled := CompilePhase(start)
	e, err := s.load(ctx, c.Plan, g)
	if err == nil {
		e.compiled = compiled
	}
	return e, err
}

// check finds what is wrong as far as that takes no device and no weight, and reads
// the plan of PlanDir.
func (s *Starting) check() (err error) {
	if err := s.m.CheckLanguage(); err != nil {
		return err
	}
	if _, _, err := ParseDevice(s.Device); err != nil {
		return err
	}
	limits := runtime.Limits{Vocab: s.m.Config.Vocab}
	if s.PlanDir != "" {
		if s.plan, err = plan.Load(s.PlanDir); err != nil {
			return err
		}
		if err := s.m.CheckPlan(s.plan); err != nil {
			return err
		}
		limits.Context = s.plan.Model.Context
	} else {
		c, _, err := s.Compile.Resolve(s.m)
		if err != nil {
			return err
		}
		if c.Passes != compile.SearchPasses {
			if _, err := c.Pipeline(); err != nil {
				return err
			}
		}
		limits.Context = c.Context
	}
	if s.CheckLimits == nil {
		return nil
	}
	return s.CheckLimits(limits)
}

// CompilePhase is the phase from start to now in which a model became a plan.
func CompilePhase(start time.Time) *runtime.Phase {
	return &runtime.Phase{Name: "compile the model", Seconds: time.Since(start).Seconds()}
}

// startPlan runs a bundle from disk: no compiler in between.
func (s *Starting) startPlan(ctx context.Context) (*Engine, error) {
	p := s.plan
	if s.Device == Ref {
		return nil, fmt.Errorf("%s: a plan runs on a device that executes kernels, such as cpu; ref runs graphs", s.PlanDir)
	}
	if s.Compile.AllLogits && !p.Options.AllLogits {
		return nil, fmt.Errorf("%s computes the last row's logits only; compile it with --all-logits", s.PlanDir)
	}
	chunk := s.Compile.Chunk
	if chunk > p.Model.Chunk {
		return nil, fmt.Errorf("%s runs at most %d tokens at a time, not %d; compile it with --chunk %d", s.PlanDir, p.Model.Chunk, chunk, chunk)
	}
	s.CPU = Guarded(s.Device, s.PlanDir, s.CPU, s.Say)
	e, err := s.load(ctx, p, nil)
	if err == nil {
		e.chunk = chunk
	}
	return e, err
}

func (s *Starting) load(ctx context.Context, p *plan.Plan, g *compile.Graphs) (*Engine, error) {
	dev, err := OpenDevice(ctx, s.Device, s.CPU)
	if err != nil {
		return nil, err
	}
	if note := unknownCosts(dev.Info(), p); note != "" {
		s.Say(note)
	}
	e, err := Load(ctx, dev, s.m, p, g, s.Progress)
	if err == nil {
		s.sayLoss(e)
	}
	return e, err
}

// sayLoss says what the weights lost when they were converted.
func (s *Starting) sayLoss(e *Engine) {
	if note := e.Loss.Note(); note != "" {
		s.Say(fmt.Sprintf("%s: %s", s.m.Name, note))
	}
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

// Choose returns the device, or for Auto the fastest that opens here, of which it
// tells say. The error is that the context ended.
func Choose(ctx context.Context, device string, c cpu.Options, say func(line string)) (string, error) {
	if device != Auto {
		return device, nil
	}
	var why error
	for _, x := range expectations {
		dev, err := OpenDevice(ctx, x.device, c)
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		if err != nil {
			why = err
			continue
		}
		name := dev.Info().Name
		if err := dev.Close(); err != nil {
			why = err
			continue
		}
		say(fmt.Sprintf("device auto: took %s (%s), %s", x.device, name, x.expect))
		return x.device, nil
	}
	say(fmt.Sprintf("device auto: took ref, the interpreter, because no device that executes kernels is usable: %v", why))
	return Ref, nil
}
