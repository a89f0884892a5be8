package task

import (
	"fmt"

	"foundry/ir"
	"foundry/ir/sym"
)

// Elements is a set of results that one thread computes together: they have the same
// iteration space.
type Elements struct {
	Space   ir.Shape
	Results []int
	Pair    bool // a thread owns elements i and i + n/2 of the last dim
}

// ElementsOf groups a region's results by the space that they are computed over.
func ElementsOf(r *Region) []Elements {
	var parts []Elements
next:
	for i, res := range r.Graph.Results {
		s := Walked(res.Value)
		for j := range parts {
			if parts[j].Space == s {
				parts[j].Results = append(parts[j].Results, i)
				continue next
			}
		}
		parts = append(parts, Elements{Space: s, Results: []int{i}})
	}
	for i := range parts {
		for _, j := range parts[i].Results {
			if DependsOn(r.Graph.Results[j].Value, func(n *ir.Node) bool { return n.Op == ir.OpRope }) {
				parts[i].Pair = true
			}
		}
	}
	return parts
}

// RunsElements is what is computed by element where runs of it are summed up: the results
// that are no sums of squares.
func RunsElements(r *Region) *Elements {
	p := &Elements{}
	for j, res := range r.Graph.Results {
		if v := res.Value; v.Def != nil && v.Def.Op == ir.OpSumSquares {
			p.Space = v.Def.Args[0].Type.Shape
		} else {
			p.Results = append(p.Results, j)
		}
	}
	return p
}

// Grid is how the units of a set of results lie in a grid: columns along x are the
// trailing dims, from the one numbered Outer on, whose product is affine; Rows the others.
type Grid struct {
	Units         sym.Dim // groups of elements of the last dim
	Columns, Rows sym.Dim
	Outer         int
}

// Grid returns the grid of units of width elements, twice as many for pairs. An error
// says what does not divide, or has too many symbols.
func (p *Elements) Grid(width int) (g Grid, err error) {
	last := sym.Const(1)
	if p.Space.Rank > 0 {
		last = p.Space.At(-1)
	}
	per := int64(width)
	if p.Pair {
		per *= 2
	}
	var ok bool
	if g.Units, ok = last.Div(per); !ok || per > 1 && !last.IsConst() {
		return g, fmt.Errorf("rows of %s do not split into %d", last, per)
	}
	g.Outer, g.Columns, g.Rows = int(p.Space.Rank)-1, g.Units, sym.Const(1)
	for g.Outer > 0 {
		n, ok := sym.Mul(g.Columns, p.Space.Dims[g.Outer-1])
		if !ok {
			break
		}
		g.Outer, g.Columns = g.Outer-1, n
	}
	for d := range g.Outer {
		if g.Rows, ok = sym.Mul(g.Rows, p.Space.Dims[d]); !ok {
			return g, fmt.Errorf("%s has too many symbols for a grid", p.Space)
		}
	}
	return g, nil
}

// AtOnePosition reports whether all parts are heads, [H, T, D], of the same positions
// with pairs to turn, so that a threadgroup can make all of a position.
func AtOnePosition(r *Region, parts []Elements) bool {
	for _, p := range parts {
		if !p.Pair || p.Space.Rank != 3 || p.Space.Dims[1] != parts[0].Space.Dims[1] {
			return false
		}
		if !p.Space.Dims[0].IsConst() || !p.Space.Dims[2].IsConst() || len(p.Rotations(r)) == 0 {
			return false
		}
	}
	return true
}

// Rotations lists those of r whose pairs are the part's.
func (p *Elements) Rotations(r *Region) []*ir.Node {
	var out []*ir.Node
	for _, n := range r.Nodes(ir.OpRope) {
		if n.Results[0].Type.Shape == p.Space {
			out = append(out, n)
		}
	}
	return out
}
