package passes

import (
	"foundry/ir"
	"foundry/ir/sym"
)

// canonicalize brings each node into the one form that patterns and cse expect.
// Every rule removes a node, makes a view look past another view, turns a
// transpose into a reshape or orders two operands, so it comes to an end.
func canonicalize(r *run) error {
	for _, n := range r.graph.Nodes() {
		if n.Op == ir.OpFused || len(n.Args) == 0 {
			continue
		}
		if err := r.lookPast(n); err != nil {
			return err
		}
		v, err := r.simpler(n)
		if err != nil {
			return err
		}
		if v == nil {
			continue
		}
		if err := r.graph.ReplaceUses(n.Result(), v); err != nil {
			return err
		}
		if err := r.graph.Erase(n); err != nil {
			return err
		}
		r.noteEdit()
	}
	return nil
}

// lookPast makes a reshape take what the reshape under it takes, a transpose the
// same, and orders the operands of a commutative operation.
func (r *run) lookPast(n *ir.Node) error {
	x := n.Args[0]
	switch {
	case n.Op == ir.OpReshape && x.Def != nil && x.Def.Op == ir.OpReshape:
		r.noteEdit()
		return n.SetArg(0, x.Def.Args[0])
	case n.Op == ir.OpTranspose && x.Def != nil && x.Def.Op == ir.OpTranspose:
		r.noteEdit()
		under := x.Def
		perm := n.Attr.Perm
		for i := range int(x.Type.Shape.Rank) {
			n.Attr.Perm[i] = under.Attr.Perm[perm[i]]
		}
		return n.SetArg(0, under.Args[0])
	case n.Op.Is(ir.Commutative) && x.Type == n.Args[1].Type && isLater(n.Args[1], x):
		r.noteEdit()
		y := n.Args[1]
		if err := n.SetArg(0, y); err != nil {
			return err
		}
		return n.SetArg(1, x)
	}
	return nil
}

// simpler returns a value that can stand for n's result, or nil.
func (r *run) simpler(n *ir.Node) (*ir.Value, error) {
	x := n.Args[0]
	switch n.Op {
	case ir.OpCast, ir.OpReshape, ir.OpSlice, ir.OpRepeatKV, ir.OpConcat, ir.OpTranspose:
		if len(n.Args) == 1 && x.Type == n.Result().Type && movesNothing(n) && (n.Op.Is(ir.View) || !liesInOverwritten(x)) {
			return x, nil
		}
	}
	if n.Op != ir.OpTranspose || !keepsOrder(n) {
		return nil, nil
	}
	if x.Def != nil && x.Def.Op == ir.OpReshape {
		x = x.Def.Args[0]
	}
	if x.Type == n.Result().Type {
		return x, nil
	}
	return r.graph.InsertBefore(n, ir.OpReshape, n.Label, ir.Attr{Shape: n.Result().Type.Shape}, x)
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

// isLater reports whether a is made after b: a node's result is later than a
// param, and the operand made last comes first, as in product + residual.
func isLater(a, b *ir.Value) bool {
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

// liesInOverwritten reports whether v lies in a state that some node overwrites: a copy
// of it may be read where v itself no longer may.
func liesInOverwritten(v *ir.Value) bool {
	for v.Def != nil && v.Def.Op.Is(ir.View) {
		v = v.Def.Args[0]
	}
	for _, u := range v.Users() {
		for _, i := range u.Overwrites() {
			if u.Args[i] == v {
				return true
			}
		}
	}
	return false
}
