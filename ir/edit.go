package ir

import (
	"fmt"
	"slices"
)

// ReplaceUses makes every user of old, and every result of g that is old, take
// replacement instead. The types must be equal and replacement must stand before
// old's users.
func (g *Graph) ReplaceUses(old, replacement *Value) error {
	if old.Type != replacement.Type {
		return fmt.Errorf("cannot replace a value of type %s by one of type %s", old.Type, replacement.Type)
	}
	for _, n := range old.uses {
		for i, a := range n.Args {
			if a == old {
				n.Args[i] = replacement
			}
		}
	}
	replacement.uses = append(replacement.uses, old.uses...)
	old.uses = nil
	for i := range g.Results {
		if g.Results[i].Value == old {
			g.Results[i].Value = replacement
		}
	}
	return nil
}

// SetArg replaces operand i of n. The result's type must stay, and a fused node's
// operand must keep its own.
func (n *Node) SetArg(i int, v *Value) error {
	old := n.Args[i]
	if old.Type != v.Type {
		if n.Region != nil {
			return fmt.Errorf("%s: cannot replace operand %d of type %s by one of type %s", n, i, old.Type, v.Type)
		}
		n.Args[i] = v
		t, err := inferNode(n, new([]Type))
		n.Args[i] = old
		if err == nil && t != n.Results[0].Type {
			err = fmt.Errorf("the result would be %s, not %s", t, n.Results[0].Type)
		}
		if err != nil {
			return fmt.Errorf("%s: cannot replace operand %d: %w", n, i, err)
		}
	}
	old.dropUse(n)
	n.Args[i] = v
	v.uses = append(v.uses, n)
	return nil
}

// DropParams removes the params that nothing uses and that are not returned.
func (g *Graph) DropParams() {
	g.Params = slices.DeleteFunc(g.Params, func(p *Value) bool { return len(p.uses) == 0 && !g.Returned(p) })
	for i, p := range g.Params {
		p.Index = i
	}
}

// DropOperand removes operand i of a fused node whose region does not use it.
func (n *Node) DropOperand(i int) error {
	if n.Region == nil || len(n.Region.Params[i].uses) > 0 || n.Region.Returned(n.Region.Params[i]) {
		return fmt.Errorf("%s: cannot drop operand %d, which is used", n, i)
	}
	n.Args[i].dropUse(n)
	n.Args = slices.Delete(n.Args, i, i+1)
	n.Region.Params = slices.Delete(n.Region.Params, i, i+1)
	for j, p := range n.Region.Params[i:] {
		p.Index = i + j
	}
	return nil
}

// DropResult removes result i of a fused node, which nothing uses and which is not returned.
func (n *Node) DropResult(i int) error {
	if n.Region == nil || len(n.Results) == 1 || len(n.Results[i].uses) > 0 {
		return fmt.Errorf("%s: cannot drop result %d, which is used or all there is", n, i)
	}
	n.Results = slices.Delete(n.Results, i, i+1)
	n.Region.Results = slices.Delete(n.Region.Results, i, i+1)
	for j, r := range n.Results[i:] {
		r.Index = i + j
	}
	return nil
}

// Erase removes a node whose results have no users and are not returned.
func (g *Graph) Erase(n *Node) error {
	if n.dead {
		return fmt.Errorf("%s: is erased already", n)
	}
	for _, r := range n.Results {
		if len(r.uses) > 0 || g.Returned(r) {
			return fmt.Errorf("%s: cannot erase a node whose result is used", n)
		}
	}
	g.drop(n)
	return nil
}

func (g *Graph) drop(n *Node) {
	n.unlink()
	n.dead = true
	g.ownNodes()
	g.nodes[n.index] = nil
	g.holes++
}

// InsertBefore adds a node in front of at and returns its result.
func (g *Graph) InsertBefore(at *Node, op Op, label string, a Attr, args ...*Value) (*Value, error) {
	n, err := newNode(op, label, a, args)
	if err != nil {
		return nil, err
	}
	hole := at.index - 1
	for hole >= 0 && hole > at.index-4*slack && g.nodes[hole] != nil {
		hole--
	}
	if hole < 0 || g.nodes[hole] != nil {
		g.spreadHoles()
		for hole = at.index - 1; g.nodes[hole] != nil; hole-- {
		}
	}
	g.ownNodes()
	for ; hole < at.index-1; hole++ {
		g.nodes[hole] = g.nodes[hole+1]
		g.nodes[hole].index = hole
	}
	n.index = hole
	g.nodes[hole] = n
	g.holes--
	return n.Results[0], nil
}

// slack is how many nodes loosen puts between two holes.
const slack = 8

// spreadHoles spreads holes over the list, so that inserting many nodes moves few.
func (g *Graph) spreadHoles() {
	live := g.Nodes()
	g.nodes, g.lent = make([]*Node, 0, len(live)+len(live)/slack+1), false
	for i, n := range live {
		if i%slack == 0 {
			g.nodes = append(g.nodes, nil)
		}
		n.index = len(g.nodes)
		g.nodes = append(g.nodes, n)
	}
	g.holes = len(g.nodes) - len(live)
}

// Specialise returns a copy of g with T fixed to t: decode is Specialise(1).
func (g *Graph) Specialise(t int64) (*Graph, error) {
	b := g.Bounds
	if t < b.TMin || t > b.TMax {
		return nil, fmt.Errorf("the value T=%d lies outside the graph's bounds %d..%d", t, b.TMin, b.TMax)
	}
	out := g.clone(
		func(ty Type) Type { return Type{ty.DType, ty.Shape.specialise(t)} },
		func(a Attr) Attr {
			a.Start, a.Size, a.Shape = a.Start.Specialise(t), a.Size.Specialise(t), a.Shape.specialise(t)
			return a
		})
	out.setBounds(func() { out.Bounds.TMin, out.Bounds.TMax = t, t; out.Bounds.PMax = min(b.PMax, b.SMax-t) })
	return out, nil
}

// Within returns a copy of g whose runs see no more than n positions, their own tokens
// counted.
func (g *Graph) Within(n int64) *Graph {
	out := g.Clone()
	out.setBounds(func() {
		b := &out.Bounds
		b.SMax = min(b.SMax, n)
		b.TMax, b.PMax = min(b.TMax, b.SMax), min(b.PMax, b.SMax-b.TMin)
	})
	return out
}

func (g *Graph) setBounds(set func()) {
	set()
	for _, n := range g.nodes {
		if n != nil && n.Region != nil {
			n.Region.setBounds(func() { n.Region.Bounds = g.Bounds })
		}
	}
}

func (s Shape) specialise(t int64) Shape {
	for i := range s.Dims[:s.Rank] {
		s.Dims[i] = s.Dims[i].Specialise(t)
	}
	return s
}
