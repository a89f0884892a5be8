package foundry

import (
	"context"

	"foundry/lower/plan"
	"foundry/runtime"
)

// The devices that Start takes.
const (
	Ref  = "ref"  // the interpreter, on the fused graphs
	CPU  = "cpu"  // the plan's Metal text, compiled by the system's C++ compiler
	Auto = "auto" // the fastest that works here
)

// Engine is a model ready to run. Any number of sessions share it.
type Engine struct {
	Device string     // Ref, CPU, ...
	Graphs *Graphs    // nil for a plan that was read from disk
	Plan   *plan.Plan // nil on ref

	model *Model
	ref   *reference
}

// Interpret makes the graphs ready to run on the reference, and reads their
// weights.
func Interpret(ctx context.Context, g *Graphs) (*Engine, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	ref, err := newReference(g, &weights{source: g.Model.source})
	if err != nil {
		return nil, err
	}
	return &Engine{Device: Ref, Graphs: g, model: g.Model, ref: ref}, nil
}

// open returns a context of its own: caches, and a position in them.
func (e *Engine) open() (runtime.Model, error) { return e.ref.open(), nil }

// Close gives back weights and kernels. Every session must be closed.
func (e *Engine) Close() error { return nil }
