package passes

import (
	"slices"

	"foundry/ir"
)

// cse keeps the first of equal operations of the same operands. An operation
// that overwrites a state is never equal to another, nor is one with more than
// four operands looked at.
func cse(r *run) error {
	type key struct {
		op   ir.Op
		attr ir.Attr
		args [4]*ir.Value
	}
	seen := make(map[key]*ir.Node)
	for _, n := range r.graph.Nodes() {
		if n.Op == ir.OpFused || n.Op.Is(ir.WritesState) || len(n.Args) > 4 {
			continue
		}
		k := key{op: n.Op, attr: n.Attr}
		copy(k.args[:], n.Args)
		first := seen[k]
		if first == nil {
			seen[k] = n
			continue
		}
		if err := r.graph.ReplaceUses(n.Result(), first.Result()); err != nil {
			return err
		}
		if err := r.graph.Erase(n); err != nil {
			return err
		}
		r.noteEdit()
	}
	return nil
}

// dce removes operations whose results nothing uses, from the last to the first.
func dce(r *run) error {
	returned := make(map[*ir.Value]bool, len(r.graph.Results))
	for _, res := range r.graph.Results {
		returned[res.Value] = true
	}
	for _, n := range slices.Backward(r.graph.Nodes()) {
		if slices.ContainsFunc(n.Results, func(v *ir.Value) bool { return len(v.Users()) > 0 || returned[v] }) {
			continue
		}
		if err := r.graph.Erase(n); err != nil {
			return err
		}
		r.noteEdit()
	}
	return nil
}
