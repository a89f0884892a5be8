package metal

import (
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
	k.threads = f.AttentionTiles.Threads()
	k.grid[1], k.grid[2].N = plan.GridDim{N: f.Rows, Div: int64(f.Queries())}, sym.Const(f.Heads)
	k.use("common/tile.metal", "common/flight.metal", "common/load.metal", "main/flash_prefill.metal")
	for _, b := range []plan.Builtin{plan.ThreadgroupPosition, plan.ThreadIndex, plan.SimdgroupIndex, plan.LaneIndex} {
		k.builtin(b)
	}
	k.ready()
	f.first = k.let(constUint, "first", groupY.Mul(u(f.Queries())))
	emit := f.scoresBlock
	if n.Op == ir.OpBmmNN {
		emit = f.weightedBlock
	}
	emit(k)
	return k
}

// rowsOfKeys declares what brings so many rows at a time.
func (f *flash) rowsOfKeys(k *kernel, rows int) *msl.Value {
	return k.array(msl.Of("flash_rows", u(f.Dim), u(rows), u(k.threads)), "rows", nil)
}

// scoresBlock: 64 rows of a against 64 of b, whole rows staged at once.
func (f *flash) scoresBlock(k *kernel) {
	k.use("main/gemm_tiles.metal")
	k.grid[0] = plan.GridDim{N: f.attention.Keys, Div: int64(f.Keys)}
	k.param("K", int(f.Dim))
	f.stage = k.threadgroup("stage", "half", f.ScoresBytes(f.Dim))
	e := newEmitter(k, f.r, 1)
	h := e.know(groupZ, f.Heads, 1)
	keys := f.rowsOf(e, f.Scores.Args[1], h)
	strip, two := tileStrip(f.Dim), u(2)
	right := k.let(halvesOfGroup, "right", f.stage.Add(u(4).Mul(strip)))
	rows := f.rowsOfKeys(k, f.Keys)
	k.do(rows.Dot("start").Call(keys.first, keys.step, groupX.Mul(u(f.Keys)), k.dim(f.attention.Keys), right, thread))
	k.phase("Prologue: rows of the first operand as halves.")
	f.rowRanges(k, simd.Div(two).Mul(u(32)), 32, u(f.Dim))
	f.stageRows(k)
	k.do(rows.Dot("land").Call(right, thread))
	k.do(msl.Of("tile_wait", u(0)).Call())
	k.barrier()
	k.phase("Main: products of tiles.")
	acc := k.clearTiles(4)
	k.do(msl.Of("gemm_block", u(f.Dim), two, two).
		Call(f.stage.Add(simd.Div(two).Mul(two).Mul(strip)), right.Add(simd.Mod(two).Mul(two).Mul(strip)), acc))
	k.barrier()
	k.phase("Epilogue: the simdgroup's tiles, spread in threadgroup memory.")
	spread := k.let(floatsOfGroup, "spread", f.stage.Cast("threadgroup float *").Add(simd.Mul(u(choice.TileSide*choice.ScoresStride))))
	k.unrollTiles()
	k.loop("m", u(0), two, nil, func(m *msl.Value) {
		n := msl.Variable("n")
		k.add(msl.Times(n, two, &msl.Do{Call: msl.Call("tile_store", acc.At(m.Mul(two).Add(n)), spread.Add(u(16).Mul(n)), msl.Int(choice.ScoresStride))}))
		k.barrierOfSimdgroup()
		k.loop("i", u(0), u(16), nil, func(i *msl.Value) {
			row := simd.Div(two).Mul(u(32)).Add(m.Mul(u(16))).Add(i)
			score := spread.At(i.Mul(u(choice.ScoresStride)).Add(lane)).Mul(msl.Float(f.Scores.Attr.Scale))
			value := k.let(constFloat, "value", times(score, f.leftUp(k, row.Paren()), f.r.readUp(k, f.Scores.Args[1])))
			t := e.atom("t", f.first.Add(simd.Div(two).Mul(u(32))).Add(m.Mul(u(16))).Add(i), 0, 1)
			col := e.atom("column", groupX.Mul(u(f.Keys)).Add(simd.Mod(two).Mul(u(32))).Add(lane), 0, 1)
			exists := k.index(t).Less(k.dim(f.Rows)).And(k.index(col).Less(k.dim(f.attention.Keys)))
			to := e.target(0, []affine{h, t, col})
			k.add(msl.When(exists, storing(1, to, f.r.asStored(k, 0, value))))
		})
		k.barrierOfSimdgroup()
	})
}

