package task

import (
	"slices"

	"foundry/ir"
	"foundry/ir/sym"
)

// Divides reports whether n divides a whatever its variables hold.
func (w *Walk) Divides(n int64, a Index) bool {
	ok := func(p sym.Poly, step int64) bool {
		for _, c := range [...]int64{p.C, p.T, p.P, p.TT, p.TP} {
			if c*step%n != 0 {
				return false
			}
		}
		return true
	}
	if !ok(a.Const, 1) {
		return false
	}
	for _, t := range a.Terms {
		if !ok(t.Coef, w.of(t.Variable).step) {
			return false
		}
	}
	return true
}

// Bounded reports whether a is known to lie in 0..n-1.
func (w *Walk) Bounded(a Index, n int64) bool {
	if !a.Const.IsConst() || a.Const.C < 0 {
		return false
	}
	top := a.Const.C
	for _, t := range a.Terms {
		b := w.of(t.Variable).below
		if b == 0 || !t.Coef.IsConst() || t.Coef.C < 0 {
			return false
		}
		top += t.Coef.C * (b - 1)
	}
	return top < n
}

// Split returns a / n and a % n, in closed form where what is known of variables allows.
func (w *Walk) Split(a Index, n sym.Dim, base string) (q, r Index) {
	if n == sym.Const(1) {
		return a, Number(0)
	}
	if c, ok := n.Const(); ok {
		if a.IsNumber() {
			return Number(a.Const.C / c), Number(a.Const.C % c)
		}
		if q, r, ok := w.splitKnown(a, c); ok {
			return q, r
		}
	}
	if slices.ContainsFunc(a.Terms, func(t Term) bool { return t.Variable == keyRow }) {
		w.fail("rows of keys or values do not lie at one distance")
		return Number(0), Number(0)
	}
	below := int64(0)
	if n.IsConst() {
		below = n.C
	}
	q = w.unknown(w.Writer.Quotient(base, a, n))
	step := int64(1)
	for s := int64(w.Width); s > 1; s /= 2 {
		if n.C%s == 0 && int64(n.T)%s == 0 && int64(n.P)%s == 0 && w.Divides(s, a) {
			step = s
			break
		}
	}
	return q, w.Know(w.Writer.Remainder(base, a, n), below, step)
}

func (w *Walk) splitKnown(a Index, n int64) (q, r Index, ok bool) {
	rest := int64(0)
	put := func(p sym.Poly, t *Term, below int64) bool {
		if p.C%n == 0 && p.T%n == 0 && p.P%n == 0 && p.TT%n == 0 && p.TP%n == 0 {
			p = sym.Poly{C: p.C / n, T: p.T / n, P: p.P / n, TT: p.TT / n, TP: p.TP / n}
			if t == nil {
				q.Const = p
			} else {
				q.Terms = append(q.Terms, Term{t.Variable, p})
			}
			return true
		}
		if !p.IsConst() || p.C < 0 || below == 0 {
			return false
		}
		rest += p.C * (below - 1)
		if t == nil {
			r.Const = p
		} else {
			r.Terms = append(r.Terms, *t)
		}
		return true
	}
	if !put(a.Const, nil, 2) {
		return q, r, false
	}
	for i := range a.Terms {
		if t := &a.Terms[i]; !put(t.Coef, t, w.of(t.Variable).below) {
			return q, r, false
		}
	}
	return q, r, rest < n
}

