package metal

import (
	"fmt"

	"foundry/ir/task"
	"foundry/lower/msl"
)

// store gives each lane units of rows to finish: four adjacent ones where all that is
// stored allows.
func (g *gemm) store(k *kernel, p *task.Part) {
	w, _ := g.StoreWidth(p) // cost has asked
	defer k.loadHere(func() {
		for i, q := range p.Products {
			k.line("const float restore%d = %s;", i, both(g.leftUp(k), g.weightFactor(k, q.Args[1], g.r.up)))
		}
		for _, j := range p.Results {
			g.r.asStored(k, j, raw(""))
		}
	})()
	g.by.store(k, p, w)
}

// spreadUnits is sums that lie in threadgroup memory, at spread, for a simdgroup to finish:
// rows of stride floats, each with so many units.
type spreadUnits struct {
	rows, units, stride int
	token, unit         string // the text of the first row's token, and of the first unit
	undone              string // the text of what undoes a row's range; empty where rows have none
}

// finish writes what a simdgroup's lanes do with such sums of part p, w units at a time.
// headScale names the scale of a unit's head, where heads are normed.
func (g *gemm) finish(k *kernel, p *task.Part, w int, s spreadUnits, headScale func(e *emitter, t affine) *msl.Value) {
	k.open("for (uint i = lane; i < %du; i += 32u)", s.rows*s.units/w)
	e := newEmitter(k, g.r, w)
	t := e.atom("t", raw("%s + i / %du", s.token, s.units/w), 0, 1)
	k.line("const uint u = i %% %du * %du;", s.units/w, w)
	if g.looks() {
		k.line("const float undone = %s;", s.undone)
	}
	own := e.atom("own", raw("%s + u", s.unit), p.Units(), int64(w))
	for i := range p.Sums {
		k.line("float square%d = 0.0f;", i)
	}
	k.open("if (%s < %s && %s < %du)", t.String(), k.text(dimension(g.Tokens)), own.String(), p.Units())
	done := e.scope()
	ix, row := e.OfUnit(p, t, own)
	g.bindSums(e, p, t, row, s)
	if p.HeadNorm != nil {
		bindHeadNorm(e, p, ix, headScale(e, t))
	}
	if len(p.Results) > 0 {
		g.r.storeResults(e, g.Elements(p), ix)
	}
	for i, j := range p.Sums {
		k.use("prologue/rms_norm.metal")
		k.line("square%d = squares_of(%s);", i, e.at(g.r.g.Results[j].Value.Def.Args[0], []affine{t, row}))
	}
	done()
	k.close()
	for i, j := range p.Sums {
		g.storeRun(e, i, j, t, own, p.Units())
	}
	k.close()
}

// bindSums names the sums of the lane's units where they were spread.
func (g *gemm) bindSums(e *emitter, p *task.Part, t, row affine, s spreadUnits) {
	at, per := 0, p.RowsPerUnit()
	for i, q := range p.Products {
		for _, n := range p.Rows(row) {
			name := msl.Variable(e.k.fresh("row_sum"))
			where := fmt.Sprintf("spread + i / %du * %du + u / 16u * %du + %du + u %% 16u", s.units/e.Width, s.stride, 16*per, 16*at)
			value := times(raw("*(threadgroup const %s *)(%s)", e.vec(), where), raw("%s", g.restored(i)))
			e.k.line("const %s %s = %s;", e.vec(), name, value)
			e.bind(q.Results[0], []affine{t, n}, name)
			at++
		}
	}
}

// restored is the text of what undoes the ranges of product i's operands.
func (g *gemm) restored(i int) string {
	restore := fmt.Sprintf("restore%d", i)
	if g.looks() {
		return restore + " * undone"
	}
	return restore
}

// storeRun adds up the squares of a run of rows, which adjacent lanes hold, and
// stores the sum.
func (g *gemm) storeRun(e *emitter, i, j int, t, own affine, units int64) {
	k, size := e.k, int(g.r.g.Results[j].Value.Def.Attr.Size.C)
	for o := 1; o < size/e.Width; o *= 2 {
		k.line("square%d += simd_shuffle_xor(square%d, ushort(%d));", i, i, o)
	}
	w := e.Width
	e.Width = 1
	k.open("if (%s < %s && %s < %du && %s %% %du == 0u)", t.String(), k.text(dimension(g.Tokens)), own.String(), units, own.String(), size)
	run := e.atom("run", raw("%s / %du", own.String(), size), units/int64(size), 1)
	k.line("store1(%s, square%d);", e.target(j, []affine{t, run}), i)
	k.close()
	e.Width = w
}
