package metal

import (
	"fmt"

	"foundry/ir"
	choice "foundry/ir/kernel"
	"foundry/ir/sym"
	"foundry/lower/msl"
	"foundry/lower/plan"
)

// batched writes the kernel of a bmm.
func (f *flash) batched() *kernel {
	n := f.Scores
	k := newKernel(kernelBase(f.r.name, n.Results[0].Type)+"_tiles", f.r.identity(plan.BatchedTiles))
	k.threads = f.Simdgroups * 32
	k.grid[1], k.grid[2].N = plan.GridDim{N: f.Rows, Div: int64(f.Queries())}, sym.Const(f.Heads)
	k.use("common/tile.metal", "common/flight.metal", "common/load.metal", "main/flash_prefill.metal")
	for _, b := range []plan.Builtin{plan.ThreadgroupPosition, plan.ThreadIndex, plan.SimdgroupIndex, plan.LaneIndex} {
		k.builtin(b)
	}
	k.ready()
	k.line("const uint first = group.y * %du;", f.Queries())
	emit := f.scoresBlock
	if n.Op == ir.OpBmmNN {
		emit = f.weightedBlock
	}
	emit(k)
	return k
}

// scoresBlock: 64 rows of a against 64 of b, whole rows staged at once.
func (f *flash) scoresBlock(k *kernel) {
	const spread = 16 * (32 + 8) // floats of a simdgroup's scratch
	k.use("main/gemm_tiles.metal")
	k.grid[0] = plan.GridDim{N: f.attention.Keys, Div: int64(f.Keys)}
	k.param("K", int(f.Dim))
	stage := k.threadgroup("stage", "half", f.ScoresBytes(f.Dim))
	e := newEmitter(k, f.r, 1)
	h := e.Know("group.z", f.Heads, 1)
	of := f.rowsOf(e, f.Scores.Args[1], h)
	rows, stride := of.first, of.step
	k.line("threadgroup half *const right = %s + 4u * tile_strip<%du>();", stage, f.Dim)
	k.line("flash_rows<%du, %du, %du> rows;", f.Dim, f.Keys, k.threads)
	k.line("rows.start(%s, %s, group.x * %du, %s, right, thread_index);", rows, stride, f.Keys, k.text(dimension(f.attention.Keys)))
	k.phase("Prologue: rows of the first operand as halves.")
	f.rowRanges(k, "simd / 2u * 32u", 32, fmt.Sprintf("%du", f.Dim))
	f.stageRows(k, stage)
	k.line("rows.land(right, thread_index);")
	k.line("tile_wait<0u>();")
	k.line("threadgroup_barrier(mem_flags::mem_threadgroup);")
	k.phase("Main: products of tiles.")
	k.line("tile_sum acc[4];")
	k.line("for (uint i = 0u; i < 4u; i++) tile_clear(acc[i]);")
	k.line("gemm_block<%du, 2u, 2u>(%s + simd / 2u * 2u * tile_strip<%du>(), right + simd %% 2u * 2u * tile_strip<%du>(), acc);", f.Dim, stage, f.Dim, f.Dim)
	k.line("threadgroup_barrier(mem_flags::mem_threadgroup);")
	k.phase("Epilogue: the simdgroup's tiles, spread in threadgroup memory.")
	k.line("threadgroup float *const spread = (threadgroup float *)%s + simd * %du;", stage, spread)
	k.line("FOUNDRY_UNROLL_TILES")
	k.open("for (uint m = 0u; m < 2u; m++)")
	k.line("for (uint n = 0u; n < 2u; n++) tile_store(acc[m * 2u + n], spread + 16u * n, 40);")
	k.line("simdgroup_barrier(mem_flags::mem_threadgroup);")
	k.open("for (uint i = 0u; i < 16u; i++)")
	k.line("const float value = %s;", times(raw("spread[i * 40u + lane]").Mul(msl.Float(f.Scores.Attr.Scale)), f.leftUp(k, "(simd / 2u * 32u + m * 16u + i)"), f.r.readUp(k, f.Scores.Args[1])))
	t := e.atom("t", raw("first + simd / 2u * 32u + m * 16u + i"), 0, 1)
	col := e.atom("column", raw("group.x * %du + simd %% 2u * 32u + lane", f.Keys), 0, 1)
	k.line("if (%s < %s && %s < %s) store1(%s, %s);", t.String(), k.text(dimension(f.Rows)), col.String(),
		k.text(dimension(f.attention.Keys)), e.target(0, []affine{h, t, col}), f.r.asStored(k, 0, msl.Name("value")))
	k.close()
	k.line("simdgroup_barrier(mem_flags::mem_threadgroup);")
	k.close()
}

