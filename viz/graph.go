package viz

import (
	"fmt"

	"foundry/ir"
	"foundry/ir/sym"
)

// readGraph makes a scene of g: a unit a node.
func readGraph(g *ir.Graph, o Options) *scene {
	s := &scene{title: o.Title}
	if s.title == "" {
		s.title = "graph " + g.Name
	}
	params := map[*ir.Value]*param{}
	for _, v := range g.Params {
		params[v] = &param{kind: v.Param.Kind, name: v.Param.Name, text: v.Type.String()}
	}
	units := map[*ir.Node]*unit{}
	source := func(v *ir.Value) operand {
		op := operand{text: v.Type.String() + "\n" + typeBytes(v.Type)}
		if v.Def == nil {
			op.par = params[v]
		} else {
			op.from, op.out = units[v.Def], v.Index
		}
		return op
	}
	ops := 0
	for _, n := range g.Nodes() {
		u := &unit{name: n.Label, layer: n.Layer(), key: n.Key() + "@" + anyLayer(n.Label, n.Layer())}
		units[n] = u
		if n.Region == nil {
			readPlain(u, n, source, o)
		} else {
			readRegion(u, n, source, o)
		}
		ops += len(u.boxes)
		s.units = append(s.units, u)
	}
	for _, r := range g.Results {
		s.returns = append(s.returns, result{name: r.Name, from: source(r.Value)})
	}
	s.facts = fmt.Sprintf("%s, %s · %s", count(ops, "operation"), count(len(s.units), "node"), boundsText(g.Bounds))
	return s
}

func readPlain(u *unit, n *ir.Node, source func(*ir.Value) operand, o Options) {
	b := box{op: n.Op, label: n.Label, lines: []string{n.Result().Type.String()}}
	for _, a := range n.Args {
		b.lines = append(b.lines, weightLine(a, o)...)
		u.in = append(u.in, source(a))
	}
	u.boxes, u.outs = []box{b}, []int{0}
}

// readRegion makes a box of each operation of the region. A value inside the
// region becomes a wire, an operand of the fused node leads to the boxes that
// take it.
func readRegion(u *unit, n *ir.Node, source func(*ir.Value) operand, o Options) {
	u.fused = true
	u.head = []string{n.Attr.Pattern, n.Label}
	boxOf := map[*ir.Node]int{}
	for i, m := range n.Region.Nodes() {
		boxOf[m] = i
		b := box{op: m.Op, label: m.Label, lines: []string{m.Result().Type.String()}}
		for _, a := range m.Args {
			if a.Def != nil {
				u.wires = append(u.wires, wire{from: boxOf[a.Def], to: i})
				continue
			}
			outer := n.Args[a.Index]
			b.lines = append(b.lines, weightLine(outer, o)...)
			op := source(outer)
			op.box = i
			u.in = append(u.in, op)
		}
		u.boxes = append(u.boxes, b)
	}
	for _, r := range n.Region.Results {
		u.outs = append(u.outs, boxOf[r.Value.Def])
	}
}

// weightLine says which weight an operation reads, where weights are not drawn.
func weightLine(v *ir.Value, o Options) []string {
	if o.Weights || v.Param == nil || v.Param.Kind != ir.Weight {
		return nil
	}
	return []string{"w " + v.Type.String() + ", " + typeBytes(v.Type)}
}

func boundsText(b sym.Bounds) string {
	span := func(name string, lo, hi int64) string {
		if lo == hi {
			return fmt.Sprintf("%s = %d", name, lo)
		}
		return fmt.Sprintf("%s = %d..%d", name, lo, hi)
	}
	return fmt.Sprintf("%s, %s, S ≤ %d", span("T", b.TMin, b.TMax), span("P", b.PMin, b.PMax), b.SMax)
}

func count(n int, noun string) string {
	switch {
	case n == 1:
		return "1 " + noun
	case noun[len(noun)-1] == 'h':
		return fmt.Sprintf("%d %ses", n, noun)
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
