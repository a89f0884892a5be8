package metal

import (
	"fmt"

	choice "foundry/ir/kernel"
	"foundry/ir/task"
	"foundry/lower/msl"
	"foundry/lower/plan"
)

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
func (g tiles) scratchTiles() int           { return g.ScratchTiles(g.unit()) }
func (g tiles) scratchStride() int          { return g.ScratchStride(g.unit()) }

// firstRow is the simdgroup's first row of the block.
func (g tiles) firstRow() string {
	return fmt.Sprintf("simd / %du * %du", g.SIMDColumns, g.Rows/g.SIMDRows)
}

func (g tiles) places(k *kernel) {
	k.line("constexpr uint LEFT = %du * tile_strip<DEPTH>(), RIGHT = %du * tile_strip<DEPTH>();", g.Rows/16, g.Columns/16)
}

// rows: undo[m] undoes the range of row lane % 16 of the simdgroup's m-th tile down.
func (g tiles) rows(k *kernel) {
	k.line("float undo[%d];", g.down())
	k.line("FOUNDRY_UNROLL_TILES")
	k.line("for (uint m = 0u; m < %du; m++) undo[m] = range_up(downs[%s + m * 16u + lane %% 16u]);", g.down(), g.firstRow())
}

func (g tiles) begin(k *kernel) {
	k.line("tile_sum acc[%d];", g.down()*g.wide())
	k.line("for (uint i = 0u; i < %du; i++) tile_clear(acc[i]);", g.down()*g.wide())
}

func (g tiles) multiply(k *kernel, left, right string) {
	k.line("gemm_block<DEPTH, %du, %du>(%s + simd / %du * %du * tile_strip<DEPTH>(),", g.down(), g.wide(), left, g.SIMDColumns, g.down())
	k.line("    %s + simd %% %du * %du * tile_strip<DEPTH>(), acc);", right, g.SIMDColumns, g.wide())
}

// beside: threads start what is on its way for long, then multiply.
func (tiles) beside(bring, multiply func()) { bring(); multiply() }

func (tiles) settle(*kernel) {}
func (tiles) staged(*kernel) {}

func (g tiles) spread(k *kernel, stage *msl.Value) {
	k.phase("Epilogue: the simdgroup's tiles, spread in threadgroup memory.")
	k.line("threadgroup float *const spread = (threadgroup float *)%s + simd * %du;", stage, 16*g.scratchStride())
}

// store spreads the simdgroup's sums a few tiles at a time.
func (g tiles) store(k *kernel, p *task.Part, w int) {
	per := p.RowsPerUnit()
	if p.HeadNorm != nil {
		g.squareHeads(k)
	}
	g.openTiles(k)
	g.finish(k, p, w, spreadUnits{
		rows: 16, units: 16 * g.scratchTiles() / per, stride: g.scratchStride(),
		token:  "first + " + g.firstRow() + " + m * 16u",
		unit:   fmt.Sprintf("unit + simd %% %du * %du + n * %du", g.SIMDColumns, g.Columns/g.SIMDColumns/per, 16/per),
		undone: fmt.Sprintf("simd_shuffle(undo[m], ushort(i / %du))", 16*g.scratchTiles()/per/w),
	}, func(e *emitter, t affine) *msl.Value { return g.headScale(e, p, t) })
	g.closeTiles(k)
}

// openTiles opens the loops over tiles m and n, and spreads them.
func (g tiles) openTiles(k *kernel) {
	k.line("FOUNDRY_UNROLL_TILES")
	k.open("for (uint m = 0u; m < %du; m++)", g.down())
	k.line("FOUNDRY_UNROLL_TILES")
	k.open("for (uint n = 0u; n < %du; n += %du)", g.wide(), g.scratchTiles())
	k.line("for (uint i = 0u; i < %du; i++) tile_store(acc[m * %du + n + i], spread + 16u * i, %d);", g.scratchTiles(), g.wide(), g.scratchStride())
	k.line("simdgroup_barrier(mem_flags::mem_threadgroup);")
}

func (g tiles) closeTiles(k *kernel) {
	k.line("simdgroup_barrier(mem_flags::mem_threadgroup);")
	k.close()
	k.close()
}

// stepsBefore is how many runs of columns of a block lie before those of the simdgroup.
func (g tiles) stepsBefore() string {
	return fmt.Sprintf("simd %% %du * %du", g.SIMDColumns, g.HeadSteps()/g.SIMDColumns)
}

// squareHeads leaves the squares of each row's runs of columns in threadgroup memory.
func (g tiles) squareHeads(k *kernel) {
	k.use("main/gemm_heads.metal")
	k.phase("Epilogue: the squares of each head.")
	g.openTiles(k)
	factor := "restore0"
	if g.looks() {
		factor += " * simd_shuffle(undo[m], ushort(lane / 2u))"
	}
	k.line("gemm_head_squares(spread, %du, %s, lane, %s + (%s + m * 16u) * %du + %s + n / %du, %du);",
		g.scratchStride(), factor, g.heads, g.firstRow(), g.HeadSteps(), g.stepsBefore(), g.scratchTiles(), g.HeadSteps())
	g.closeTiles(k)
	k.line("threadgroup_barrier(mem_flags::mem_threadgroup);")
}

// headScale names the scale of the head of the lane's pairs at row t of the block.
func (g tiles) headScale(e *emitter, p *task.Part, t affine) *msl.Value {
	steps := int(p.HeadDim()) / choice.HeadStep
	e.k.line("const float head_scale = gemm_head_scale<%du>(%s + (%s - first) * %du + (%s + n / %du) / %du * %du, %s);",
		steps, g.heads, t.String(), g.HeadSteps(), g.stepsBefore(), g.scratchTiles(), steps, steps, msl.Float(p.HeadNorm.Attr.Eps))
	return raw("head_scale")
}