// weightedBlock: 64 rows of a, 32 columns at a time, against as many rows of b;
// each simdgroup makes 16 whole rows.
func (f *flash) weightedBlock(k *kernel) {
	const depth = choice.WeightedDepth
	k.param("columns", int(f.Dim))
	left := k.threadgroup("left", "half", f.WeightsBytes())
	values := k.threadgroup("values", "half", f.ValuesBytes(f.Dim))
	e := newEmitter(k, f.r, 1)
	h := e.know(groupZ, f.Heads, 1)
	of := f.rowsOf(e, f.Scores.Args[1], h)
	all := k.dim(f.attention.Keys)
	rows := f.rowsOfKeys(k, depth)
	acc := k.clearTiles(int(f.Dim / 16))
	f.rowRanges(k, simd.Mul(u(16)), 16, all)
	k.loop("base", u(0), all, u(depth), func(base *msl.Value) {
		k.do(rows.Dot("start").Call(of.first, of.step, base, all, values, thread))
		k.phase("Prologue: rows of the first operand as halves.")
		k.unroll()
		k.loop("i", u(0), u(16), nil, func(i *msl.Value) {
			m, j := msl.Variable("m"), msl.Variable("j")
			k.add(&msl.Declare{Type: constUint, Of: []msl.Declared{{Variable: m, Value: simd.Mul(u(16)).Add(i)}, {Variable: j, Value: lane}}})
			t := f.row(e, f.first.Add(m))
			col := e.atom("column", msl.Min(base.Add(j), all.Sub(u(1))), 0, 1)
			value := k.let(constFloat, "value", times(e.at(f.Scores.Args[0], []affine{h, t, col}), f.leftDown(k, m)))
			to := left.Add(msl.Of("tile_at", u(depth)).Call(m, j))
			k.do(msl.Call("gemm_put", to, base.Add(j).Less(all).Select(value, zero)))
		})
		k.do(rows.Dot("land").Call(values, thread))
		k.do(msl.Of("tile_wait", u(0)).Call())
		k.barrier()
		f.weighTiles(k, left, values, acc)
		k.barrier()
	})
	value := func(out, i *msl.Value) *msl.Value {
		row := ownRow(nil, msl.Call("tile_slot", i)).Paren()
		return f.r.asStored(k, 0, times(out, f.leftUp(k, row), f.r.readUp(k, f.Scores.Args[1])))
	}
	f.storeTiles(e, acc, value, func(t, d affine) *msl.Value { return e.target(0, []affine{h, t, d}) })
}

// weighTiles adds the products of the staged columns of a with the staged rows of b.
func (f *flash) weighTiles(k *kernel, left, values, acc *msl.Value) {
	const depth = choice.WeightedDepth
	k.phase("Main: products of tiles.")
	k.unrollTiles()
	k.loop("n", u(0), u(depth/16), nil, func(n *msl.Value) {
		some := k.array(msl.Name("tile_left"), "some", nil)
		k.do(msl.Of("tile_load", u(depth)).Call(some, left.Add(simd.Mul(tileStrip(depth))), u(16).Mul(n)))
		k.unrollTiles()
		k.loop("d", u(0), u(f.Dim/16), nil, func(d *msl.Value) {
			columns := k.array(msl.Name("tile_right"), "columns", nil)
			k.do(msl.Of("tile_load_rows", u(f.Dim)).Call(columns, values.Add(n.Mul(tileStrip(f.Dim))), u(16).Mul(d)))
			k.do(msl.Call("tile_multiply_accumulate", acc.At(d), some, columns))
		})
	})
}