// weightedBlock: 64 rows of a, 32 columns at a time, against as many rows of b;
// each simdgroup makes 16 whole rows.
func (f *flash) weightedBlock(k *kernel) {
	const depth = choice.WeightedDepth
	k.param("columns", int(f.Dim))
	left := k.threadgroup("left", "half", 2*f.Queries()*depth)
	values := k.threadgroup("values", "half", f.StageBytes(f.Dim)/f.Queries()/2*depth)
	e := newEmitter(k, f.r, 1)
	h := e.Know("group.z", f.Heads, 1)
	of := f.rowsOf(e, f.Scores.Args[1], h)
	rows, stride := of.first, of.step
	all := k.text(dimension(f.attention.Keys))
	k.line("flash_rows<%du, %du, %du> rows;", f.Dim, depth, k.threads)
	k.line("tile_sum acc[%d];", f.Dim/16)
	k.line("for (uint i = 0u; i < %du; i++) tile_clear(acc[i]);", f.Dim/16)
	f.rowRanges(k, "simd * 16u", 16, all)
	k.open("for (uint base = 0u; base < %s; base += %du)", all, depth)
	k.line("rows.start(%s, %s, base, %s, %s, thread_index);", rows, stride, all, values)
	k.phase("Prologue: rows of the first operand as halves.")
	k.line("FOUNDRY_UNROLL")
	k.open("for (uint i = 0u; i < 16u; i++)")
	k.line("const uint m = simd * 16u + i, j = lane;")
	t := e.atom("t", raw("min(first + m, %s - 1u)", k.text(dimension(f.Rows))), 0, 1)
	col := e.atom("column", raw("min(base + j, %s - 1u)", all), 0, 1)
	k.line("const float value = %s;", times(e.at(f.Scores.Args[0], []affine{h, t, col}), f.leftDown(k, "m")))
	k.line("gemm_put(%s + tile_at<%du>(m, j), base + j < %s ? value : 0.0f);", left, depth, all)
	k.close()
	k.line("rows.land(%s, thread_index);", values)
	k.line("tile_wait<0u>();")
	k.line("threadgroup_barrier(mem_flags::mem_threadgroup);")
	k.phase("Main: products of tiles.")
	k.line("FOUNDRY_UNROLL_TILES")
	k.open("for (uint n = 0u; n < %du; n++)", depth/16)
	k.line("tile_left some;")
	k.line("tile_load<%du>(some, %s + simd * tile_strip<%du>(), 16u * n);", depth, left, depth)
	k.line("FOUNDRY_UNROLL_TILES")
	k.open("for (uint d = 0u; d < %du; d++)", f.Dim/16)
	k.line("tile_right columns;")
	k.line("tile_load_rows<%du>(columns, %s + n * tile_strip<%du>(), 16u * d);", f.Dim, values, f.Dim)
	k.line("tile_multiply_accumulate(acc[d], some, columns);")
	k.close()
	k.close()
	k.line("threadgroup_barrier(mem_flags::mem_threadgroup);")
	k.close()
	value := f.r.asStored(k, 0, times(raw("out[i]"), f.leftUp(k, "(simd * 16u + tile_row(lane, tile_slot(i)))"), f.r.readUp(k, f.Scores.Args[1])))
	f.storeTiles(e, value, func(t, d affine) *msl.Value { return e.target(0, []affine{h, t, d}) })
}
