package metal

import (
	"fmt"

	choice "foundry/ir/kernel"
	"foundry/ir/task"
	"foundry/lower/msl"
)

// store gives each lane units of rows to finish: four adjacent ones where all that is
// stored allows.
func (g *gemm) store(k *kernel, p *task.Part) {
	w, _ := g.StoreWidth(p) // cost has asked
	defer k.loadHere(func() {
		g.restore = nil
		for i, q := range p.Products {
			factor := both(g.leftUp(k), g.weightFactor(k, q.Args[1], g.r.up))
			g.restore = append(g.restore, k.let(constFloat, fmt.Sprintf("restore%d", i), factor))
		}
		for _, j := range p.Results {
			g.r.storedDown(k, j)
		}
	})()
	g.by.store(k, p, w)
}

// spreadUnits is sums that lie in threadgroup memory, at spread, for a simdgroup to finish:
// rows of stride floats, each with so many units.
type spreadUnits struct {
	rows, units, stride int
	token, unit         *msl.Value                                             // the first row's token, and the first unit
	undone              func(i *msl.Value) *msl.Value                          // what undoes the range of group i's row, where rows have one
	head                func(e *emitter, t affine, unit *msl.Value) *msl.Value // the scale of a unit's head, where heads are normed
}

// finish writes what a simdgroup's lanes do with such sums of part p, w units at a time.
func (g *gemm) finish(k *kernel, p *task.Part, w int, s spreadUnits) {
	k.loop("i", lane, u(s.rows*s.units/w), u(32), func(i *msl.Value) {
		e := newEmitter(k, g.r, w)
		each := u(s.units / w)
		t := e.atom("t", s.token.Add(i.Div(each)), 0, 1)
		at := k.let(constUint, "u", i.Mod(each).Mul(u(w)))
		undone := one
		if g.looks() {
			undone = k.let(constFloat, "undone", s.undone(i))
		}
		own := e.atom("own", s.unit.Add(at), p.Units(), int64(w))
		squares := make([]*msl.Value, len(p.Sums))
		for i := range squares {
			squares[i] = k.let(floatType, fmt.Sprintf("square%d", i), zero)
		}
		exists := k.index(t).Less(k.dim(g.Tokens)).And(k.index(own).Less(u(p.Units())))
		k.when(exists, func() {
			defer e.scope()()
			ix, row := e.OfUnit(p, t, own)
			g.bindSums(e, p, t, row, s, i, at, undone)
			if p.HeadNorm != nil {
				bindHeadNorm(e, p, ix, s.head(e, t, at))
			}
			if len(p.Results) > 0 {
				g.r.storeResults(e, g.Elements(p), ix)
			}
			for i, j := range p.Sums {
				k.use("prologue/rms_norm.metal")
				k.add(msl.Set(squares[i], msl.Call("squares_of", e.at(g.r.g.Results[j].Value.Def.Args[0], []affine{t, row}))))
			}
		})
		for i, j := range p.Sums {
			g.storeRun(e, squares[i], j, t, own, p.Units())
		}
	})
}

// bindSums names the sums of the lane's units where they were spread.
func (g *gemm) bindSums(e *emitter, p *task.Part, t, row affine, s spreadUnits, i, unit, undone *msl.Value) {
	pointer := "threadgroup const float *"
	if e.Width == 4 {
		pointer = "threadgroup const float4 *"
	}
	at, per := 0, p.RowsPerUnit()
	for product, q := range p.Products {
		for _, n := range p.Rows(row) {
			where := g.spread.Add(i.Div(u(s.units / e.Width)).Mul(u(s.stride))).Add(unit.Div(u(16)).Mul(u(16 * per))).Add(u(16 * at)).Add(unit.Mod(u(16)))
			value := times(where.Paren().Cast(pointer).Deref(), g.restore[product], undone)
			e.bind(q.Results[0], []affine{t, n}, e.define("row_sum", value))
			at++
		}
	}
}

// headScale declares the scale of a head at a row of those whose squares lie there, which has
// its own behind those of so many heads.
func (g *gemm) headScale(e *emitter, p *task.Part, row, heads *msl.Value) *msl.Value {
	steps := u(int(p.HeadDim()) / choice.HeadStep)
	squares := g.heads.Add(row.Mul(u(g.HeadSteps()))).Add(heads.Mul(steps))
	return e.k.let(constFloat, "head_scale", msl.Of("gemm_head_scale", steps).Call(squares, msl.Float(p.HeadNorm.Attr.Eps)))
}

// storeRun adds up the squares of a run of rows, which adjacent lanes hold, and
// stores the sum.
func (g *gemm) storeRun(e *emitter, square *msl.Value, j int, t, own affine, units int64) {
	k, size := e.k, int(g.r.g.Results[j].Value.Def.Attr.Size.C)
	for o := 1; o < size/e.Width; o *= 2 {
		k.add(msl.Raise(square, msl.Call("simd_shuffle_xor", square, msl.Call("ushort", msl.Int(o)))))
	}
	w := e.Width
	e.Width = 1
	first := k.index(own)
	k.when(k.index(t).Less(k.dim(g.Tokens)).And(first.Less(u(units))).And(first.Mod(u(size)).Equal(u(0))), func() {
		run := e.atom("run", first.Div(u(size)), units/int64(size), 1)
		k.add(storing(1, e.target(j, []affine{t, run}), square))
	})
	e.Width = w
}
