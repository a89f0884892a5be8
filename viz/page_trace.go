package viz

import (
	"fmt"
	"strings"

	"foundry/ir"
)

// pageStage is a graph as it stood behind a pass.
type pageStage struct {
	Name    string     `json:"name"` // the pass; "input" before the first
	Nodes   int        `json:"nodes"`
	Changed bool       `json:"changed"`
	Lines   []pageLine `json:"lines,omitempty"` // lines of a stage that changed
}

// pageLine is a node, or a run of equal layers, of which the first one's nodes stand for
// all: in the others the layer's number and those beside it are as much larger.
type pageLine struct {
	Label  string     `json:"l"`
	Op     string     `json:"o"`
	Type   string     `json:"t"`
	Args   []string   `json:"a"`           // labels, or names of params
	Fused  []pageLine `json:"f,omitempty"` // the operations in its region
	Layer  int        `json:"y"`           // the layer; -1 outside of layers
	Repeat int        `json:"n,omitempty"` // layers that this line stands for, where more than its own
}

// traced lists the nodes of g, equal layers that follow each other once.
func traced(g *ir.Graph) []pageLine {
	var lines []pageLine
	byLayer := map[int][]int{} // places in lines
	var order []int
	for _, n := range g.Nodes() {
		l := lineOf(n, n.Layer())
		if n.Layer() >= 0 {
			if byLayer[n.Layer()] == nil {
				order = append(order, n.Layer())
			}
			byLayer[n.Layer()] = append(byLayer[n.Layer()], len(lines))
		}
		lines = append(lines, l)
	}
	sketch := func(layer int) string {
		var b strings.Builder
		for _, at := range byLayer[layer] {
			lines[at].sketch(&b, layer)
		}
		return b.String()
	}
	gone := make([]bool, len(lines))
	for i := 0; i < len(order); {
		last, own := i, sketch(order[i])
		for last+1 < len(order) && order[last+1] == order[last]+1 && sketch(order[last+1]) == own {
			last++
		}
		for k, layer := range order[i : last+1] {
			for _, at := range byLayer[layer] {
				gone[at] = k > 0
				if last > i {
					lines[at].Repeat = last - i + 1
				}
			}
		}
		i = last + 1
	}
	var out []pageLine
	for i, l := range lines {
		if !gone[i] {
			out = append(out, l)
		}
	}
	return out
}

func lineOf(n *ir.Node, layer int) pageLine {
	l := pageLine{Label: n.Label, Op: n.Op.String(), Type: n.Result().Type.String(), Layer: layer, Args: make([]string, len(n.Args))}
	if n.Attr.Pattern != "" {
		l.Op = n.Attr.Pattern
	}
	for i, a := range n.Args {
		switch {
		case a.Param != nil:
			l.Args[i] = a.Param.Name
		case a.Def != nil:
			l.Args[i] = a.Def.Label
		default:
			l.Args[i] = fmt.Sprintf("arg %d", a.Index)
		}
	}
	if n.Region != nil {
		for _, m := range n.Region.Nodes() {
			inner := lineOf(m, layer)
			for i, a := range m.Args {
				if a.Def == nil && a.Index < len(l.Args) {
					inner.Args[i] = l.Args[a.Index]
				}
			}
			l.Fused = append(l.Fused, inner)
		}
	}
	return l
}

// sketch writes what equal layers share.
func (l *pageLine) sketch(b *strings.Builder, layer int) {
	fmt.Fprintf(b, "%s %s %s", anyLayer(l.Label, layer), l.Op, l.Type)
	for _, a := range l.Args {
		b.WriteString(" " + anyLayer(a, layer))
	}
	b.WriteByte('\n')
	for i := range l.Fused {
		l.Fused[i].sketch(b, layer)
	}
}
