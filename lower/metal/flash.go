package metal

import (
	"fmt"

	choice "foundry/ir/kernel"
	"foundry/ir/sym"
	"foundry/ir/task"
	"foundry/lower/msl"
	"foundry/lower/plan"
)

// flash is attention of many rows in tiles on its way to text: a threadgroup takes a
// head and a block of its queries, 16 a simdgroup.
type flash struct {
	*attention
	choice.AttentionTiles
	head string // the name of the threadgroup's head
}

func (f *flash) emit() *kernel {
	k := newKernel(fmt.Sprintf("%s_%dx%d_many_tiles", identifier(f.r.name), f.Heads, f.Dim), f.r.identity(plan.AttentionTiles))
	f.write(k)
	return k
}

func (f *flash) write(k *kernel) {
	k.threads = f.Simdgroups * 32
	k.grid[0].N, k.grid[1] = sym.Const(f.Heads), plan.GridDim{N: f.Rows, Div: int64(f.Queries())}
	for _, p := range []struct {
		name  string
		value int
	}{{"head_dim", int(f.Dim)}, {"queries", f.Queries()}, {"keys", f.Keys}, {"simdgroups", f.Simdgroups}} {
		k.param(p.name, p.value)
	}
	k.use("common/tile.metal", "common/flight.metal", "common/load.metal", "main/flash_prefill.metal")
	for _, b := range []plan.Builtin{plan.ThreadgroupPosition, plan.ThreadgroupsPerGrid, plan.ThreadIndex, plan.SimdgroupIndex, plan.LaneIndex} {
		k.builtin(b)
	}
	stage := k.threadgroup("stage", "half", f.StageBytes(f.Dim))
	k.ready()
	// The last rows see the most keys, so they go first.
	k.line("const uint first = (groups.y - 1u - group.y) * %du;", f.Queries())
	f.stageQueries(k, stage)
	f.Width = 8
	e := newEmitter(k, f.r, 1)
	h := e.Know("group.x", f.Heads, 1)
	keys, values := f.rowsOf(e, f.Scores.Args[1], h), f.rowsOf(e, f.Weighted.Args[1], h)
	kp, ks, vp, vs := keys.first, keys.step, values.first, values.step
	k.phase("Main: softmax and weighted values in one pass over the keys.")
	k.line("uint visible[TILE_SLOTS], last = %s;", k.text(dimension(f.attention.Keys)))
	if f.Softmax.Attr.Causal {
		start := k.text(dimension(f.Softmax.Attr.Start))
		k.line("for (uint r = 0u; r < TILE_SLOTS; r++) visible[r] = min(first + simd * 16u + tile_row(lane, r) + %s + 1u, last);", start)
		k.line("last = min(min(first + %du, %s) + %s, last);", f.Queries(), k.text(dimension(f.Rows)), start)
	} else {
		k.line("for (uint r = 0u; r < TILE_SLOTS; r++) visible[r] = last;")
	}
	begin, visible := "0u", "visible"
	if w := f.Softmax.Attr.Window; w > 0 {
		// No row sees less than the block's first, and that no key before its window.
		before := fmt.Sprintf("first + %s + 1u", k.text(dimension(f.Softmax.Attr.Start)))
		k.line("const uint before = min(%s, last), begin = (before - min(before, %du)) / %[3]du * %[3]du;", before, w, f.Keys)
		k.line("const flash_window sliding = {visible, %du};", w)
		begin, visible = "begin", "sliding"
	}
	k.line("tile_sum acc[%d];", f.Dim/16)
	k.line("for (uint i = 0u; i < %du; i++) tile_clear(acc[i]);", f.Dim/16)
	k.line("float sum[TILE_SLOTS];")
	factor := times(msl.Float(f.Scores.Attr.Scale*log2e), f.leftUp(k, "(simd * 16u + tile_row(lane, r))"), f.r.readUp(k, f.Scores.Args[1]))
	if f.looks() {
		k.line("float factor[TILE_SLOTS];")
		k.line("for (uint r = 0u; r < TILE_SLOTS; r++) factor[r] = %s;", factor)
	} else {
		k.line("const float factor = %s;", factor)
	}
	k.line("flash_prefill<%du, %du, %du>(q, %s, %s, %s, %s, %s, last, %s, factor, %s, thread_index, lane, acc, sum);",
		f.Dim, f.Keys, f.Simdgroups, kp, ks, vp, vs, begin, visible, stage)
	f.store(e, h)
}

const log2e = 1.4426950408889634

// stageQueries leaves the simdgroup's queries in left operands.
func (f *flash) stageQueries(k *kernel, stage *msl.Value) {
	k.phase("Prologue: the queries as halves.")
	f.rowRanges(k, "simd * 16u", 16, fmt.Sprintf("%du", f.Dim))
	f.stageRows(k, stage)
	k.line("threadgroup_barrier(mem_flags::mem_threadgroup);")
	k.line("tile_left q[%d];", f.Dim/16)
	k.line("FOUNDRY_UNROLL_TILES")
	k.line("for (uint i = 0u; i < %du; i++) tile_load<%du>(q[i], %s + simd * tile_strip<%du>(), 16u * i);", f.Dim/16, f.Dim, stage, f.Dim)
	k.line("threadgroup_barrier(mem_flags::mem_threadgroup);")
}

