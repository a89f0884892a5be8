package metal

import (
	"fmt"
	"strings"

	choice "foundry/ir/kernel"
	"foundry/ir/sym"
	"foundry/ir/task"
	"foundry/lower/msl"
	"foundry/lower/plan"
)

// flashMatrices is attention of many rows in matrix units on its way to text: a threadgroup
// takes a head and a block of its queries.
type flashMatrices struct {
	*flash
	by choice.AttentionMatrices
}

func newFlashMatrices(a *attention, by choice.AttentionMatrices) *flashMatrices {
	return &flashMatrices{&flash{attention: a, AttentionTiles: choice.AttentionTiles{Simdgroups: by.Simdgroups, Keys: by.Keys}, head: "group.x"}, by}
}

func (f *flashMatrices) emit() *kernel {
	k := newKernel(fmt.Sprintf("%s_%dx%d_many_matrices", identifier(f.r.name), f.Heads, f.Dim), f.r.identity(plan.AttentionMatrices))
	f.write(k)
	return k
}

func (f *flashMatrices) write(k *kernel) {
	m := f.by
	k.threads, k.matrices = m.Threads(), m.Simdgroups
	k.grid[0].N, k.grid[1] = sym.Const(f.Heads), plan.GridDim{N: f.Rows, Div: int64(m.Rows)}
	for _, p := range []struct {
		name  string
		value int
	}{{"head_dim", int(f.Dim)}, {"queries", m.Rows}, {"keys", m.Keys}, {"simdgroups", m.Simdgroups}} {
		k.param(p.name, p.value)
	}
	k.use("common/matrix.metal", "common/matrix_rows.metal", "common/flight.metal", "common/load.metal", "main/flash_matrices.metal")
	for _, b := range []plan.Builtin{plan.ThreadgroupPosition, plan.ThreadgroupsPerGrid, plan.ThreadIndex, plan.SimdgroupIndex, plan.LaneIndex} {
		k.builtin(b)
	}
	stage := k.threadgroup("stage", "half", m.Bytes(f.Dim))
	k.ready()
	// The last rows see the most keys, so they go first.
	k.line("const uint first = (groups.y - 1u - group.y) * %du, row = thread_index / %du;", m.Rows, m.Lanes())
	f.stageQueries(k, stage)
	f.Width = 8
	e := newEmitter(k, f.r, 1)
	h := e.Know("group.x", f.Heads, 1)
	keys, values := f.rowsOf(e, f.Scores.Args[1], h), f.rowsOf(e, f.Weighted.Args[1], h)
	k.phase("Main: softmax and weighted values in one pass over the keys.")
	k.line("uint last = %s;", k.text(dimension(f.attention.Keys)))
	begin, width := "0u", "last"
	if f.Softmax.Attr.Causal {
		start := k.text(dimension(f.Softmax.Attr.Start))
		k.line("const uint visible = min(first + row + %s + 1u, last);", start)
		k.line("last = min(min(first + %du, %s) + %s, last);", m.Rows, k.text(dimension(f.Rows)), start)
	} else {
		k.line("const uint visible = last;")
	}
	if w := f.Softmax.Attr.Window; w > 0 {
		// No row sees less than the block's first, and that no key before its window.
		k.line("const uint before = min(first + %s + 1u, last), begin = (before - min(before, %du)) / %[3]du * %[3]du;", k.text(dimension(f.Softmax.Attr.Start)), w, m.Keys)
		begin, width = "begin", fmt.Sprintf("%du", w)
	}
	k.line("const float factor = %s;", times(msl.Float(f.Scores.Attr.Scale*log2e), f.leftUp(k, "row"), f.r.readUp(k, f.Scores.Args[1])))
	shape := fmt.Sprintf("%du, %du, %du, %s", m.Rows, choice.HeadPart, m.Keys, plan.Units)
	parts := int(f.Dim) / choice.HeadPart
	k.line("matrix_rows_sums<%s> acc[%d] = {%s};", shape, parts, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("matrix_rows_begin<%s>(), ", shape), parts), ", "))
	k.line("FOUNDRY_UNROLL_TILES")
	k.line("for (uint p = 0u; p < %du; p++) matrix_clear(acc[p]);", parts)
	k.line("float sum;")
	k.line("flash_matrices<%du, %du, %du, %s>(%s, %s, %s, %s, %s, last, visible, %s, factor, %s, thread_index, acc, sum);",
		f.Dim, m.Rows, m.Keys, plan.Units, keys.first, keys.step, values.first, values.step, begin, width, stage)
	f.store(e, h, stage)
}

