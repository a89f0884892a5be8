package metal

import (
	choice "foundry/ir/kernel"
	"foundry/ir/task"
	"foundry/lower/msl"
	"foundry/lower/plan"
)

// productTiles writes a product in tiles.
func (r *region) productTiles(chosen choice.ProductTiles) *lowering {
	return alone(inTiles(r.product(), chosen).emit())
}

// inTiles is g's product where simdgroups multiply tiles of their own, and spread them in
// threadgroup memory of their own.
func inTiles(g *gemv, t choice.ProductTiles) *gemm {
	m := &gemm{gemv: g, ProductTiles: t}
	m.by = tiles{m}
	return m
}

type tiles struct{ *gemm }

func (tiles) identity() (plan.Main, string) { return plan.ProductTiles, "_tiles" }
func (tiles) files() []string               { return []string{"common/tile.metal", "main/gemm_tiles.metal"} }
func (g tiles) down() int                   { return g.Rows / g.SIMDRows / 16 }
func (g tiles) wide() int                   { return g.Columns / g.SIMDColumns / 16 }
func (g tiles) scratchTiles() int           { return g.ScratchTiles(g.unitRows()) }
func (g tiles) scratchStride() int          { return g.ScratchStride(g.unitRows()) }

// firstRow is the simdgroup's first row of the block.
func (g tiles) firstRow() *msl.Value {
	return simd.Div(u(g.SIMDColumns)).Mul(u(g.Rows / g.SIMDRows))
}

// strip is the halves of a strip of 16 rows.
func (g tiles) strip() *msl.Value { return msl.Of("tile_strip", g.depth).Call() }

func (g tiles) places() (left, right *msl.Value) {
	return u(g.Rows / 16).Mul(g.strip()), u(g.Columns / 16).Mul(g.strip())
}

// undoRows: undo[m] undoes the range of row lane % 16 of the simdgroup's m-th tile down.
func (g tiles) undoRows(k *kernel) {
	m := msl.Variable("m")
	g.undo = k.array(floatType, "undo", u(g.down()))
	k.unrollTiles()
	row := g.firstRow().Add(m.Mul(u(16))).Add(lane.Mod(u(16)))
	k.add(msl.Times(m, u(g.down()), msl.Set(g.undo.At(m), msl.Call("range_up", g.downs.At(row)))))
}

func (g tiles) begin(k *kernel) { g.sum = k.clearTiles(g.down() * g.wide()) }

// clearTiles declares the sums of so many tiles, at zero.
func (k *kernel) clearTiles(n int) *msl.Value {
	acc, i := k.array(msl.Name("tile_sum"), "acc", u(n)), msl.Variable("i")
	k.add(msl.Times(i, u(n), &msl.Do{Call: msl.Call("tile_clear", acc.At(i))}))
	return acc
}

func (g tiles) multiply(k *kernel, left, right *msl.Value) {
	block := msl.Of("gemm_block", g.depth, u(g.down()), u(g.wide()))
	k.do(block.Call(left.Add(simd.Div(u(g.SIMDColumns)).Mul(u(g.down())).Mul(g.strip())), right.Add(simd.Mod(u(g.SIMDColumns)).Mul(u(g.wide())).Mul(g.strip())), g.sum))
}

// beside: threads start what is on its way for long, then multiply.
func (tiles) beside(bring, multiply func()) { bring(); multiply() }

func (tiles) settle(*kernel) {}
func (tiles) staged(*kernel) {}

func (g tiles) spreadIn(k *kernel) {
	k.phase("Epilogue: the simdgroup's tiles, spread in threadgroup memory.")
	g.spread = k.let(floatsOfGroup, "spread", g.stage.Cast("threadgroup float *").Add(simd.Mul(u(16*g.scratchStride()))))
}

// store spreads the simdgroup's sums a few tiles at a time.
func (g tiles) store(k *kernel, p *task.Part, w int) {
	per := p.RowsPerUnit()
	if p.HeadNorm != nil {
		g.squareHeads(k)
	}
	units := 16 * g.scratchTiles() / per
	g.eachTiles(k, func(m, n *msl.Value) {
		g.finish(k, p, w, spreadUnits{
			rows: 16, units: units, stride: g.scratchStride(),
			token: g.first.Add(g.firstRow()).Add(m.Mul(u(16))),
			unit:  g.unit.Add(simd.Mod(u(g.SIMDColumns)).Mul(u(g.Columns / g.SIMDColumns / per))).Add(n.Mul(u(16 / per))),
			undone: func(i *msl.Value) *msl.Value {
				return msl.Call("simd_shuffle", g.undo.At(m), msl.Call("ushort", i.Div(u(units/w))))
			},
			head: func(e *emitter, t affine, _ *msl.Value) *msl.Value {
				steps := int(p.HeadDim()) / choice.HeadStep
				return g.headScale(e, p, e.k.index(t).Sub(g.first), g.stepsBefore().Add(n.Div(u(g.scratchTiles()))).Div(u(steps)))
			},
		})
	})
}

// eachTiles spreads a few tiles, those from m down and n across on, and has body take them.
func (g tiles) eachTiles(k *kernel, body func(m, n *msl.Value)) {
	k.unrollTiles()
	k.loop("m", u(0), u(g.down()), nil, func(m *msl.Value) {
		k.unrollTiles()
		k.loop("n", u(0), u(g.wide()), u(g.scratchTiles()), func(n *msl.Value) {
			i := msl.Variable("i")
			store := msl.Call("tile_store", g.sum.At(m.Mul(u(g.wide())).Add(n).Add(i)), g.spread.Add(u(16).Mul(i)), msl.Int(g.scratchStride()))
			k.add(msl.Times(i, u(g.scratchTiles()), &msl.Do{Call: store}))
			k.barrierOfSimdgroup()
			body(m, n)
			k.barrierOfSimdgroup()
		})
	})
}

// stepsBefore is how many runs of columns of a block lie before those of the simdgroup.
func (g tiles) stepsBefore() *msl.Value {
	return simd.Mod(u(g.SIMDColumns)).Mul(u(g.HeadSteps() / g.SIMDColumns))
}

// squareHeads leaves the squares of each row's runs of columns in threadgroup memory.
func (g tiles) squareHeads(k *kernel) {
	k.use("main/gemm_heads.metal")
	k.phase("Epilogue: the squares of each head.")
	g.eachTiles(k, func(m, n *msl.Value) {
		factor := g.restore[0]
		if g.looks() {
			factor = factor.Mul(msl.Call("simd_shuffle", g.undo.At(m), msl.Call("ushort", lane.Div(u(2)))))
		}
		steps := u(g.HeadSteps())
		to := g.heads.Add(g.firstRow().Add(m.Mul(u(16))).Mul(steps)).Add(g.stepsBefore()).Add(n.Div(u(g.scratchTiles())))
		k.do(msl.Call("gemm_head_squares", g.spread, u(g.scratchStride()), factor, lane, to, steps))
	})
	k.barrier()
}
