package metal

import (
	"foundry/ir"
	"foundry/ir/sym"
)

// layout says where the elements of a tensor lie in its storage: element index i
// stands at off + sum of i[d] * stride[d], in elements.
type layout struct {
	off    sym.Poly
	stride [ir.MaxRank]sym.Poly
}

// contiguous returns the row-major layout of s; ok is false where a stride has
// more than two symbols.
func contiguous(s ir.Shape) (l layout, ok bool) {
	for d := range int(s.Rank) {
		if l.stride[d], ok = sym.Product(s.Dims[d+1 : s.Rank]...); !ok {
			return layout{}, false
		}
	}
	return l, true
}

// through returns the layout of a view's result over an operand that lies as l;
// ok is false where only a copy can make it, or where rows would not be adjacent
// elements, which no kernel reads.
func (l layout) through(n *ir.Node) (out layout, ok bool) {
	in, res := n.Args[0].Type.Shape, n.Results[0].Type.Shape
	switch n.Op {
	case ir.OpSlice:
		out = l
		shift, ok := multiply(poly(n.Attr.Start), l.stride[n.Attr.Axis])
		if !ok {
			return layout{}, false
		}
		out.off = l.off.Add(shift)
	case ir.OpTranspose:
		out.off = l.off
		for d := range int(res.Rank) {
			out.stride[d] = l.stride[n.Attr.Perm[d]]
		}
	case ir.OpReshape:
		if out, ok = l.reshape(in, res); !ok {
			return layout{}, false
		}
	default:
		return layout{}, false
	}
	return out, out.rowsAdjacent(res)
}

func (l layout) rowsAdjacent(s ir.Shape) bool {
	return s.Rank == 0 || l.stride[s.Rank-1] == sym.Poly{C: 1} || s.At(-1) == sym.Const(1)
}

func (l layout) isContiguous(s ir.Shape) bool {
	want, ok := contiguous(s)
	if !ok || l.off != (sym.Poly{}) {
		return false
	}
	for d, n := range s.Dims[:s.Rank] {
		if n != sym.Const(1) && l.stride[d] != want.stride[d] {
			return false
		}
	}
	return true
}

// dimGroup is a run of operand dims that holds the same elements as a run of
// result dims of a reshape.
type dimGroup struct{ inLo, inHi, outLo, outHi int }

// groups aligns the dims of two shapes with the same number of elements.
func groups(in, out ir.Shape) []dimGroup {
	// Products are compared at one point with large primes; equal there means
	// equal for the dims of one tensor.
	at := sym.Env{T: 1009, P: 9973}
	var gs []dimGroup
	i, o := 0, 0
	for i < int(in.Rank) || o < int(out.Rank) {
		g := dimGroup{inLo: i, outLo: o}
		a, b := int64(1), int64(1)
		for first := true; first || a != b; first = false {
			if i < int(in.Rank) && (a <= b || o == int(out.Rank)) {
				a *= in.Dims[i].Eval(at)
				i++
			} else if o < int(out.Rank) {
				b *= out.Dims[o].Eval(at)
				o++
			} else {
				break
			}
		}
		for i < int(in.Rank) && in.Dims[i] == sym.Const(1) {
			i++
		}
		for o < int(out.Rank) && out.Dims[o] == sym.Const(1) {
			o++
		}
		g.inHi, g.outHi = i, o
		gs = append(gs, g)
	}
	return gs
}

func (l layout) reshape(in, out ir.Shape) (layout, bool) {
	r := layout{off: l.off}
	for _, g := range groups(in, out) {
		// The operand dims of a group must be mergeable into one.
		var unit sym.Poly
		have, inner := false, sym.Poly{C: 1}
		for d := g.inHi - 1; d >= g.inLo; d-- {
			if in.Dims[d] == sym.Const(1) {
				continue
			}
			if !have {
				unit, have = l.stride[d], true
			} else if want, ok := multiply(unit, inner); !ok || want != l.stride[d] {
				return layout{}, false
			}
			var ok bool
			if inner, ok = multiply(inner, poly(in.Dims[d])); !ok {
				return layout{}, false
			}
		}
		if !have {
			unit = sym.Poly{C: 1}
		}
		step := unit
		for d := g.outHi - 1; d >= g.outLo; d-- {
			r.stride[d] = step
			var ok bool
			if step, ok = multiply(step, poly(out.Dims[d])); !ok {
				return layout{}, false
			}
		}
	}
	return r, true
}

// end returns one past the largest element offset that l reaches for any step
// within b, and false where that is not easily known.
func (l layout) end(s ir.Shape, b sym.Bounds) (int64, bool) {
	last := l.off
	for d, n := range s.Dims[:s.Rank] {
		span, ok := multiply(l.stride[d], poly(n).Add(sym.Poly{C: -1}))
		if !ok {
			return 0, false
		}
		last = last.Add(span)
	}
	if last.TT != 0 || last.TP != 0 {
		return 0, false
	}
	d := sym.Dim{C: last.C, T: int32(last.T), P: int32(last.P)}
	return d.Max(b) + 1, true
}
