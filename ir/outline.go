package ir

import (
	"fmt"
	"slices"
)

// Outline replaces the nodes by one fused node whose region holds them; fused
// nodes among them contribute their region's nodes, so regions never nest. The
// nodes between the first and the last member are reordered as far as needed.
// It fails, and leaves g as it was, when a value would leave the region and come
// back, when moving a node across a cache write would change what it reads, or when
// nothing uses a result of the nodes.
func (g *Graph) Outline(nodes []*Node, pattern, label string) (*Node, error) {
	fused, err := g.FusedNode(nodes, pattern, label)
	if err != nil {
		return nil, err
	}
	return fused, g.InsertFused(fused, nodes)
}

// FusedNode returns the fused node that Outline would put in the place of nodes, and
// leaves g as it is: the node's operands are g's values, but it stands in no
// graph. It fails where Outline would.
func (g *Graph) FusedNode(nodes []*Node, pattern, label string) (*Node, error) {
	members := inOrder(nodes)
	if _, _, err := g.split(members); err != nil {
		return nil, err
	}
	fused := g.formRegion(members, pattern, label)
	if len(fused.Results) == 0 {
		return nil, fmt.Errorf("%s: nothing uses what the region would compute", members[0])
	}
	return fused, nil
}

// InsertFused puts fused, which FusedNode made of nodes, in their place; g has not changed
// since.
func (g *Graph) InsertFused(fused *Node, nodes []*Node) error {
	members := inOrder(nodes)
	before, after, err := g.split(members)
	if err != nil {
		return err
	}
	outer := g.outerResults(members)
	if len(outer) != len(fused.Results) {
		return fmt.Errorf("%s: has %d results, its nodes %d", fused, len(fused.Results), len(outer))
	}
	for i, r := range outer {
		// Uses inside the region go away with their nodes.
		if err := g.ReplaceUses(r, fused.Results[i]); err != nil {
			return err
		}
	}
	for _, n := range members {
		n.unlink()
		n.dead = true
	}
	fused.link()
	lo, hi := members[0].index, members[len(members)-1].index
	// Write the window anew: what does not depend on the region, the region's
	// node, what depends on it, holes.
	pos := lo
	place := func(n *Node) {
		n.index = pos
		g.nodes[pos] = n
		pos++
	}
	g.ownNodes()
	for _, n := range before {
		place(n)
	}
	place(fused)
	for _, n := range after {
		place(n)
	}
	for ; pos <= hi; pos++ {
		g.nodes[pos] = nil
	}
	g.holes += len(members) - 1
	return nil
}

// Extract returns a graph of copies of nodes, fused ones with their regions. Its
// results are what other nodes use of them, or g returns. It is for asking what
// would become of these nodes: its params are inputs or states, its names are made
// up, and Verify may refuse it.
func (g *Graph) Extract(nodes []*Node) *Graph {
	members := inOrder(nodes)
	out := NewGraph(g.Name, g.Bounds)
	inner := make(map[*Value]*Value, 2*len(members))
	for _, n := range members {
		for _, a := range n.Args {
			if inner[a] != nil {
				continue
			}
			kind := Input
			if root := StateRoot(viewBase(a)); root.Param != nil && root.Param.Kind != Input || root != viewBase(a) {
				kind = State
			}
			inner[a] = out.Param(kind, fmt.Sprint(len(out.Params)), a.Type)
		}
		c := cloneNode(n, inner)
		c.index = len(out.nodes)
		out.nodes = append(out.nodes, c)
	}
	for i, r := range g.outerResults(members) {
		out.Return(fmt.Sprint(i), inner[r])
	}
	return out
}

// inOrder returns each of nodes once, in the graph's order.
func inOrder(nodes []*Node) []*Node {
	members := slices.Clone(nodes)
	slices.SortFunc(members, func(a, b *Node) int { return a.index - b.index })
	return slices.Compact(members)
}

// split sorts the nodes between members into those that do not depend on a
// member and those that do.
func (g *Graph) split(members []*Node) (before, after []*Node, err error) {
	if len(members) == 0 {
		return nil, nil, fmt.Errorf("cannot outline nothing")
	}
	lo, hi := members[0].index, members[len(members)-1].index
	const (
		outside = iota
		member
		dependent
	)
	state := make([]uint8, hi-lo+1)
	for _, n := range members {
		if n.dead {
			return nil, nil, fmt.Errorf("%s: cannot outline an erased node", n)
		}
		state[n.index-lo] = member
	}
	of := func(v *Value) uint8 {
		if v.Def == nil || v.Def.index < lo || v.Def.index > hi {
			return outside
		}
		return state[v.Def.index-lo]
	}
	for i := lo; i <= hi; i++ {
		n := g.nodes[i]
		if n == nil {
			continue
		}
		isMember := state[i-lo] == member
		for _, a := range n.Args {
			switch s := of(a); {
			case isMember && s == dependent:
				return nil, nil, fmt.Errorf("a value would leave the region and come back: %s needs %s, which depends on the region", n, a.Def)
			case !isMember && s != outside:
				state[i-lo] = dependent
			}
		}
		switch {
		case isMember:
		case state[i-lo] == dependent:
			after = append(after, n)
		default:
			before = append(before, n)
		}
	}
	return before, after, checkStateOrder(members, before, after)
}

