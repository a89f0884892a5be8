package metal

import (
	"foundry/ir/dtype"
	choice "foundry/ir/kernel"
	"foundry/lower/msl"
)

// startRows brings the first blocks of an operand that is kept as halves, in the order of
// weights of t. Rows beyond the end repeat the last one and are not stored.
func (g *gemm) startRows(k *kernel, t dtype.Type) {
	mine := u(g.EachOf(g.Rows * g.Depth / choice.CopiedHalves))
	k.phase("Prologue: the first blocks of the operand, which is kept as halves.")
	g.from = k.array(bytesOfDevice, "from", mine)
	k.loop("i", u(0), mine, nil, func(i *msl.Value) {
		row := msl.Of("gemm_row", g.rows, g.depth, g.threadsEach, u(choice.CopiedHalves)).Call(i, thread)
		m := k.let(constUint, "m", msl.Min(g.first.Add(row), k.dim(g.Tokens).Sub(u(1))))
		x := g.r.at(k, g.Inner.Index, affine{Const: g.r.operands[g.Inner.Index].Layout.Off})
		k.add(msl.Set(g.from.At(i), x.Paren().Cast("device const uchar *").Add(msl.Call("ulong", m).Mul(u(2*g.Length)))))
	})
	g.leftRows = k.array(msl.Of("gemm_rows", g.reader(t), g.rows, g.depth, g.threadsEach), "left", nil)
	for s := range g.Stages - 1 {
		if int64(s) < g.blocks() {
			to := g.stage.Add(u(s).Mul(g.left))
			k.do(g.leftRows.Dot("start").Call(g.from, to, u(s), thread))
			k.do(g.leftRows.Dot("land").Call(to, thread))
		}
		k.do(msl.Call("tile_launched"))
	}
}

// mainCopied walks over K where both operands are copied as they lie. The barrier in
// front of block b says that it is there, and that the place of block b - 1 is free for
// the one that is started now.
func (g *gemm) mainCopied(k *kernel) {
	k.phase("Main: products of blocks.")
	now, next, last := msl.Variable("now"), msl.Variable("next"), u(g.Stages-1)
	k.add(&msl.Declare{Type: uintType, Of: []msl.Declared{{Variable: now, Value: u(0)}, {Variable: next, Value: last}}, Note: "places of the block that is multiplied, and brought"})
	k.loop("b", u(0), g.blocksOf, nil, func(b *msl.Value) {
		k.do(msl.Of("tile_wait", u(g.Stages-2)).Call())
		g.by.staged(k)
		k.barrier()
		more := k.let(constBool, "more", b.Add(last).Less(g.blocksOf))
		left, right := g.stage.Add(next.Mul(g.left)), g.rightStage.Add(next.Mul(g.right))
		bring := func() {
			k.add(msl.When(more, &msl.Do{Call: g.leftRows.Dot("start").Call(g.from, left, b.Add(last), thread)}))
			k.add(msl.When(more, &msl.Do{Call: g.weights.Dot("start").Call(g.row, right, b.Add(last), thread)}))
			k.do(msl.Call("tile_launched"))
		}
		g.by.beside(bring, func() { g.by.multiply(k, g.stage.Add(now.Mul(g.left)), g.rightStage.Add(now.Mul(g.right))) })
		k.add(msl.When(more, &msl.Do{Call: g.leftRows.Dot("land").Call(left, thread)}))
		k.add(msl.When(more, &msl.Do{Call: g.weights.Dot("land").Call(right, thread)}))
		g.by.settle(k)
		k.add(msl.Set(now, now.Equal(last).Select(u(0), now.Add(u(1)))))
		k.add(msl.Set(next, next.Equal(last).Select(u(0), next.Add(u(1)))))
	})
	k.barrier()
}
