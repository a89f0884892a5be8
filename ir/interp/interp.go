// Package interp turns a graph, its weights and the inputs of a run into the
// values that the graph means: the reference semantics of every operation.
//
// It runs any graph at any point of a pipeline; a fused node is run by running
// its region. Two precisions share one implementation. Float64 keeps every float
// value in a float64 and does its contractions with gonum: the oracle. Float32
// keeps every value in a float32 and every sum, norm and angle in a float64: what
// `--device ref` runs on whole models. Float32 gives the same bits on every
// machine and for any number of workers.
//
// Weights stay in the bytes they are stored in; a matrix product widens them a
// row at a time. Values live in buffers that are used again as soon as nothing
// reads them; views, and caches, share their operand's storage as on a device.
//
// Read next: program.go for the order of execution, kernels.go for the table
// from op to function, bounds.go for how far a device may stray from it.
package interp

import (
	"context"
	"fmt"

	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/sym"
	"foundry/runtime/files"
)

// Precision says what a value is kept in between two nodes.
type Precision uint8

// The precisions.
const (
	Float32 Precision = iota // float32 values, float64 accumulation
	Float64                  // float64 throughout: the oracle
)

// String returns "float32" or "float64".
func (p Precision) String() string {
	if p == Float64 {
		return "float64"
	}
	return "float32"
}

// Source yields a weight by the name of its param, with the param's element type
// and shape. The tensor's storage is read for as long as the program lives.
type Source func(name string, t ir.Type) (Tensor, error)

// Program is a graph made ready to run. It holds no state of a run: any number
// of goroutines may call Run at the same time, each with a State of its own.
type Program struct {
	bounds    sym.Bounds
	precision Precision
	states    []*ir.Value
	engine    interface {
		run(ctx context.Context, r *Run) (map[string]Tensor, error)
	}
}

// New verifies g, lays out its steps and asks weights for every weight param;
// weights may be nil for a graph without any. g must not change afterwards.
func New(g *ir.Graph, weights Source, p Precision) (*Program, error) {
	if err := ir.Verify(g); err != nil {
		return nil, err
	}
	out := &Program{bounds: g.Bounds, precision: p}
	for _, v := range g.Params {
		if v.Param.Kind == ir.State {
			out.states = append(out.states, v)
		}
	}
	err := files.Guard(func() (err error) { // weights may be mapped files
		switch p {
		case Float32:
			out.engine, err = newEngine(g, weights, meanings32())
		case Float64:
			out.engine, err = newEngine(g, weights, meanings64())
		default:
			err = fmt.Errorf("precision %d is neither Float32 nor Float64", p)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("graph @%s: %w", g.Name, err)
	}
	return out, nil
}

// Run is what one run of a program takes.
type Run struct {
	Env    sym.Env           // T and P, within the graph's bounds
	Inputs map[string]Tensor // one for each input param
	State  *State            // caches to be read and overwritten; nil for a graph without states
	// Watch, where set, is told every node's result in the order of execution, a
	// region's nodes among them. The tensor's storage is reused afterwards.
	Watch func(n *ir.Node, result Tensor)
}

// Run executes the graph. The map holds every result but the successors of
// states, which r.State holds; the caller owns the tensors. After an error, or
// when ctx ends, the rows that the run was to write in the state are undefined.
func (p *Program) Run(ctx context.Context, r Run) (map[string]Tensor, error) {
	if !p.bounds.Contains(r.Env) {
		return nil, fmt.Errorf("the run T=%d P=%d lies outside the graph's bounds T=%d..%d P=%d..%d S<=%d", r.Env.T, r.Env.P,
			p.bounds.TMin, p.bounds.TMax, p.bounds.PMin, p.bounds.PMax, p.bounds.SMax)
	}
	for _, v := range p.states {
		if err := r.State.check(v.Param.Name, v.Type, p.precision); err != nil {
			return nil, err
		}
	}
	var out map[string]Tensor
	err := files.Guard(func() (err error) { // weights may be mapped files
		out, err = p.engine.run(ctx, &r)
		return err
	})
	return out, err
}

// NewState returns the program's states, all zero.
func (p *Program) NewState() *State {
	s := &State{precision: p.precision, caches: make(map[string]Tensor, len(p.states))}
	for _, v := range p.states {
		s.caches[v.Param.Name] = s.newCache(v.Type)
	}
	return s
}

// round returns x as an element of dtype t holds it: f16 and bf16 through f32.
func round[F real](t dtype.Type, x F) F {
	switch t {
	case dtype.F16:
		return F(dtype.F16ToF32(dtype.F32ToF16(float32(x))))
	case dtype.BF16:
		return F(dtype.BF16ToF32(dtype.F32ToBF16(float32(x))))
	}
	return x
}
