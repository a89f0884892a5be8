package metal

import (
	"fmt"
	"strings"

	"foundry/ir"
	"foundry/ir/dtype"
	choice "foundry/ir/kernel"
	"foundry/ir/sym"
	"foundry/ir/task"
	"foundry/lower/plan"
)

// lowerPointwise gives each element (or four, or a rotary pair) a thread; results
// of different shapes go to different planes of the grid.
func (r *region) lowerPointwise() (*lowering, error) {
	parts := task.ElementsOf(r.asked)
	return r.oneOf(func(chosen choice.Kernel) (*lowering, error) {
		if chosen, ok := chosen.(choice.Positions); ok {
			return alone(r.positions(parts, chosen))
		}
		return alone(r.pointwise(parts, chosen.(choice.Elements)))
	})
}

func (r *region) pointwise(parts []task.Elements, chosen choice.Elements) (*kernel, error) {
	w := chosen.Width
	k := newKernel(kernelBase(r.name, r.g.Results[0].Value.Type), r.identity(plan.Elementwise))
	k.threads = chosen.Threads()
	k.param("width", w)
	pos, z := k.builtin(plan.ThreadPosition), ""
	if len(parts) > 1 {
		z = k.builtin(plan.ThreadgroupPosition)
		k.grid[2].N = sym.Const(int64(len(parts)))
	}
	k.ready()
	for i, p := range parts {
		e := newEmitter(k, r, w)
		e.owns = len(parts) == 1
		if len(parts) > 1 {
			head := "else if"
			if i == 0 {
				head = "if"
			}
			k.open("%s (%s.z == %du)", head, z, i)
		}
		if err := r.pointwisePart(e, p, pos); err != nil {
			return nil, err
		}
		if len(parts) > 1 {
			k.close()
		}
	}
	return k, nil
}

// pointwisePart writes the body of one part and widens the grid to hold it.
func (r *region) pointwisePart(e *emitter, p task.Elements, pos string) error {
	k, rank := e.k, int(p.Space.Rank)
	g, err := p.Grid(e.w)
	if err != nil {
		return err
	}
	units, count, rows, xDims := g.Units, g.Columns, g.Rows, g.Outer
	widen(&k.grid[0], plan.GridDim{N: count, Div: int64(k.threads)}, r.g.Bounds)
	widen(&k.grid[1], plan.GridDim{N: rows, Div: 1}, r.g.Bounds)
	limit := k.text(dimension(count))
	y := ""
	if rows != sym.Const(1) {
		k.builtin(plan.ThreadgroupPosition)
		y = fmt.Sprintf(" && group.y < %s", k.text(dimension(rows)))
	}
	k.open("if (%s.x < %s%s)", pos, limit, y)
	done := e.scope()
	defer func() { done(); k.close() }()

	ix := make([]affine, rank)
	rest := e.know(pos+".x", count.Max(r.g.Bounds), 1)
	if rank > 0 {
		q, u := e.split(rest, units, "column")
		rest = q
		if units == sym.Const(1) {
			rest, u = e.know(pos+".x", 0, 1), number(0)
		}
		ix[rank-1] = u
		if scaled, ok := u.times(sym.Poly{C: int64(e.w)}); ok {
			ix[rank-1] = scaled
		}
	}
	for d := rank - 2; d >= xDims; d-- {
		if d == 0 {
			ix[d] = rest
			break
		}
		rest, ix[d] = e.split(rest, p.Space.Dims[d], "index")
	}
	outer := e.know("group.y", 0, 1)
	for d := xDims - 1; d >= 0; d-- {
		if d == 0 {
			ix[d] = outer
			break
		}
		outer, ix[d] = e.split(outer, p.Space.Dims[d], "index")
	}
	return r.storeResults(e, p, ix)
}

// storeResults computes and stores a part's results at ix, and for a pair at the
// element half a row further too. All is computed before anything is stored, so
// that a result may take an operand's storage.
func (r *region) storeResults(e *emitter, p task.Elements, ix []affine) error {
	places := [][]affine{ix}
	if p.Pair {
		high := append([]affine(nil), ix...)
		high[len(ix)-1] = ix[len(ix)-1].plus(p.Space.At(-1).C / 2)
		places = append(places, high)
	}
	e.report = onceAMatch(e, ix)
	type write struct{ ptr, value string }
	var writes []write
	for _, j := range p.Results {
		for _, at := range places {
			v := r.g.Results[j].Value
			from := v
			if v.Def != nil && v.Def.Op == ir.OpKVWrite {
				from = v.Def.Args[1]
			}
			e.whole = v.Type.DType == dtype.I32
			value := e.at(from, at)
			e.whole = false
			writes = append(writes, write{e.target(j, at), r.asStored(e.k, j, value)})
		}
	}
	for _, w := range writes {
		e.k.line("store%d(%s, %s);", e.w, w.ptr, w.value)
	}
	e.k.use("common/load.metal")
	return e.err
}

