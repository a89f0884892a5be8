package ir

import (
	"fmt"
	"io"
	"strconv"
	"strings"
)

// String prints g in the textual form that Parse reads:
//
//	graph @decode (T=1..1, P=0..4095, S<=4096) {
//	  %0 = input "ids" : i32[1]
//	  %1 = weight "model.embed_tokens.weight" : f16[151936, 896]
//	  %2 = embedding %0, %1 : f32[1, 896] @"embed"
//	  %3 = fused %2, %1 {pattern="final"} @"head" {
//	    ...
//	    return %4
//	  }
//	  return logits=%3
//	}
//
// Values are numbered in order; a region has numbers of its own.
func (g *Graph) String() string {
	var b strings.Builder
	_ = g.Print(&b)
	return b.String()
}

// Print writes String's text to w.
func (g *Graph) Print(w io.Writer) error {
	p := printer{}
	b := g.Bounds
	fmt.Fprintf(&p.b, "graph @%s (T=%d..%d, P=%d..%d, S<=%d) {\n", g.Name, b.TMin, b.TMax, b.PMin, b.PMax, b.SMax)
	p.body(g, "  ", true)
	p.b.WriteString("}\n")
	_, err := io.WriteString(w, p.b.String())
	return err
}

type printer struct{ b strings.Builder }

// body prints params, nodes and the return line.
func (p *printer) body(g *Graph, indent string, labels bool) {
	num := make(map[*Value]int, len(g.Params)+len(g.nodes))
	name := func(v *Value) {
		n, ok := num[v]
		if !ok {
			n = len(num)
			num[v] = n
		}
		p.b.WriteByte('%')
		p.b.WriteString(strconv.Itoa(n))
	}
	for _, v := range g.Params {
		p.b.WriteString(indent)
		name(v)
		p.b.WriteString(" = ")
		p.b.WriteString(v.Param.Kind.String())
		if v.Param.Name != "" {
			p.b.WriteByte(' ')
			p.b.WriteString(strconv.Quote(v.Param.Name))
		}
		if v.Param.Kind == Const {
			p.values(v.Param.Values)
		}
		p.b.WriteString(" : ")
		p.b.WriteString(v.Type.String())
		p.b.WriteByte('\n')
	}
	for _, n := range g.Nodes() {
		p.b.WriteString(indent)
		for i, r := range n.Results {
			if i > 0 {
				p.b.WriteString(", ")
			}
			name(r)
		}
		p.b.WriteString(" = ")
		p.b.WriteString(n.Op.String())
		for i, a := range n.Args {
			if i > 0 {
				p.b.WriteByte(',')
			}
			p.b.WriteByte(' ')
			name(a)
		}
		p.attr(n)
		if n.Region == nil {
			p.b.WriteString(" : ")
			p.b.WriteString(n.Results[0].Type.String())
		}
		if labels && n.Label != "" {
			p.b.WriteString(" @")
			p.b.WriteString(strconv.Quote(n.Label))
		}
		if n.Region != nil {
			p.b.WriteString(" {\n")
			p.body(n.Region, indent+"  ", labels)
			p.b.WriteString(indent)
			p.b.WriteByte('}')
		}
		p.b.WriteByte('\n')
	}
	p.b.WriteString(indent)
	p.b.WriteString("return ")
	for i, r := range g.Results {
		if i > 0 {
			p.b.WriteString(", ")
		}
		if r.Name != "" {
			p.b.WriteString(quoteResult(r.Name))
			p.b.WriteByte('=')
		}
		name(r.Value)
	}
	p.b.WriteByte('\n')
}

func (p *printer) attr(n *Node) {
	written := 0
	for f := range n.Op.fields() {
		if f.absent(&n.Attr) {
			continue
		}
		if written++; written == 1 {
			p.b.WriteString(" {")
		} else {
			p.b.WriteString(", ")
		}
		p.b.WriteString(f.String())
		p.b.WriteByte('=')
		p.b.WriteString(f.format(&n.Attr))
	}
	if written > 0 {
		p.b.WriteByte('}')
	}
}

func (p *printer) values(vs []float32) {
	p.b.WriteString(" [")
	for i, v := range vs {
		if i > 0 {
			p.b.WriteString(", ")
		}
		p.b.WriteString(strconv.FormatFloat(float64(v), 'g', -1, 32))
	}
	p.b.WriteByte(']')
}

// quoteResult quotes names that are no plain word.
func quoteResult(s string) string {
	for i := range len(s) {
		if !isWordByte(s[i]) || i == 0 && s[i] >= '0' && s[i] <= '9' {
			return strconv.Quote(s)
		}
	}
	return s
}

// Canonical prints g with its nodes in depth-first order from the results and
// without labels, so that graphs that differ only in the order of independent
// nodes print alike.
func (g *Graph) Canonical() string {
	c := NewGraph(g.Name, g.Bounds)
	c.Params, c.Results = g.Params, g.Results
	seen := make(map[*Node]bool, len(g.nodes))
	var visit func(n *Node)
	visit = func(n *Node) {
		if n == nil || seen[n] {
			return
		}
		seen[n] = true
		for _, a := range n.Args {
			visit(a.Def)
		}
		c.nodes = append(c.nodes, n)
	}
	for _, r := range g.Results {
		visit(r.Value.Def)
	}
	var p printer
	p.body(c, "  ", false)
	return p.b.String()
}