// moved takes an index of v to the index of the operand that holds the same element, for
// the operations that only move elements.
func (w *Walk) moved(v *ir.Value, ix []Index) (*ir.Value, []Index, bool) {
	n := v.Def
	if n == nil || len(n.Args) == 0 {
		return nil, nil, false
	}
	x := n.Args[0]
	in, out := x.Type.Shape, v.Type.Shape
	last := int(out.Rank) - 1
	switch n.Op {
	case ir.OpSlice:
		to := append([]Index(nil), ix...)
		to[n.Attr.Axis] = to[n.Attr.Axis].Add(Dimension(n.Attr.Start))
		if n.Attr.Axis == last && w.several() && !w.Divides(int64(w.Width), Dimension(n.Attr.Start)) {
			w.fail("four adjacent elements of a slice are not aligned")
		}
		return x, to, true
	case ir.OpTranspose:
		to := make([]Index, in.Rank)
		for d := range ix {
			to[n.Attr.Perm[d]] = ix[d]
		}
		if w.several() && int(n.Attr.Perm[last]) != last {
			w.fail("four adjacent elements of a transpose are not adjacent")
		}
		return x, to, true
	case ir.OpKVRearrange:
		d := out.At(2)
		row, ok := ix[0].Times(d.Poly())
		if !ok || w.several() && d.C%int64(w.Width) != 0 {
			w.fail("four adjacent elements cross a head")
		}
		return x, []Index{ix[1], row.Add(ix[2])}, true
	case ir.OpRepeatKV:
		h, _ := w.Split(ix[0], sym.Const(int64(n.Attr.Times)), "head")
		return x, []Index{h, ix[1], ix[2]}, true
	case ir.OpReshape:
		return x, w.throughReshape(in, out, ix), true
	}
	return nil, nil, false
}

func (w *Walk) throughReshape(in, out ir.Shape, ix []Index) []Index {
	to := make([]Index, in.Rank)
	for _, g := range Groups(in, out) {
		flat := Number(0)
		for d := g.OutLo; d < g.OutHi; d++ {
			scaled, ok := flat.Times(out.Dims[d].Poly())
			if !ok {
				w.fail("a reshape of %s to %s has too many symbols", in, out)
				return to
			}
			flat = scaled.Add(ix[d])
		}
		for d := g.InHi - 1; d > g.InLo; d-- {
			if w.several() && d == int(in.Rank)-1 && (in.Dims[d].C%int64(w.Width) != 0 || in.Dims[d].T != 0 || in.Dims[d].P != 0) {
				w.fail("four adjacent elements cross a row")
			}
			flat, to[d] = w.Split(flat, in.Dims[d], "index")
		}
		if g.InHi > g.InLo {
			to[g.InLo] = flat
		}
	}
	if w.several() && in.Dims[in.Rank-1] == sym.Const(1) {
		w.fail("four adjacent elements lie in different rows")
	}
	return to
}

// Address returns the param that holds element ix of v and its offset there, in elements;
// ok is false where something computes the element.
func (w *Walk) Address(v *ir.Value, ix []Index) (param int, off Index, ok bool) {
	for v.Param == nil {
		if v, ix, ok = w.moved(v, ix); !ok {
			return param, off, false
		}
	}
	if off, ok = OffsetOf(w.Region.Operands[v.Index].Layout, ix); !ok {
		w.fail("an address in %s has too many symbols", v.Type)
	}
	return v.Index, off, ok
}

// OffsetOf returns where element ix lies in storage of that layout; ok is false beyond the
// degree of an index.
func OffsetOf(l Layout, ix []Index) (off Index, ok bool) {
	off = Index{Const: l.Off}
	for d, i := range ix {
		part, ok := i.Times(l.Stride[d])
		if !ok {
			return Index{}, false
		}
		off = off.Add(part)
	}
	return off, true
}

// Place returns where Width elements from ix on are stored in a layout.
func (w *Walk) Place(l Layout, ix []Index) Index {
	off, ok := OffsetOf(l, ix)
	switch {
	case !ok:
		w.fail("a store has too many symbols")
	case !w.Divides(int64(w.Width), off):
		w.fail("four adjacent elements are not aligned")
	}
	return off
}

// Target returns where element ix of result j is stored: in which operand, a cache that is
// written, or -1 for the result's own storage, and the offset there.
func (w *Walk) Target(j int, ix []Index) (cache int, off Index) {
	v := w.Region.Graph.Results[j].Value
	if n := v.Def; n != nil && n.Op == ir.OpKVWrite {
		x := n.Args[0]
		if x.Param == nil {
			w.fail("a cache is written twice in one region")
			return -1, Index{}
		}
		return x.Index, w.Place(w.Region.Operands[x.Index].Layout, []Index{ix[0], ix[1].Add(Dimension(n.Attr.Start)), ix[2]})
	}
	l, ok := Contiguous(v.Type.Shape)
	if !ok {
		w.fail("result %d has %s, whose strides have too many symbols", j, v.Type)
		return -1, Index{}
	}
	return -1, w.Place(l, ix)
}
