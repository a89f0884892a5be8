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
	head         *msl.Value // the threadgroup's head
	first        *msl.Value // its first row
	stage        *msl.Value // memory of rows of an operand
	ranged, fits *msl.Value // the first of the rows whose ranges the lanes keep, and their factors
}

func (f *flash) emit() *kernel {
	k := newKernel(fmt.Sprintf("%s_%dx%d_many_tiles", identifier(f.r.name), f.Heads, f.Dim), f.r.identity(plan.AttentionTiles))
	f.write(k)
	return k
}

func (f *flash) write(k *kernel) {
	k.threads = f.Threads()
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
	f.stage = k.threadgroup("stage", "half", f.StageBytes(f.Dim))
	k.ready()
	// The last rows see the most keys, so they go first.
	f.first = k.let(constUint, "first", msl.Name("groups.y").Sub(u(1)).Sub(groupY).Mul(u(f.Queries())))
	q := f.stageQueries(k)
	f.Width = choice.KeysWidth
	e := newEmitter(k, f.r, 1)
	h := e.know(groupX, f.Heads, 1)
	keys, values := f.rowsOf(e, f.Scores.Args[1], h), f.rowsOf(e, f.Weighted.Args[1], h)
	k.phase("Main: softmax and weighted values in one pass over the keys.")
	visible, last, begin := f.visibleRows(k)
	acc := k.clearTiles(int(f.Dim / 16))
	sum := k.array(floatType, "sum", tileSlots)
	factor := f.scoresUp(k)
	k.do(msl.Of("flash_prefill", u(f.Dim), u(f.Keys), u(f.Simdgroups)).
		Call(q, keys.first, keys.step, values.first, values.step, begin, last, visible, factor, f.stage, thread, lane, acc, sum))
	f.store(e, h, acc, sum)
}

// tileSlots is how many rows of a tile a lane has elements of.
var tileSlots = msl.Name("TILE_SLOTS")

// ownRow is the row that slot r of the lane belongs to, of those behind first; nil counts
// from the block's.
func ownRow(first, r *msl.Value) *msl.Value {
	return sum(first, simd.Mul(u(16))).Add(msl.Call("tile_row", lane, r))
}

// visibleRows declares how many keys the lane's rows see, behind which key none of the block
// sees any, and which key is the first that one sees.
func (f *flash) visibleRows(k *kernel) (visible, last, begin *msl.Value) {
	visible, last = msl.Variable("visible"), msl.Variable("last")
	k.add(&msl.Declare{Type: uintType, Of: []msl.Declared{{Variable: visible, Size: tileSlots}, {Variable: last, Value: k.dim(f.attention.Keys)}}})
	r, start := msl.Variable("r"), dimension(f.Softmax.Attr.Start)
	if f.Softmax.Attr.Causal {
		own := k.plus(ownRow(f.first, r), start).Add(u(1))
		k.add(msl.Times(r, tileSlots, msl.Set(visible.At(r), msl.Min(own, last))))
		rows := msl.Min(f.first.Add(u(f.Queries())), k.dim(f.Rows))
		k.add(msl.Set(last, msl.Min(k.plus(rows, start), last)))
	} else {
		k.add(msl.Times(r, tileSlots, msl.Set(visible.At(r), last)))
	}
	w := f.Softmax.Attr.Window
	if w == 0 {
		return visible, last, u(0)
	}
	// No row sees less than the block's first, and that no key before its window.
	before := msl.Variable("before")
	begin = msl.Variable("begin")
	keys := u(f.Keys)
	k.add(&msl.Declare{Type: constUint, Of: []msl.Declared{
		{Variable: before, Value: msl.Min(k.plus(f.first, start).Add(u(1)), last)},
		{Variable: begin, Value: before.Sub(msl.Min(before, u(w))).Div(keys).Mul(keys)},
	}})
	sliding := k.let(msl.Name("const flash_window"), "sliding", msl.Name("").Make(visible, u(w)))
	return sliding, last, begin
}

// scoresUp declares what scores are multiplied by, for powers of two: a factor, or one for each
// of the lane's rows where the kernel looks at these.
func (f *flash) scoresUp(k *kernel) *msl.Value {
	r := msl.Variable("r")
	factor := times(msl.Float(f.Scores.Attr.Scale*log2e), f.leftUp(k, ownRow(nil, r).Paren()), f.r.readUp(k, f.Scores.Args[1]))
	if !f.looks() {
		return k.let(constFloat, "factor", factor)
	}
	factors := k.array(floatType, "factor", tileSlots)
	k.add(msl.Times(r, tileSlots, msl.Set(factors.At(r), factor)))
	return factors
}

const log2e = 1.4426950408889634

// stageQueries leaves the simdgroup's queries in left operands.
func (f *flash) stageQueries(k *kernel) *msl.Value {
	k.phase("Prologue: the queries as halves.")
	f.rowRanges(k, simd.Mul(u(16)), 16, u(f.Dim))
	f.stageRows(k)
	k.barrier()
	q, i := k.array(msl.Name("tile_left"), "q", u(f.Dim/16)), msl.Variable("i")
	k.unrollTiles()
	load := msl.Of("tile_load", u(f.Dim)).Call(q.At(i), f.stage.Add(simd.Mul(tileStrip(f.Dim))), u(16).Mul(i))
	k.add(msl.Times(i, u(f.Dim/16), &msl.Do{Call: load}))
	k.barrier()
	return q
}

// tileStrip is the halves of a strip of 16 rows of length elements.
func tileStrip(length int64) *msl.Value { return msl.Of("tile_strip", u(length)).Call() }

