package ir

import (
	"slices"

	"foundry/ir/sym"
)

// Clone returns a deep copy of g.
func (g *Graph) Clone() *Graph {
	return g.clone(func(t Type) Type { return t }, func(a Attr) Attr { return a })
}

// clone copies g. Passes copy graphs more often than anything else allocates, so what a
// copy is made of comes from a few lists, one of each kind; the copy of a value is found by
// the place of its original.
func (g *Graph) clone(retype func(Type) Type, reattr func(Attr) Attr) *Graph {
	live := g.Nodes()
	operands, results := 0, 0
	for _, n := range live {
		operands, results = operands+len(n.Args), results+len(n.Results)
	}
	var (
		nodes  = make([]Node, len(live))
		values = make([]Value, len(g.Params)+results)
		params = make([]Param, len(g.Params))
		refs   = make([]*Value, operands+results)
		uses   = make([]*Node, operands)
	)
	copied := func(v *Value) *Value {
		c := &values[0]
		values = values[1:]
		*c = Value{Type: retype(v.Type), Index: v.Index}
		if used := len(v.uses); used <= len(uses) {
			c.uses, uses = uses[:0:used], uses[used:]
		}
		return c
	}
	list := func(of []*Value) (out []*Value) {
		out, refs = refs[:len(of):len(of)], refs[len(of):]
		return out
	}
	out := NewGraph(g.Name, g.Bounds)
	out.Params = make([]*Value, len(g.Params))
	for i, p := range g.Params {
		params[i] = *p.Param
		out.Params[i] = copied(p)
		out.Params[i].Param = &params[i]
	}
	out.nodes = make([]*Node, len(live))
	of := func(v *Value) *Value {
		if v.Def == nil {
			return out.Params[v.Index]
		}
		return out.nodes[v.Def.index].Results[v.Index]
	}
	for i, n := range live {
		c := &nodes[i]
		*c = Node{Op: n.Op, Attr: reattr(n.Attr), Label: n.Label, Args: list(n.Args), Results: list(n.Results), index: i}
		for k, a := range n.Args {
			c.Args[k] = of(a)
		}
		for k, r := range n.Results {
			c.Results[k] = copied(r)
			c.Results[k].Def = c
		}
		if n.Region != nil {
			c.Region = n.Region.clone(retype, reattr)
		}
		c.link()
		out.nodes[i] = c
	}
	for _, r := range g.Results {
		out.Return(r.Name, of(r.Value))
	}
	return out
}

// ForResult returns a copy of g that makes its result i alone, of what that depends on.
func (g *Graph) ForResult(i int) *Graph {
	c := g.Clone()
	c.Results = c.Results[i : i+1]
	for _, n := range slices.Backward(slices.Clone(c.Nodes())) {
		_ = c.Erase(n) // an error is that n is in use, and stays
	}
	c.DropParams()
	return c
}

// cloneNode copies a node whose operands' copies are in m, and adds those of its results.
func cloneNode(n *Node, m map[*Value]*Value) *Node {
	c := &Node{Op: n.Op, Attr: n.Attr, Label: n.Label, Args: make([]*Value, len(n.Args)), Results: make([]*Value, len(n.Results))}
	for i, a := range n.Args {
		c.Args[i] = m[a]
	}
	for i, r := range n.Results {
		c.Results[i] = &Value{Type: r.Type, Def: c, Index: i}
		m[r] = c.Results[i]
	}
	if n.Region != nil {
		c.Region = n.Region.Clone()
	}
	c.link()
	return c
}

// Alone returns a graph of a copy of n alone, a node that is not fused: its operands are
// the params, without names, and its result is returned.
func (n *Node) Alone(b sym.Bounds) *Graph {
	room := &struct {
		graph  Graph
		node   Node
		result Value
		refs   [1]*Value
	}{graph: Graph{Bounds: b}}
	g, c := &room.graph, &room.node
	operands := make([]struct {
		value Value
		param Param
		use   [1]*Node
	}, len(n.Args))
	refs := make([]*Value, 2*len(n.Args))
	g.Params, c.Args = refs[:len(n.Args):len(n.Args)], refs[len(n.Args):]
	for i, a := range n.Args {
		o := &operands[i]
		o.param.Kind = Arg
		o.use[0] = c
		o.value = Value{Type: a.Type, Param: &o.param, Index: i, uses: o.use[:]}
		g.Params[i], c.Args[i] = &o.value, &o.value
	}
	room.result = Value{Type: n.Result().Type, Def: c}
	room.refs[0] = &room.result
	c.Op, c.Attr, c.Label, c.Results = n.Op, n.Attr, n.Label, room.refs[:]
	g.nodes = []*Node{c}
	g.Return("", &room.result)
	return g
}
