package metal

import (
	"fmt"

	"foundry/ir"
	"foundry/ir/sym"
	"foundry/ir/task"
	"foundry/lower/plan"
)

// divides reports whether n divides a whatever its atoms are.
func (e *emitter) divides(n int64, a affine) bool {
	ok := func(p sym.Poly, step int64) bool {
		for _, c := range [...]int64{p.C, p.T, p.P, p.TT, p.TP} {
			if c*step%n != 0 {
				return false
			}
		}
		return true
	}
	if !ok(a.c, 1) {
		return false
	}
	for _, t := range a.terms {
		if !ok(t.coef, max(e.step[t.atom], 1)) {
			return false
		}
	}
	return true
}

// split returns a / n and a % n, in closed form where the atoms' ranges allow.
func (e *emitter) split(a affine, n sym.Dim, base string) (q, r affine) {
	if n == sym.Const(1) {
		return a, number(0)
	}
	if c, ok := n.Const(); ok {
		if a.isNumber() {
			return number(a.c.C / c), number(a.c.C % c)
		}
		if q, r, ok := e.splitKnown(a, c); ok {
			return q, r
		}
	}
	div := e.k.text(dimension(n))
	if !n.IsConst() {
		div = "(" + div + ")"
	}
	below := int64(0)
	if n.IsConst() {
		below = n.C
	}
	x := a.group()
	e.k.text(a)
	q = e.atom(base, fmt.Sprintf("%s / %s", x, div), 0, 1)
	step := int64(1)
	for s := int64(e.w); s > 1; s /= 2 {
		if n.C%s == 0 && int64(n.T)%s == 0 && int64(n.P)%s == 0 && e.divides(s, a) {
			step = s
			break
		}
	}
	r = e.atom(base, fmt.Sprintf("%s %% %s", x, div), below, step)
	return q, r
}

func (e *emitter) splitKnown(a affine, n int64) (q, r affine, ok bool) {
	rest := int64(0)
	put := func(p sym.Poly, t *term, below int64) bool {
		if p.C%n == 0 && p.T%n == 0 && p.P%n == 0 && p.TT%n == 0 && p.TP%n == 0 {
			p = sym.Poly{C: p.C / n, T: p.T / n, P: p.P / n, TT: p.TT / n, TP: p.TP / n}
			if t == nil {
				q.c = p
			} else {
				q.terms = append(q.terms, term{t.atom, p})
			}
			return true
		}
		if !p.IsConst() || p.C < 0 || below == 0 {
			return false
		}
		rest += p.C * (below - 1)
		if t == nil {
			r.c = p
		} else {
			r.terms = append(r.terms, *t)
		}
		return true
	}
	if !put(a.c, nil, 2) {
		return q, r, false
	}
	for i := range a.terms {
		if t := &a.terms[i]; !put(t.coef, t, e.below[t.atom]) {
			return q, r, false
		}
	}
	return q, r, rest < n
}

// operandIndex takes an index of v to the index of the operand that holds the same
// element, for the ops that only move elements.
func (e *emitter) operandIndex(v *ir.Value, ix []affine) (*ir.Value, []affine, bool) {
	n := v.Def
	if n == nil || len(n.Args) == 0 {
		return nil, nil, false
	}
	x := n.Args[0]
	in, out := x.Type.Shape, v.Type.Shape
	last := int(out.Rank) - 1
	switch n.Op {
	case ir.OpSlice:
		to := append([]affine(nil), ix...)
		to[n.Attr.Axis] = to[n.Attr.Axis].add(dimension(n.Attr.Start))
		if n.Attr.Axis == last && e.w > 1 && !e.divides(int64(e.w), dimension(n.Attr.Start)) {
			e.fail("four adjacent elements of a slice are not aligned")
		}
		return x, to, true
	case ir.OpTranspose:
		to := make([]affine, in.Rank)
		for d := range ix {
			to[n.Attr.Perm[d]] = ix[d]
		}
		if e.w > 1 && int(n.Attr.Perm[last]) != last {
			e.fail("four adjacent elements of a transpose are not adjacent")
		}
		return x, to, true
	case ir.OpKVRearrange:
		d := out.At(2)
		row, ok := ix[0].times(d.Poly())
		if !ok || e.w > 1 && d.C%int64(e.w) != 0 {
			e.fail("four adjacent elements cross a head")
		}
		return x, []affine{ix[1], row.add(ix[2])}, true
	case ir.OpRepeatKV:
		h, _ := e.split(ix[0], sym.Const(int64(n.Attr.Times)), "head")
		return x, []affine{h, ix[1], ix[2]}, true
	case ir.OpReshape:
		return x, e.pullReshape(in, out, ix), true
	}
	return nil, nil, false
}

