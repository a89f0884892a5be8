// Package engine turns a compiled model into tokens, on whatever this machine has to
// run it: it knows all devices, the reference among them, and what each wants of the
// compiler.
//
//	Start    a Model          -> Engine: compiled for a device, weights loaded
//	Load     a Plan           -> Engine: on a device that executes kernels
//	Interpret  Graphs         -> Engine: on the reference
//	Session  of an Engine     -> tokens: Generate, Prefill, Decode
//
// Read next: start.go for the way from a model to an engine, session.go for what is
// done with one; runtime for how a plan is executed.
package engine

import (
	"context"
	"errors"

	"foundry/frontends/checkpoint"
	"foundry/frontends/model"
	"foundry/lower/compile"
	"foundry/lower/plan"
	"foundry/runtime"
)

// Engine is a model ready to run. Any number of sessions share it.
type Engine struct {
	Device string          // the place where it runs: Ref, CPU, CUDA or Metal
	Graphs *compile.Graphs // nil for a plan that was read from disk
	// Plan is what runs or, on ref, what the graphs would run as; its numbers
	// are reported.
	Plan *plan.Plan
	Loss checkpoint.Narrowing // losses of the conversion of weights to narrower types

	model    *model.Model
	ref      *reference
	dev      runtime.Device // the device that it owns; nil for one that others use too
	exec     *runtime.Executable
	compiled *runtime.Phase // the phase of Start that compiled the plan; nil for one from disk
	done     func()         // the end of the GPU's reading of the model's mapped files; nil where it reads none
	chunk    int            // most tokens of one run, where fewer than the plan allows are wanted; 0: the plan's
}

// Interpret makes graphs ready to run on the reference, and reads their weights.
func Interpret(ctx context.Context, g *compile.Graphs) (*Engine, error) {
	if err := g.Model.CheckLanguage(); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	w := g.Model.Weights()
	ref, err := newReference(g, w)
	if err != nil {
		return nil, err
	}
	return &Engine{Device: Ref, Graphs: g, Loss: w.Loss(), model: g.Model, ref: ref}, nil
}

// Load makes a plan ready to run on a device that executes kernels, which the
// engine owns from now on, and reads the model's weights. g may be nil.
func Load(ctx context.Context, dev runtime.Device, m *model.Model, p *plan.Plan, g *compile.Graphs, progress runtime.Progress) (*Engine, error) {
	e, err := load(m, p, g, func(w *model.Weights) (*runtime.Executable, error) {
		return runtime.New(ctx, dev, p, w, progress)
	})
	if err != nil {
		return nil, errors.Join(err, dev.Close())
	}
	e.Device, e.dev = dev.Info().Kind, dev
	return e, nil
}

// LoadShared is Load on a device that is not the engine's own, with weights that
// other plans on it may have read already. It is closed before both.
func LoadShared(ctx context.Context, dev runtime.Device, shared *runtime.Weights, m *model.Model, p *plan.Plan, g *compile.Graphs, progress runtime.Progress) (*Engine, error) {
	e, err := load(m, p, g, func(w *model.Weights) (*runtime.Executable, error) {
		return runtime.NewSharing(ctx, dev, p, w, shared, progress)
	})
	if err != nil {
		return nil, err
	}
	e.Device = dev.Info().Kind
	return e, nil
}

func load(m *model.Model, p *plan.Plan, g *compile.Graphs, open func(*model.Weights) (*runtime.Executable, error)) (*Engine, error) {
	if err := m.CheckPlan(p); err != nil {
		return nil, err
	}
	w := m.Weights()
	exec, err := open(w)
	if err != nil {
		return nil, err
	}
	e := &Engine{Graphs: g, Plan: p, Loss: w.Loss(), model: m, exec: exec}
	if w.Lent() {
		e.done = m.Read()
	}
	return e, nil
}

// Model is the model that runs.
func (e *Engine) Model() *model.Model { return e.model }

// ends are the ids that end a text: those of the model or, where its files name none,
// those of the model that the plan was compiled from.
func (e *Engine) ends() ([]int32, error) {
	ids, err := e.model.EndTokens()
	if err == nil && len(ids) == 0 && e.Plan != nil && e.Plan.Tokens != nil {
		ids = e.Plan.Tokens.Ends
	}
	return ids, err
}

// Startup lists what came before the first run and was done once: compiling the
// model, opening the device, compiling kernels, filling weights, recording entries.
// It is empty on ref.
func (e *Engine) Startup() []runtime.Phase {
	if e.exec == nil {
		return nil
	}
	var out []runtime.Phase
	if e.compiled != nil {
		out = append(out, *e.compiled)
	}
	return append(out, e.exec.Startup()...)
}

// Open returns a context of its own: caches, and a position in them.
func (e *Engine) Open() (runtime.Model, error) {
	if e.ref != nil {
		return e.ref.open(), nil
	}
	m, err := e.exec.NewInstance()
	if err != nil || e.chunk == 0 {
		return m, err
	}
	return smallChunks{m, e.chunk}, nil
}

// smallChunks is an instance that takes fewer tokens a run than its plan allows.
type smallChunks struct {
	*runtime.Instance
	chunk int
}

func (m smallChunks) Limits() runtime.Limits {
	l := m.Instance.Limits()
	l.Chunk = m.chunk
	return l
}

// Close gives back weights, kernels and device. Every session must be closed.
func (e *Engine) Close() error {
	if e.exec == nil {
		return nil
	}
	err := e.exec.Close()
	if err == nil && e.done != nil {
		e.done()
		e.done = nil
	}
	if e.dev != nil {
		err = errors.Join(err, e.dev.Close())
	}
	return err
}