// onceAMatch is true in the thread of an element whose last index is 0.
func onceAMatch(e *emitter, ix []affine) string {
	if len(ix) == 0 || ix[len(ix)-1].isNumber() {
		return "true"
	}
	return e.k.text(ix[len(ix)-1]) + " == 0u"
}

// target returns the pointer that element ix of result j is stored to.
func (e *emitter) target(j int, ix []affine) string {
	v := e.r.g.Results[j].Value
	if v.Def != nil && v.Def.Op == ir.OpKVWrite {
		return e.cacheTarget(v.Def, ix)
	}
	l, ok := task.Contiguous(v.Type.Shape)
	if !ok {
		return e.fail("result %d has %s, whose strides have too many symbols", j, v.Type)
	}
	off, _ := e.offsetOf(l, ix)
	note(e.k.writes, j, off.text())
	to := e.r.resultType(j)
	return e.elementAt(e.k.slot(ref{refResult, j}, "y", pointee(to), plan.Write), to, l, ix)
}

func (e *emitter) cacheTarget(n *ir.Node, ix []affine) string {
	cache := n.Args[0]
	if cache.Param == nil {
		return e.fail("a cache is written twice in one region")
	}
	slot := e.k.slot(ref{refArg, cache.Index}, "cache", pointee(cache.Type.DType), plan.Write)
	at := []affine{ix[0], ix[1].add(dimension(n.Attr.Start)), ix[2]}
	return e.elementAt(slot, cache.Type.DType, e.r.operands[cache.Index].Layout, at)
}

func (e *emitter) offsetOf(l task.Layout, ix []affine) (off affine, ok bool) {
	off = affine{c: l.Off}
	for d, i := range ix {
		part, ok := i.times(l.Stride[d])
		if !ok {
			return affine{}, false
		}
		off = off.add(part)
	}
	return off, true
}

func (e *emitter) elementAt(slot string, t dtype.Type, l task.Layout, ix []affine) string {
	off, ok := e.offsetOf(l, ix)
	if !ok {
		return e.fail("a store has too many symbols")
	}
	if e.w > 1 && !e.divides(int64(e.w), off) {
		return e.fail("four adjacent elements are not aligned")
	}
	if off.isNumber() && off.c.C == 0 {
		return slot
	}
	return slot + " + " + e.k.text(off)
}

// widen grows g to hold at least want threadgroups in every step within b.
func widen(g *plan.GridDim, want plan.GridDim, b sym.Bounds) {
	if g.N == sym.Const(1) && g.Div == 1 {
		*g = want
		return
	}
	if want.N.Sub(g.N).Max(b) <= 0 {
		return
	}
	if g.N.Sub(want.N).Max(b) <= 0 {
		*g = want
		return
	}
	g.N = g.N.Add(want.N)
}

// kernelBase names a kernel after what it does and the constant dims of a type.
func kernelBase(name string, t ir.Type) string {
	var b strings.Builder
	b.WriteString(identifier(name))
	for _, d := range t.Shape.Slice() {
		if n, ok := d.Const(); ok && n != 1 {
			fmt.Fprintf(&b, "_%d", n)
		}
	}
	if t.Shape.Rank > 0 && symbolic(t.Shape) {
		b.WriteString("_many")
	}
	return b.String()
}

// symbolic reports whether a shape depends on T.
func symbolic(s ir.Shape) bool {
	for _, d := range s.Slice() {
		if d.T != 0 && d.P == 0 {
			return true
		}
	}
	return false
}

func identifier(s string) string {
	out := []byte(s)
	for i, c := range out {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' && i > 0) {
			out[i] = '_'
		}
	}
	return string(out)
}

// identity describes a kernel of the region.
func (r *region) identity(main plan.Main) identity {
	var ops []string
	for _, n := range r.g.Nodes() {
		ops = append(ops, n.Op.String())
	}
	return identity{main, strings.Join(ops, " ")}
}
