package metal

import (
	"fmt"
	"strings"

	"foundry/ir"
	"foundry/ir/dtype"
	choice "foundry/ir/kernel"
	"foundry/ir/sym"
	"foundry/ir/task"
	"foundry/lower/msl"
	"foundry/lower/plan"
)

// pointwise gives each element (or four, or a rotary pair) a thread; results
// of different shapes go to different planes of the grid.
func (r *region) pointwise(chosen choice.Elements) *lowering {
	parts := task.ElementsOf(r.asked)
	w := chosen.Width
	k := newKernel(kernelBase(r.name, r.g.Results[0].Value.Type), r.identity(plan.Elementwise))
	k.threads = chosen.Threads()
	k.param("width", w)
	k.builtin(plan.ThreadPosition)
	conditions := make([]*msl.Value, len(parts))
	if len(parts) > 1 {
		group := k.builtin(plan.ThreadgroupPosition)
		k.grid[2].N = sym.Const(int64(len(parts)))
		for i := range parts {
			conditions[i] = group.Dot("z").Equal(u(i))
		}
	}
	k.ready()
	k.choose(conditions, func(i int) {
		e := newEmitter(k, r, w)
		e.owns = len(parts) == 1
		r.pointwisePart(e, &parts[i])
	})
	return alone(k)
}

// pointwisePart writes the body of one part and widens the grid to hold it.
func (r *region) pointwisePart(e *emitter, p *task.Elements) {
	k := e.k
	g, _ := p.Grid(e.Width) // cost has asked
	widen(&k.grid[0], plan.GridDim{N: g.Columns, Div: int64(k.threads)}, r.g.Bounds)
	widen(&k.grid[1], plan.GridDim{N: g.Rows, Div: 1}, r.g.Bounds)
	exists := positionX.Less(k.dim(g.Columns))
	if g.Rows != sym.Const(1) {
		k.builtin(plan.ThreadgroupPosition)
		exists = exists.And(groupY.Less(k.dim(g.Rows)))
	}
	k.when(exists, func() {
		r.storeResults(e, p, e.Cell(p, g))
	})
}

// storeResults computes and stores a part's results at ix, and for a pair at the
// element half a row further too. All is computed before anything is stored, so
// that a result may take an operand's storage.
func (r *region) storeResults(e *emitter, p *task.Elements, ix []affine) {
	places := p.Places(ix)
	e.report = onceAMatch(e, ix)
	var writes []msl.Statement
	for _, j := range p.Results {
		for _, at := range places {
			e.Whole = r.g.Results[j].Value.Type.DType == dtype.I32
			value := e.at(r.asked.Stored(j), at)
			e.Whole = false
			writes = append(writes, storing(e.Width, e.target(j, at), r.asStored(e.k, j, value)))
		}
	}
	e.k.add(writes...)
	e.k.use("common/load.metal")
}

// onceAMatch is true in the thread of an element whose last index is 0.
func onceAMatch(e *emitter, ix []affine) *msl.Value {
	if len(ix) == 0 || ix[len(ix)-1].IsNumber() {
		return yes
	}
	return e.k.index(ix[len(ix)-1]).Equal(u(0))
}

// target returns the pointer that element ix of result j is stored to.
func (e *emitter) target(j int, ix []affine) *msl.Value {
	cache, off := e.Target(j, ix)
	if cache >= 0 {
		slot := e.k.slot(ref{refArg, cache}, "cache", pointee(e.r.g.Params[cache].Type.DType), plan.Write)
		return e.k.from(slot, off)
	}
	note(e.k.writes, j, off)
	return e.k.from(e.k.slot(ref{refResult, j}, "y", pointee(e.r.resultType(j)), plan.Write), off)
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