// stageQueries leaves the block's queries in front of the stage, each simdgroup a share of
// the rows.
func (f *flashMatrices) stageQueries(k *kernel, stage *msl.Value) {
	k.phase("Prologue: the queries as halves.")
	each := f.by.Rows / f.by.Simdgroups
	f.rowRanges(k, fmt.Sprintf("simd * %du", each), each, fmt.Sprintf("%du", f.Dim))
	w, _ := task.RowsWidth(f.r.asked, f.Scores.Args[0], f.Heads, f.Dim) // cost has asked
	k.open("for (uint i = lane; i < %du; i += 32u)", each*int(f.Dim)/w)
	e := newEmitter(k, f.r, w)
	k.line("const uint m = simd * %du + i / %du;", each, int(f.Dim)/w)
	d := e.atom("d", raw("i %% %du * %du", int(f.Dim)/w, w), f.Dim, int64(w))
	t := e.atom("t", raw("min(first + m, %s - 1u)", k.text(dimension(f.Rows))), 0, 1)
	v := e.at(f.Scores.Args[0], []affine{e.Know(f.head, f.Heads, 1), t, d})
	k.line("gemm_put(%s + flash_at(%du, m, %s), %s);", stage, f.by.Rows, d.String(), times(v, f.leftDown(k, "m")))
	k.close()
}

// store writes the weighted values over the sums of weights, some rows of the block at a
// time through the memory of the scores.
func (f *flashMatrices) store(e *emitter, h affine, stage *msl.Value) {
	k, m := e.k, f.by
	k.slot(ref{refResult, 0}, "y", pointee(f.r.resultType(0)), plan.Write)
	defer k.loadHere(func() {
		f.r.readUp(k, f.Weighted.Args[1])
		f.r.asStored(k, 0, raw(""))
	})()
	k.phase("Epilogue: rows of the result, by their coordinates, in threadgroup memory.")
	k.line("threadgroup float *const spread = (threadgroup float *)%s + %du, *const scales = (threadgroup float *)%s + %du;",
		stage, m.ScoresAt(f.Dim)/4, stage, m.ShrinksAt(f.Dim)/4)
	k.line("if (thread_index %% %du == 0u) scales[row] = %s;", m.Lanes(), times(raw("1.0f / sum"), f.r.readUp(k, f.Weighted.Args[1])))
	k.line("FOUNDRY_UNROLL_TILES")
	k.open("for (uint p = 0u; p < %du; p++)", int(f.Dim)/choice.HeadPart)
	k.open("for (uint m = 0u; m < %du; m += %du)", m.Rows, choice.FlashPass)
	k.line("matrix_spread(acc[p], m, %du, spread, %du);", choice.FlashPass, choice.FlashStride)
	k.line("threadgroup_barrier(mem_flags::mem_threadgroup);")
	k.open("for (uint i = thread_index; i < %du; i += %du)", choice.FlashPass*choice.HeadPart, m.Threads())
	e.Width = 1
	k.line("const uint r = i / %du, c = i %% %du;", choice.HeadPart, choice.HeadPart)
	t := e.atom("t", raw("first + m + r"), 0, 1)
	d := e.atom("d", raw("p * %du + c", choice.HeadPart), f.Dim, 1)
	k.line("const float value = %s;", f.r.asStored(k, 0, raw("spread[r * %du + c]", choice.FlashStride).Mul(raw("scales[m + r]"))))
	k.line("if (%s < %s) store1(%s, value);", t.String(), k.text(dimension(f.Rows)), f.target(e, []affine{h, t, d}))
	k.close()
	k.line("threadgroup_barrier(mem_flags::mem_threadgroup);")
	k.close()
	k.close()
}