func (e *emitter) pullReshape(in, out ir.Shape, ix []affine) []affine {
	to := make([]affine, in.Rank)
	for _, g := range task.Groups(in, out) {
		flat := number(0)
		for d := g.OutLo; d < g.OutHi; d++ {
			scaled, ok := flat.times(out.Dims[d].Poly())
			if !ok {
				e.fail("a reshape of %s to %s has too many symbols", in, out)
				return to
			}
			flat = scaled.add(ix[d])
		}
		for d := g.InHi - 1; d > g.InLo; d-- {
			if e.w > 1 && d == int(in.Rank)-1 && (in.Dims[d].C%int64(e.w) != 0 || in.Dims[d].T != 0 || in.Dims[d].P != 0) {
				e.fail("four adjacent elements cross a row")
			}
			flat, to[d] = e.split(flat, in.Dims[d], "index")
		}
		if g.InHi > g.InLo {
			to[g.InLo] = flat
		}
	}
	if e.w > 1 && in.Dims[in.Rank-1] == sym.Const(1) {
		e.fail("four adjacent elements lie in different rows")
	}
	return to
}

// address returns the param that holds element ix of v and its offset there, in
// elements; ok is false when something computes the element.
func (e *emitter) address(v *ir.Value, ix []affine) (param int, off affine, ok bool) {
	for v.Param == nil {
		if v, ix, ok = e.operandIndex(v, ix); !ok {
			return 0, affine{}, false
		}
	}
	l := e.r.operands[v.Index].Layout
	off = affine{c: l.Off}
	for d, i := range ix {
		part, ok := i.times(l.Stride[d])
		if !ok {
			e.fail("an address in %s has too many symbols", v.Type)
			return 0, affine{}, false
		}
		off = off.add(part)
	}
	return v.Index, off, true
}

// pointer returns the MSL pointer to element ix of a param, or of views of one.
func (e *emitter) pointer(v *ir.Value, ix []affine) (text string, ok bool) {
	p, off, ok := e.address(v, ix)
	if !ok {
		return "", false
	}
	return e.r.at(e.k, p, off), true
}

// at returns "name + offset" for a param.
func (r *region) at(k *kernel, param int, off affine) string {
	k.readBeyond[param] = true
	return r.offset(k, param, off)
}

func (r *region) offset(k *kernel, param int, off affine) string {
	name := r.argSlot(k, param)
	if off.isNumber() && off.c.C == 0 {
		return name
	}
	return name + " + " + k.text(off)
}

func (r *region) argSlot(k *kernel, param int) string {
	return k.slot(ref{refArg, param}, r.argName(param), pointee(r.operandType(param)), plan.Read)
}

// bounded reports whether a is known to lie in 0..n-1.
func (e *emitter) bounded(a affine, n int64) bool {
	if !a.c.IsConst() || a.c.C < 0 {
		return false
	}
	top := a.c.C
	for _, t := range a.terms {
		b := e.below[t.atom]
		if b == 0 || !t.coef.IsConst() || t.coef.C < 0 {
			return false
		}
		top += t.coef.C * (b - 1)
	}
	return top < n
}
