package task

import (
	"fmt"
	"slices"

	"foundry/ir"
	"foundry/ir/sym"
)

// Places returns the elements that the thread of element ix owns: of a pair both.
func (p *Elements) Places(ix []Index) [][]Index {
	places := [][]Index{ix}
	if p.Pair {
		high := slices.Clone(ix)
		high[len(ix)-1] = ix[len(ix)-1].Plus(p.Space.At(-1).C / 2)
		places = append(places, high)
	}
	return places
}

// Cell returns the index of the first of the elements of a part that a thread of the grid g
// computes: its place along x is the column, that of its threadgroup along y the row.
func (w *Walk) Cell(p *Elements, g Grid) []Index {
	rank := int(p.Space.Rank)
	ix := make([]Index, rank)
	rest := w.below(PositionX, g.Columns.Max(w.Region.Graph.Bounds))
	if rank > 0 {
		q, u := w.Split(rest, g.Units, "column")
		rest = q
		if g.Units == sym.Const(1) {
			rest, u = w.unknown(PositionX), Number(0)
		}
		ix[rank-1] = u
		if scaled, ok := u.Times(sym.Poly{C: int64(w.Width)}); ok {
			ix[rank-1] = scaled
		}
	}
	for d := rank - 2; d >= g.Outer; d-- {
		if d == 0 {
			ix[d] = rest
			break
		}
		rest, ix[d] = w.Split(rest, p.Space.Dims[d], "index")
	}
	outer := w.unknown(GroupY)
	for d := g.Outer - 1; d >= 0; d-- {
		if d == 0 {
			ix[d] = outer
			break
		}
		outer, ix[d] = w.Split(outer, p.Space.Dims[d], "index")
	}
	return ix
}

// RowOf gives each threadgroup a row of space: the index of all dims but the last, of
// which its places along x and y are parts, and the threadgroups along each.
func (w *Walk) RowOf(space ir.Shape) (ix []Index, groups [2]sym.Dim) {
	ix, groups = make([]Index, space.Rank), [2]sym.Dim{sym.Const(1), sym.Const(1)}
	d := int(space.Rank) - 2
	for axis, v := range [...]Variable{GroupX, GroupY} {
		if d < 0 {
			break
		}
		count := space.Dims[d]
		lo := d
		for lo > 0 {
			n, ok := sym.Mul(count, space.Dims[lo-1])
			if !ok || axis == 0 && count.IsConst() != n.IsConst() && !count.IsConst() {
				break
			}
			lo, count = lo-1, n
		}
		groups[axis] = count
		rest := w.below(v, count.Max(w.Region.Graph.Bounds))
		for ; d > lo; d-- {
			rest, ix[d] = w.Split(rest, space.Dims[d], "index")
		}
		ix[d] = rest
		d = lo - 1
	}
	if d >= 0 {
		w.fail("rows of %s have too many symbols for a grid", space)
	}
	return ix, groups
}

// OfUnit turns a unit of a part into the index of the part's results and the row of the
// products: the head and the element of it where the results are in attention layout.
func (w *Walk) OfUnit(p *Part, t, unit Index) (ix []Index, row Index) {
	if p.Heads == 0 {
		return []Index{t, unit}, unit
	}
	d := p.HeadDim()
	per := d
	if p.Pair {
		per = d / 2
	}
	h, i := w.Split(unit, sym.Const(per), "head")
	row, _ = h.Times(sym.Poly{C: d})
	return []Index{h, t, i}, row.Add(i)
}

// Rows returns the rows of each product that the unit of row has.
func (p *Part) Rows(row Index) []Index {
	if p.Pair {
		return []Index{row, row.Plus(p.HeadDim() / 2)}
	}
	return []Index{row}
}

// High returns the place of the other element of a pair.
func (p *Part) High(ix []Index) []Index {
	return []Index{ix[0], ix[1], ix[2].Plus(p.HeadDim() / 2)}
}

// Elements returns what the part's thread computes by element: its results.
func (g *Product) Elements(p *Part) *Elements {
	return &Elements{Space: Walked(g.Region.Graph.Results[p.Results[0]].Value), Results: p.Results, Pair: p.Pair}
}

// Norm returns the finished sums of squares that a norm takes, nil for rms_norm, which
// makes its own, and the weight.
func NormOperands(n *ir.Node) (sums, gamma *ir.Value) {
	if n.Op == ir.OpRMSScale {
		return n.Args[1], n.Args[2]
	}
	return nil, n.Args[1]
}

// ResultLayout follows the views of an attention's result back to the layout that
// elements (head, row, d) are stored with.
func (a *Attention) ResultLayout() (Layout, error) {
	v := a.Region.Graph.Results[0].Value
	l, ok := Contiguous(v.Type.Shape)
	for ok && v.Def != a.Weighted {
		if v.Def == nil {
			return Layout{}, fmt.Errorf("the result of attention is not its weighted values")
		}
		x := v.Def.Args[0]
		switch v.Def.Op {
		case ir.OpTranspose:
			var in Layout
			for d := range int(x.Type.Shape.Rank) {
				in.Stride[v.Def.Attr.Perm[d]] = l.Stride[d]
			}
			l = in
		case ir.OpReshape:
			l, ok = l.Reshape(v.Type.Shape, x.Type.Shape)
		default:
			return Layout{}, fmt.Errorf("%s behind attention is not a view", v.Def.Op)
		}
		v = x
	}
	if !ok {
		return Layout{}, fmt.Errorf("the result of attention has %s, whose strides have too many symbols", v.Type)
	}
	return l, nil
}

// KeysOf returns the operand that holds the keys or values b of query head h of heads, the
// offset of their row 0 and the distance between rows, all in elements; loads are of width
// elements.
func (w *Walk) KeysOf(b *ir.Value, heads int64, h Index, width int64) (param int, first, step Index) {
	head, _ := w.Split(h, sym.Const(heads/b.Type.Shape.At(0).C), "kv_head")
	s := w.unknown(keyRow)
	param, first, ok := w.Address(b, []Index{head, s, Number(0)})
	if !ok {
		w.fail("keys or values of attention are computed in the region")
		return 0, Index{}, Index{}
	}
	l := w.Region.Operands[param].Layout
	first.Terms = slices.DeleteFunc(slices.Clone(first.Terms), func(t Term) bool {
		if t.Variable == keyRow {
			step.Const = t.Coef
			return true
		}
		return false
	})
	if !w.Divides(width, step) || !w.Divides(width, first) || l.Stride[w.Region.Graph.Params[param].Type.Shape.Rank-1] != (sym.Poly{C: 1}) {
		w.fail("rows of keys or values are not aligned")
	}
	return param, first, step
}