// stageRows narrows the block's rows of the first operand, each simdgroup 16 of them,
// four elements at a time where all that they are made of allows.
func (f *flash) stageRows(k *kernel, stage *msl.Value) {
	w, _ := task.RowsWidth(f.r.asked, f.Scores.Args[0], f.Heads, f.Dim) // cost has asked
	k.open("for (uint i = lane; i < %du; i += 32u)", 16*int(f.Dim)/w)
	e := newEmitter(k, f.r, w)
	k.line("const uint m = simd * 16u + i / %du;", int(f.Dim)/w)
	d := e.atom("d", raw("i %% %du * %du", int(f.Dim)/w, w), f.Dim, int64(w))
	t := e.atom("t", raw("min(first + m, %s - 1u)", k.text(dimension(f.Rows))), 0, 1)
	v := e.at(f.Scores.Args[0], []affine{e.Know(f.head, f.Heads, 1), t, d})
	k.line("gemm_put(%s + tile_at<%du>(m, %s), %s);", stage, f.Dim, d.String(), times(v, f.leftDown(k, "m")))
	k.close()
}

// looks reports whether the first operand has no bound: then the kernel looks at its
// rows.
func (f *flash) looks() bool { return f.r.narrowing(f.Scores.Args[0]) == unbounded }

// rowRanges finds the ranges of rows of a first operand without a bound: lane q keeps
// the factor of row base + q of the block, of count rows of length elements.
func (f *flash) rowRanges(k *kernel, base string, count int, length string) {
	if !f.looks() {
		return
	}
	k.use("common/range.metal")
	k.line("const uint ranged = %s; // first of the rows whose ranges the lanes keep", base)
	k.line("float fits = 1.0f;")
	k.open("for (uint q = 0u; q < %du; q++)", count)
	k.line("float most = 0.0f;")
	k.open("for (uint j = lane; j < %s; j += 32u)", length)
	e := newEmitter(k, f.r, 1)
	t := e.atom("t", raw("min(first + ranged + q, %s - 1u)", k.text(dimension(f.Rows))), 0, 1)
	k.line("most = max(most, range_size(%s));", e.at(f.Scores.Args[0], []affine{e.Know(f.head, f.Heads, 1), t, e.Know("j", 0, 1)}))
	k.close()
	k.line("most = simd_max(most);")
	k.line("if (lane == q) fits = range_down(most);")
	k.close()
}

// leftDown is the text of the factor with which elements of row m of the block become
// halves; leftUp of what undoes it. All lanes call.
func (f *flash) leftDown(k *kernel, m string) *msl.Value {
	if f.looks() {
		return raw("simd_shuffle(fits, ushort(%s - ranged))", m)
	}
	return f.r.down(k, f.Scores.Args[0])
}

func (f *flash) leftUp(k *kernel, m string) *msl.Value {
	if f.looks() {
		return msl.Call("range_up", f.leftDown(k, m))
	}
	return f.r.up(k, f.Scores.Args[0])
}

// store writes the weighted values over the sums of weights.
func (f *flash) store(e *emitter, h affine) {
	k := e.k
	k.slot(ref{refResult, 0}, "y", pointee(f.r.resultType(0)), plan.Write)
	defer k.loadHere(func() {
		f.r.readUp(k, f.Weighted.Args[1])
		f.r.asStored(k, 0, raw(""))
	})()
	k.line("for (uint r = 0u; r < TILE_SLOTS; r++) sum[r] = %s;", times(raw("1.0f / tile_row_sum(sum[r])"), f.r.readUp(k, f.Weighted.Args[1])))
	value := f.r.asStored(k, 0, raw("out[i]").Mul(raw("sum[tile_slot(i)]")))
	f.storeTiles(e, value, func(t, d affine) *msl.Value { return f.target(e, []affine{h, t, d}) })
}

// storeTiles writes the simdgroup's 16 rows of acc, value for each element out[i],
// to where target says.
func (f *flash) storeTiles(e *emitter, value *msl.Value, target func(t, d affine) *msl.Value) {
	k := e.k
	k.phase("Epilogue: the rows that exist.")
	k.line("FOUNDRY_UNROLL_TILES")
	k.open("for (uint j = 0u; j < %du; j++)", f.Dim/16)
	k.line("float out[8];")
	k.line("tile_spread<1u>(acc + j, out);")
	k.line("FOUNDRY_UNROLL")
	k.open("for (uint i = 0u; i < 8u; i++)")
	e.Width = 1
	t := e.atom("t", raw("first + simd * 16u + tile_row(lane, tile_slot(i))"), 0, 1)
	d := e.atom("d", raw("16u * j + tile_column(lane, i)"), f.Dim, 1)
	k.line("const float value = %s;", value)
	k.line("if (%s < %s) store1(%s, value);", t.String(), k.text(dimension(f.Rows)), target(t, d))
	k.close()
	k.close()
}