// row declares the index of row m of the block: the last row's beyond the end.
func (f *flash) row(e *emitter, m *msl.Value) affine {
	return e.atom("t", msl.Min(m, e.k.dim(f.Rows).Sub(u(1))), 0, 1)
}

// stageRows narrows the block's rows of the first operand, each simdgroup 16 of them,
// four elements at a time where all that they are made of allows.
func (f *flash) stageRows(k *kernel) {
	w, _ := task.RowsWidth(f.r.asked, f.Scores.Args[0], f.Heads, f.Dim) // cost has asked
	each := u(int(f.Dim) / w)
	k.loop("i", lane, u(16*int(f.Dim)/w), u(32), func(i *msl.Value) {
		e := newEmitter(k, f.r, w)
		m := k.let(constUint, "m", simd.Mul(u(16)).Add(i.Div(each)))
		d := e.atom("d", i.Mod(each).Mul(u(w)), f.Dim, int64(w))
		t := f.row(e, f.first.Add(m))
		v := e.at(f.Scores.Args[0], []affine{e.know(f.head, f.Heads, 1), t, d})
		to := f.stage.Add(msl.Of("tile_at", u(f.Dim)).Call(m, k.index(d)))
		k.do(msl.Call("gemm_put", to, times(v, f.leftDown(k, m))))
	})
}

// looks reports whether the first operand has no bound: then the kernel looks at its
// rows.
func (f *flash) looks() bool { return f.r.narrowing(f.Scores.Args[0]) == unbounded }

// rowRanges finds the ranges of rows of a first operand without a bound: lane q keeps
// the factor of row base + q of the block, of count rows of length elements.
func (f *flash) rowRanges(k *kernel, base *msl.Value, count int, length *msl.Value) {
	if !f.looks() {
		return
	}
	k.use("common/range.metal")
	f.ranged, f.fits = msl.Variable("ranged"), msl.Variable("fits")
	k.add(&msl.Declare{Type: constUint, Of: []msl.Declared{{Variable: f.ranged, Value: base}}, Note: "first of the rows whose ranges the lanes keep"})
	k.add(msl.Let(floatType, f.fits, one))
	k.loop("q", u(0), u(count), nil, func(q *msl.Value) {
		most := k.let(floatType, "most", zero)
		k.loop("j", lane, length, u(32), func(j *msl.Value) {
			e := newEmitter(k, f.r, 1)
			t := f.row(e, f.first.Add(f.ranged).Add(q))
			size := msl.Call("range_size", e.at(f.Scores.Args[0], []affine{e.know(f.head, f.Heads, 1), t, e.know(j, 0, 1)}))
			k.add(msl.Set(most, msl.Call("max", most, size)))
		})
		k.add(msl.Set(most, msl.Call("simd_max", most)))
		k.add(msl.When(lane.Equal(q), msl.Set(f.fits, msl.Call("range_down", most))))
	})
}

// leftDown is the factor with which elements of row m of the block become
// halves; leftUp what undoes it. All lanes call.
func (f *flash) leftDown(k *kernel, m *msl.Value) *msl.Value {
	if f.looks() {
		return msl.Call("simd_shuffle", f.fits, msl.Call("ushort", m.Sub(f.ranged)))
	}
	return f.r.down(k, f.Scores.Args[0])
}

func (f *flash) leftUp(k *kernel, m *msl.Value) *msl.Value {
	if f.looks() {
		return msl.Call("range_up", f.leftDown(k, m))
	}
	return f.r.up(k, f.Scores.Args[0])
}

// store writes the weighted values over the sums of weights.
func (f *flash) store(e *emitter, h affine, acc, sum *msl.Value) {
	k := e.k
	k.slot(ref{refResult, 0}, "y", pointee(f.r.resultType(0)), plan.Write)
	defer k.loadHere(func() {
		f.r.readUp(k, f.Weighted.Args[1])
		f.r.storedDown(k, 0)
	})()
	r := msl.Variable("r")
	share := one.Div(msl.Call("tile_row_sum", sum.At(r)))
	k.add(msl.Times(r, tileSlots, msl.Set(sum.At(r), times(share, f.r.readUp(k, f.Weighted.Args[1])))))
	value := func(out, i *msl.Value) *msl.Value {
		return f.r.asStored(k, 0, out.Mul(sum.At(msl.Call("tile_slot", i))))
	}
	f.storeTiles(e, acc, value, func(t, d affine) *msl.Value { return f.target(e, []affine{h, t, d}) })
}

// storeTiles writes the simdgroup's 16 rows of acc, value for each element out, the lane's
// i-th of a tile, to where target says.
func (f *flash) storeTiles(e *emitter, acc *msl.Value, value func(out, i *msl.Value) *msl.Value, target func(t, d affine) *msl.Value) {
	k := e.k
	k.phase("Epilogue: the rows that exist.")
	k.unrollTiles()
	k.loop("j", u(0), u(f.Dim/16), nil, func(j *msl.Value) {
		out := k.array(floatType, "out", u(8))
		k.do(msl.Of("tile_spread", u(1)).Call(acc.Add(j), out))
		k.unroll()
		k.loop("i", u(0), u(8), nil, func(i *msl.Value) {
			e.Width = 1
			t := e.atom("t", ownRow(f.first, msl.Call("tile_slot", i)), 0, 1)
			d := e.atom("d", u(16).Mul(j).Add(msl.Call("tile_column", lane, i)), f.Dim, 1)
			v := k.let(constFloat, "value", value(out.At(i), i))
			k.add(msl.When(k.index(t).Less(k.dim(f.Rows)), storing(1, target(t, d), v)))
		})
	})
}
