package metal

import (
	"fmt"

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
	by  choice.AttentionMatrices
	row *msl.Value // the row of the block that the lane shares
}

func newFlashMatrices(a *attention, by choice.AttentionMatrices) *flashMatrices {
	return &flashMatrices{flash: &flash{attention: a, AttentionTiles: choice.AttentionTiles{Simdgroups: by.Simdgroups, Keys: by.Keys}, head: groupX}, by: by}
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
	f.stage = k.threadgroup("stage", "half", m.Bytes(f.Dim))
	k.ready()
	// The last rows see the most keys, so they go first.
	f.first = k.let(constUint, "first", msl.Name("groups.y").Sub(u(1)).Sub(groupY).Mul(u(m.Rows)))
	f.row = k.let(constUint, "row", thread.Div(u(m.Lanes())))
	f.stageQueries(k)
	f.Width = choice.KeysWidth
	e := newEmitter(k, f.r, 1)
	h := e.know(groupX, f.Heads, 1)
	keys, values := f.rowsOf(e, f.Scores.Args[1], h), f.rowsOf(e, f.Weighted.Args[1], h)
	k.phase("Main: softmax and weighted values in one pass over the keys.")
	visible, last, begin, width := f.visibleKeys(k)
	factor := k.let(constFloat, "factor", times(msl.Float(f.Scores.Attr.Scale*log2e), f.leftUp(k, f.row), f.r.readUp(k, f.Scores.Args[1])))
	acc, p, sum := msl.Variable("acc"), msl.Variable("p"), msl.Variable("sum")
	k.add(msl.Let(f.shape("flash_sums"), acc, f.shape("flash_begin").Call()))
	k.unrollTiles()
	k.add(msl.Times(p, f.parts(), &msl.Do{Call: msl.Call("matrix_clear", acc.Dot("part").At(p))}))
	k.add(&msl.Declare{Type: floatType, Of: []msl.Declared{{Variable: sum}}})
	k.do(f.shape("flash_matrices").
		Call(keys.first, keys.step, values.first, values.step, begin, last, visible, width, factor, f.stage, thread, acc, sum))
	f.store(e, h, acc, sum)
}

// shape is a template of the stage for the block's shape.
func (f *flashMatrices) shape(name string) *msl.Value {
	return msl.Of(name, u(f.Dim), u(f.by.Rows), u(f.by.Keys), msl.Name(plan.Units))
}

// parts is how many operands of the units a head is cut into.
func (f *flashMatrices) parts() *msl.Value { return u(f.Dim / choice.HeadPart) }

// visibleKeys declares how many keys the lane's row sees, behind which key none of the block
// sees any, which key is the first that one sees, and how many of the last a row sees.
func (f *flashMatrices) visibleKeys(k *kernel) (visible, last, begin, width *msl.Value) {
	last, start := k.let(uintType, "last", k.dim(f.attention.Keys)), dimension(f.Softmax.Attr.Start)
	begin, width = u(0), last
	if !f.Softmax.Attr.Causal {
		return k.let(constUint, "visible", last), last, begin, width
	}
	visible = k.let(constUint, "visible", msl.Min(k.plus(f.first.Add(f.row), start).Add(u(1)), last))
	rows := msl.Min(f.first.Add(u(f.by.Rows)), k.dim(f.Rows))
	k.add(msl.Set(last, msl.Min(k.plus(rows, start), last)))
	if w := f.Softmax.Attr.Window; w > 0 {
		// No row sees less than the block's first, and that no key before its window.
		keys := u(f.by.Keys)
		before := k.let(constUint, "before", msl.Min(k.plus(f.first, start).Add(u(1)), last))
		begin, width = k.let(constUint, "begin", before.Sub(msl.Min(before, u(w))).Div(keys).Mul(keys)), u(w)
	}
	return visible, last, begin, width
}

// stageQueries leaves the block's queries in front of the stage, each simdgroup a share of
// the rows.
func (f *flashMatrices) stageQueries(k *kernel) {
	k.phase("Prologue: the queries as halves.")
	own := f.by.Rows / f.by.Simdgroups
	f.rowRanges(k, simd.Mul(u(own)), own, u(f.Dim))
	w, _ := task.RowsWidth(f.r.asked, f.Scores.Args[0], f.Heads, f.Dim) // cost has asked
	each := u(int(f.Dim) / w)
	k.loop("i", lane, u(own*int(f.Dim)/w), u(32), func(i *msl.Value) {
		e := newEmitter(k, f.r, w)
		m := k.let(constUint, "m", simd.Mul(u(own)).Add(i.Div(each)))
		d := e.atom("d", i.Mod(each).Mul(u(w)), f.Dim, int64(w))
		t := f.flash.row(e, f.first.Add(m))
		v := e.at(f.Scores.Args[0], []affine{e.know(f.head, f.Heads, 1), t, d})
		to := f.stage.Add(msl.Call("flash_at", u(f.by.Rows), m, k.index(d)))
		k.do(msl.Call("gemm_put", to, times(v, f.leftDown(k, m))))
	})
}

// store writes the weighted values over the sums of weights, some rows of the block at a
// time through the memory of the scores.
func (f *flashMatrices) store(e *emitter, h affine, acc, sum *msl.Value) {
	k, m := e.k, f.by
	k.slot(ref{refResult, 0}, "y", pointee(f.r.resultType(0)), plan.Write)
	defer k.loadHere(func() {
		f.r.readUp(k, f.Weighted.Args[1])
		f.r.storedDown(k, 0)
	})()
	k.phase("Epilogue: rows of the result, by their coordinates, in threadgroup memory.")
	spread := k.let(floatsOfGroup, "spread", f.stage.Cast("threadgroup float *").Add(u(m.ScoresAt(f.Dim)/4)))
	scales := k.let(floatsOfGroup, "scales", f.stage.Cast("threadgroup float *").Add(u(m.ShrinksAt(f.Dim)/4)))
	k.add(msl.When(thread.Mod(u(m.Lanes())).Equal(u(0)), msl.Set(scales.At(f.row), times(one.Div(sum), f.r.readUp(k, f.Weighted.Args[1])))))
	k.unrollTiles()
	k.loop("p", u(0), f.parts(), nil, func(p *msl.Value) {
		k.loop("m", u(0), u(m.Rows), u(choice.FlashPass), func(row *msl.Value) {
			k.do(msl.Call("matrix_spread", acc.Dot("part").At(p), row, u(choice.FlashPass), spread, u(choice.FlashStride)))
			k.barrier()
			k.loop("i", thread, u(choice.FlashPass*choice.HeadPart), u(m.Threads()), func(i *msl.Value) {
				e.Width = 1
				r := k.let(constUint, "r", i.Div(u(choice.HeadPart)))
				c := k.let(constUint, "c", i.Mod(u(choice.HeadPart)))
				t := e.atom("t", f.first.Add(row).Add(r), 0, 1)
				d := e.atom("d", p.Mul(u(choice.HeadPart)).Add(c), f.Dim, 1)
				v := k.let(constFloat, "value", f.r.asStored(k, 0, spread.At(r.Mul(u(choice.FlashStride)).Add(c)).Mul(scales.At(row.Add(r)))))
				k.add(msl.When(k.index(t).Less(k.dim(f.Rows)), storing(1, f.target(e, []affine{h, t, d}), v)))
			})
			k.barrier()
		})
	})
}
