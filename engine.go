package foundry

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"foundry/frontends/checkpoint"
	"foundry/lower/plan"
	"foundry/runtime"
	"foundry/runtime/cpu"
)

// The devices that a model runs on.
const (
	Ref  = "ref"  // the interpreter, on the fused graphs; needs nothing installed
	CPU  = "cpu"  // the plan's Metal text, compiled by the system's C++ compiler
	Auto = "auto" // the fastest that works here
)

// Devices lists the names that CompileOptions.Device takes.
func Devices() []string { return []string{Ref, CPU, Auto} }

// Engine is a model ready to run. Any number of sessions share it.
type Engine struct {
	Device string  // Ref or CPU
	Graphs *Graphs // nil for a plan that was read from disk
	// Plan is what runs or, on ref, what the graphs would run as; its numbers
	// are reported.
	Plan *plan.Plan
	Loss checkpoint.Narrowing // what the conversion of weights to narrower types lost

	model *Model
	ref   *reference
	dev   runtime.Device
	exec  *runtime.Executable
}

// Interpret makes graphs ready to run on the reference, and reads their weights.
func Interpret(ctx context.Context, g *Graphs) (*Engine, error) {
	if g.Model.Graph != nil {
		return nil, fmt.Errorf("%s is a graph and no language model: it has no prompt to run", g.Model.Name)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	ref, err := newReference(g, &weights{source: g.Model.source})
	if err != nil {
		return nil, err
	}
	return &Engine{Device: Ref, Graphs: g, model: g.Model, ref: ref}, nil
}

// Load makes a plan ready to run on a device that executes kernels, which the
// engine owns from now on, and reads the model's weights. g may be nil.
func Load(ctx context.Context, dev runtime.Device, m *Model, p *plan.Plan, g *Graphs, progress Progress) (*Engine, error) {
	if err := m.fits(p); err != nil {
		return nil, errors.Join(err, dev.Close())
	}
	w := &weights{source: m.source}
	exec, err := runtime.New(ctx, dev, p, w, progress)
	if err != nil {
		return nil, errors.Join(err, dev.Close())
	}
	return &Engine{Device: dev.Info().Kind, Graphs: g, Plan: p, Loss: w.loss, model: m, dev: dev, exec: exec}, nil
}

// fits reports how a plan differs from the model that shall give it weights.
func (m *Model) fits(p *plan.Plan) error {
	if m.Graph != nil {
		return fmt.Errorf("%s is a graph and no language model: it has no prompt to run", m.Name)
	}
	c := m.Config
	if have := p.Model; have.Layers != c.Layers || have.Hidden != c.Hidden || have.Vocab != c.Vocab {
		return fmt.Errorf("the plan was compiled from %s (%d layers, hidden %d, vocabulary %d), not from %s (%d, %d, %d)",
			have.Name, have.Layers, have.Hidden, have.Vocab, m.Name, c.Layers, c.Hidden, c.Vocab)
	}
	return nil
}

// open returns a context of its own: caches, and a position in them.
func (e *Engine) open() (runtime.Model, error) {
	if e.ref != nil {
		return e.ref.open(), nil
	}
	return e.exec.NewInstance()
}

// Close gives back weights, kernels and device. Every session must be closed.
func (e *Engine) Close() error {
	if e.exec == nil {
		return nil
	}
	return errors.Join(e.exec.Close(), e.dev.Close())
}

// OpenDevice opens a device that executes kernels. The error says what it lacks.
func OpenDevice(name string, c cpu.Options) (runtime.Device, error) {
	switch name {
	case CPU:
		return cpu.Open(c)
	case Ref:
		return nil, errors.New("ref runs graphs, not plans: take --device cpu for a plan")
	}
	return nil, unknownDevice(name)
}

func unknownDevice(name string) error {
	return fmt.Errorf("there is no device %q, want one of %s%s", name, strings.Join(Devices(), ", "), Nearest(name, Devices()))
}
