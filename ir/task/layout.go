package task

import (
	"foundry/ir"
	"foundry/ir/sym"
)

// Layout says where the elements of a tensor lie in its storage: element index i
// stands at Off + sum of i[d] * Stride[d], in elements.
type Layout struct {
	Off    sym.Poly
	Stride [ir.MaxRank]sym.Poly
}

// Contiguous returns the row-major Layout of s; ok is false where a stride has
// more than two symbols.
func Contiguous(s ir.Shape) (l Layout, ok bool) {
	for d := range int(s.Rank) {
		if l.Stride[d], ok = sym.Product(s.Dims[d+1 : s.Rank]...); !ok {
			return Layout{}, false
		}
	}
	return l, true
}

// Through returns the Layout of a view's result over an operand that lies as l;
// ok is false where only a copy can make it, or where rows would not be adjacent
// elements, which no kernel reads.
func (l Layout) Through(n *ir.Node) (out Layout, ok bool) {
	in, res := n.Args[0].Type.Shape, n.Results[0].Type.Shape
	switch n.Op {
	case ir.OpSlice:
		out = l
		shift, ok := n.Attr.Start.Poly().Times(l.Stride[n.Attr.Axis])
		if !ok {
			return Layout{}, false
		}
		out.Off = l.Off.Add(shift)
	case ir.OpTranspose:
		out.Off = l.Off
		for d := range int(res.Rank) {
			out.Stride[d] = l.Stride[n.Attr.Perm[d]]
		}
	case ir.OpReshape:
		if out, ok = l.Reshape(in, res); !ok {
			return Layout{}, false
		}
	default:
		return Layout{}, false
	}
	return out, out.rowsAdjacent(res)
}

func (l Layout) rowsAdjacent(s ir.Shape) bool {
	return s.Rank == 0 || l.Stride[s.Rank-1] == sym.Poly{C: 1} || s.At(-1) == sym.Const(1)
}

func (l Layout) IsContiguous(s ir.Shape) bool {
	want, ok := Contiguous(s)
	if !ok || l.Off != (sym.Poly{}) {
		return false
	}
	for d, n := range s.Dims[:s.Rank] {
		if n != sym.Const(1) && l.Stride[d] != want.Stride[d] {
			return false
		}
	}
	return true
}

// DimGroup is a run of operand dims that holds the same elements as a run of
// result dims of a reshape.
type DimGroup struct{ InLo, InHi, OutLo, OutHi int }

// Groups aligns the dims of two shapes with the same number of elements.
func Groups(in, out ir.Shape) []DimGroup {
	// Products are compared at one point with large primes; equal there means
	// equal for the dims of one tensor.
	at := sym.Env{T: 1009, P: 9973}
	var gs []DimGroup
	i, o := 0, 0
	for i < int(in.Rank) || o < int(out.Rank) {
		g := DimGroup{InLo: i, OutLo: o}
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
		g.InHi, g.OutHi = i, o
		gs = append(gs, g)
	}
	return gs
}

func (l Layout) Reshape(in, out ir.Shape) (Layout, bool) {
	r := Layout{Off: l.Off}
	for _, g := range Groups(in, out) {
		// The operand dims of a group must be mergeable into one.
		var unit sym.Poly
		have, inner := false, sym.Poly{C: 1}
		for d := g.InHi - 1; d >= g.InLo; d-- {
			if in.Dims[d] == sym.Const(1) {
				continue
			}
			if !have {
				unit, have = l.Stride[d], true
			} else if want, ok := unit.Times(inner); !ok || want != l.Stride[d] {
				return Layout{}, false
			}
			var ok bool
			if inner, ok = inner.Times(in.Dims[d].Poly()); !ok {
				return Layout{}, false
			}
		}
		if !have {
			unit = sym.Poly{C: 1}
		}
		step := unit
		for d := g.OutHi - 1; d >= g.OutLo; d-- {
			r.Stride[d] = step
			var ok bool
			if step, ok = step.Times(out.Dims[d].Poly()); !ok {
				return Layout{}, false
			}
		}
	}
	return r, true
}

// End returns one past the largest element offset that l reaches for any step
// within b, and false where that is not easily known.
func (l Layout) End(s ir.Shape, b sym.Bounds) (int64, bool) {
	last := l.Off
	for d, n := range s.Dims[:s.Rank] {
		span, ok := l.Stride[d].Times(n.Poly().Add(sym.Poly{C: -1}))
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