// checkStateOrder refuses a reordering that would carry a reader of a cache
// across the node that overwrites it.
func checkStateOrder(members, before, after []*Node) error {
	for _, w := range members {
		for _, i := range w.Overwrites() {
			for _, u := range readers(w.Args[i]) {
				if slices.Contains(after, u) {
					return fmt.Errorf("%s reads the cache that %s in the region overwrites, and would come after it", u, w)
				}
			}
		}
	}
	for _, w := range before {
		for _, i := range w.Overwrites() {
			for _, u := range readers(w.Args[i]) {
				if u != w && u.Before(w) && (slices.Contains(members, u) || slices.Contains(after, u)) {
					return fmt.Errorf("%s reads the cache that %s overwrites, and would come after it", u, w)
				}
			}
		}
	}
	return nil
}

// readers lists the users of v and of its views.
func readers(v *Value) []*Node {
	out := slices.Clone(v.uses)
	for _, u := range v.uses {
		for _, r := range u.Results {
			if viewBase(r) == viewBase(v) {
				out = append(out, readers(r)...)
			}
		}
	}
	return out
}

// formRegion builds the fused node beside g.
func (g *Graph) formRegion(members []*Node, pattern, label string) *Node {
	region := NewGraph("", g.Bounds)
	fused := &Node{Op: OpFused, Attr: Attr{Pattern: pattern}, Label: label, Region: region}
	inner := make(map[*Value]*Value, 2*len(members))
	for _, n := range members {
		for _, a := range n.Args {
			if inner[a] == nil && (a.Def == nil || !isMember(members, a.Def)) {
				inner[a] = region.Param(Arg, "", a.Type)
				fused.Args = append(fused.Args, a)
			}
		}
		region.absorb(n, inner)
	}
	for _, r := range g.outerResults(members) {
		fused.Results = append(fused.Results, &Value{Type: r.Type, Def: fused, Index: len(fused.Results)})
		region.Return("", inner[r])
	}
	return fused
}

// outerResults lists the members' results that other nodes use or g returns.
func (g *Graph) outerResults(members []*Node) []*Value {
	var out []*Value
	for _, n := range members {
		for _, r := range n.Results {
			if slices.ContainsFunc(r.uses, func(u *Node) bool { return !isMember(members, u) }) || g.Returned(r) {
				out = append(out, r)
			}
		}
	}
	return out
}

// isMember reports whether n is one of members, which stand in the graph's order.
func isMember(members []*Node, n *Node) bool {
	_, ok := slices.BinarySearchFunc(members, n, func(a, b *Node) int { return a.index - b.index })
	return ok
}

// absorb appends a copy of n to region, or of its region's nodes when it is fused. Which
// kernel n was to get is forgotten: the region becomes another one.
func (region *Graph) absorb(n *Node, inner map[*Value]*Value) {
	if n.Region == nil {
		c := cloneNode(n, inner)
		c.Attr.Kernel = ""
		c.index = len(region.nodes)
		region.nodes = append(region.nodes, c)
		return
	}
	local := make(map[*Value]*Value, len(n.Region.nodes))
	for i, p := range n.Region.Params {
		local[p] = inner[n.Args[i]]
	}
	for _, m := range n.Region.Nodes() {
		region.absorb(m, local)
	}
	for i, r := range n.Region.Results {
		inner[n.Results[i]] = local[r.Value]
	}
}

// InlineAll replaces every fused node by its region's nodes: the way back from
// any number of Outlines.
func (g *Graph) InlineAll() {
	live := g.Nodes()
	out := make([]*Node, 0, 2*len(live))
	push := func(n *Node) {
		n.index = len(out)
		out = append(out, n)
	}
	for _, n := range live {
		if n.Region == nil {
			push(n)
			continue
		}
		m := make(map[*Value]*Value, len(n.Region.nodes))
		for i, p := range n.Region.Params {
			m[p] = n.Args[i]
		}
		body := n.Region
		body.InlineAll()
		for _, r := range body.Nodes() {
			push(cloneNode(r, m))
		}
		n.unlink()
		n.dead = true
		for i, r := range body.Results {
			old, replacement := n.Results[i], m[r.Value]
			for _, u := range old.uses {
				for j, a := range u.Args {
					if a == old {
						u.Args[j] = replacement
					}
				}
			}
			replacement.uses = append(replacement.uses, old.uses...)
			old.uses = nil
			for j := range g.Results {
				if g.Results[j].Value == old {
					g.Results[j].Value = replacement
				}
			}
		}
	}
	g.nodes, g.holes, g.lent = out, 0, false
}
