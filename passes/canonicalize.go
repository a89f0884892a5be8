package passes

import (
	"foundry/ir"
	"foundry/ir/sym"
)

// canonicalize brings each node into the one form that patterns and cse expect.
// Every rule removes a node, or a view of a view, or orders two operands, so it
// comes to an end.
func canonicalize(r *run) error {
	for _, n := range r.graph.Nodes() {
		for n != nil {
			v, fresh, err := r.simplify(n)
			if err != nil {
				return err
			}
			if v == nil {
				break
			}
			if err := r.graph.ReplaceUses(n.Result(), v); err != nil {
				return err
			}
			if err := r.graph.Erase(n); err != nil {
				return err
			}
			r.edited()
			n = fresh
		}
	}
	return nil
}

// simplify returns a value that can stand for n's result, or nil; fresh is the
// node that was added to make it.
func (r *run) simplify(n *ir.Node) (v *ir.Value, fresh *ir.Node, err error) {
	if n.Op == ir.OpFused {
		return nil, nil, nil
	}
	x := n.Args[0]
	switch n.Op {
	case ir.OpCast, ir.OpReshape, ir.OpSlice, ir.OpRepeatKV, ir.OpConcat, ir.OpTranspose:
		if len(n.Args) == 1 && x.Type == n.Result().Type && movesNothing(n) {
			return x, nil, nil
		}
	}
	under := x.Def
	switch {
	case n.Op == ir.OpReshape && under != nil && under.Op == ir.OpReshape:
		return r.insert(n, ir.OpReshape, n.Attr, under.Args[0])
	case n.Op == ir.OpTranspose && under != nil && under.Op == ir.OpTranspose:
		a := n.Attr
		for i := range int(x.Type.Shape.Rank) {
			a.Perm[i] = under.Attr.Perm[n.Attr.Perm[i]]
		}
		return r.insert(n, ir.OpTranspose, a, under.Args[0])
	case n.Op == ir.OpTranspose && keepsOrder(n):
		return r.insert(n, ir.OpReshape, ir.Attr{Shape: n.Result().Type.Shape}, x)
	case n.Op.Is(ir.Commutative) && x.Type == n.Args[1].Type && later(n.Args[1], x):
		return r.insert(n, n.Op, n.Attr, n.Args[1], x)
	}
	return nil, nil, nil
}

func (r *run) insert(at *ir.Node, op ir.Op, a ir.Attr, args ...*ir.Value) (*ir.Value, *ir.Node, error) {
	v, err := r.graph.InsertBefore(at, op, at.Label, a, args...)
	if err != nil {
		return nil, nil, err
	}
	return v, v.Def, nil
}

// movesNothing reports whether n, whose result has its operand's type, is that
// operand.
func movesNothing(n *ir.Node) bool {
	switch n.Op {
	case ir.OpSlice:
		return n.Attr.Start == sym.Dim{}
	case ir.OpTranspose:
		return keepsOrder(n)
	}
	return true
}

// keepsOrder reports whether a transpose leaves the dims that are not 1 in their
// order, so that no element moves.
func keepsOrder(n *ir.Node) bool {
	last := int8(-1)
	for i := range int(n.Args[0].Type.Shape.Rank) {
		p := n.Attr.Perm[i]
		if n.Args[0].Type.Shape.At(int(p)) == sym.Const(1) {
			continue
		}
		if p < last {
			return false
		}
		last = p
	}
	return true
}

// later reports whether a is made after b: a node's result is later than a
// param, and the operand made last comes first, as in product + residual.
func later(a, b *ir.Value) bool {
	switch {
	case a.Def == nil && b.Def == nil:
		return a.Index > b.Index
	case a.Def == nil || b.Def == nil:
		return a.Def != nil
	case a.Def == b.Def:
		return a.Index > b.Index
	}
	return b.Def.Before(a.Def)
}
