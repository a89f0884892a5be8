// Package task says what one node asks of a kernel, whichever kernel that will be: its
// primitive operations, how its operands lie, and what of them is main, prologue and
// epilogue. The cost model and lowering read the same; it knows no time and no text.
//
// Read next: product.go for the largest kind of work; package kernel for how work is
// dealt out, package cost for what that takes.
package task

import (
	"fmt"

	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/kernel"
	"foundry/ir/sym"
	"foundry/ir/target"
)

// Region is what one node asks for: the graph of its primitive operations, and how
// each operand lies.
type Region struct {
	Graph    *ir.Graph
	Operands []Operand
	Kept     []Kept // how results lie, by number; nil: as their types say
	// Unbounded reports whether nothing is known of how large a value of the region can
	// get; nil: all have bounds.
	Unbounded func(v *ir.Value) bool
	Pin       kernel.Pin // the kernels that it may get
}

// Operand is one param of a region.
type Operand struct {
	Layout  Layout
	Fixed   bool // no dispatch of the step writes it
	Settled bool // no dispatch of the step writes its rows below P: a cache
	Planes  bool // quantised rows lie with levels and scales apart
	Halves  bool // values that are kept as halves, which is what their readers make of them: f32, or weights that were expanded once
	Scaled  bool // an operand scaled by its range
}

// Kept says how a result lies where that is not what its type says.
type Kept struct {
	Halves bool // f32 that is kept as halves
	Scaled bool // a result scaled by its range
}

// Of returns n's region with operands that lie row-major; a primitive node becomes a
// region of one operation. An error says which operand has no such layout.
func Of(n *ir.Node, b sym.Bounds, t *target.Target) (*Region, error) {
	r := &Region{Graph: n.Region, Operands: make([]Operand, len(n.Args)), Pin: kernel.Pin(n.Attr.Kernel)}
	if n.Region == nil {
		r.Graph = n.Alone(b)
		r.Graph.Nodes()[0].Attr.Kernel = "" // the region's, not its operation's
	}
	for i, p := range r.Graph.Params {
		l, ok := Contiguous(p.Type.Shape)
		if !ok {
			return nil, fmt.Errorf("operand %d has %s, whose strides have too many symbols", i, p.Type)
		}
		root := ir.StateRoot(n.Args[i])
		weight := root.Param != nil && root.Param.Kind == ir.Weight
		r.Operands[i] = Operand{
			Layout: l, Fixed: weight || root.Param != nil && root.Param.Kind == ir.Const,
			Settled: isWrittenCache(n.Args[i]), Planes: weight && InPlanes(p.Type, t),
		}
	}
	return r, nil
}

// In is Of with operands that lie as n's own do in its graph, where views cost nothing
// that strides can say.
func In(n *ir.Node, b sym.Bounds, t *target.Target) (*Region, error) {
	r, err := Of(n, b, t)
	if err != nil {
		return nil, err
	}
	for i, a := range n.Args {
		if l, ok := layoutOf(a); ok {
			r.Operands[i].Layout = l
		}
	}
	return r, nil
}

// layoutOf returns how v lies where what makes it is no view, or one without a copy.
func layoutOf(v *ir.Value) (Layout, bool) {
	if v.Def != nil && v.Def.Op.Is(ir.View) {
		if l, ok := layoutOf(v.Def.Args[0]); ok {
			if l, ok := l.Through(v.Def); ok {
				return l, true
			}
		}
	}
	return Contiguous(v.Type.Shape)
}

// IsView reports whether n moves nothing where it stands: a view of what it is made of.
func IsView(n *ir.Node) bool {
	if !n.Op.Is(ir.View) {
		return false
	}
	l, ok := layoutOf(n.Args[0])
	if ok {
		_, ok = l.Through(n)
	}
	return ok
}

// Lies returns the dtype in which operand v lies in memory.
func (r *Region) Lies(v *ir.Value) dtype.Type {
	if r.Operands[v.Index].Halves {
		return dtype.F16
	}
	return v.Type.DType
}

// Nodes returns the region's operations of a kind.
func (r *Region) Nodes(op ir.Op) []*ir.Node {
	var out []*ir.Node
	for _, n := range r.Graph.Nodes() {
		if n.Op == op {
			out = append(out, n)
		}
	}
	return out
}

// Has reports whether the region has an operation of one of the kinds.
func (r *Region) Has(ops ...ir.Op) bool {
	for _, n := range r.Graph.Nodes() {
		for _, op := range ops {
			if n.Op == op {
				return true
			}
		}
	}
	return false
}

func (r *Region) unbounded(v *ir.Value) bool { return r.Unbounded != nil && r.Unbounded(v) }

// isWrittenCache reports whether v is a cache of which this run writes rows from P on, seen
// through views that keep the rows in their places.
func isWrittenCache(v *ir.Value) bool {
	for v.Param == nil {
		n := v.Def
		switch {
		case n.Op == ir.OpSlice && n.Attr.Start == sym.Const(0):
			v = n.Args[0]
			continue
		case n.Region != nil:
			inner := n.Region.Results[v.Index].Value
			for inner.Def != nil && WritesFromP(inner.Def) {
				inner = inner.Def.Args[0]
			}
			if inner.Param == nil {
				return false
			}
			v = n.Args[inner.Index]
			continue
		case WritesFromP(n):
			v = n.Args[0]
			continue
		}
		return false
	}
	return v.Param.Kind == ir.State
}

// WritesFromP reports whether n writes the rows of its run to a cache.
func WritesFromP(n *ir.Node) bool { return n.Op == ir.OpKVWrite && n.Attr.Start == sym.P }

// DependsOn reports whether a node that satisfies is lies behind v.
func DependsOn(v *ir.Value, is func(*ir.Node) bool) bool {
	if v.Def == nil {
		return false
	}
	if is(v.Def) {
		return true
	}
	for _, a := range v.Def.Args {
		if DependsOn(a, is) {
			return true
		}
	}
	return false
}

// Walked returns the shape that a result is computed over: of a cache write the rows
// written.
func Walked(v *ir.Value) ir.Shape {
	if v.Def != nil && v.Def.Op == ir.OpKVWrite {
		return v.Def.Args[1].Type.Shape
	}
	return v.Type.Shape
}
