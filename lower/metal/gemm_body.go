package metal

import (
	"foundry/ir/dtype"
	"foundry/ir/task"
	"foundry/lower/msl"
)

// ring is the places of what is copied, one behind the other: that of the block that is
// multiplied, and of the one that is brought.
type ring struct {
	now, next, size *msl.Value
	places          int64
}

// newRing declares where a ring begins; its places are of that size.
func (g *gemm) newRing(k *kernel, size *msl.Value) *ring {
	r := &ring{msl.Variable("now"), msl.Variable("next"), size, int64(g.Stages - 1)}
	k.add(&msl.Declare{Type: uintType, Of: []msl.Declared{{Variable: r.now, Value: u(0)}, {Variable: r.next, Value: r.last()}}, Note: "places of what is copied: multiplied, brought"})
	return r
}

func (r *ring) last() *msl.Value { return u(r.places).Mul(r.size) }

// turn moves on by one place.
func (r *ring) turn(k *kernel) {
	for _, v := range []*msl.Value{r.now, r.next} {
		k.add(msl.Set(v, v.Equal(r.last()).Select(u(0), v.Add(r.size))))
	}
}

// turn is what a turn over the blocks works on: which it starts, multiplies and stages,
// and the place of those that are on their way.
type turn struct{ a, started, multiplied, staged *msl.Value }

// main walks over K. In turn b it starts block b on its way, multiplies the block
// that was started AHEAD turns before, and stages the one after that. What is copied, x
// or the weights, needs no staging and has its own places.
func (g *gemm) main(k *kernel, t dtype.Type) {
	copied := g.stages().Copies(t)
	if g.Copied {
		g.startRows(k, t)
	}
	if g.Copied && copied {
		g.mainCopied(k)
		return
	}
	k.phase("Main: products of blocks.")
	if !g.Copied {
		held := floatType
		if g.w == 4 {
			held = vectors[1]
		}
		g.held = k.array(held, "held", g.ahead.Mul(u(g.staged())))
	}
	var places *ring
	switch {
	case g.Copied:
		places = g.newRing(k, g.left)
	case copied:
		places = g.newRing(k, g.right)
	}
	k.loop("turn", u(0), g.blocksOf.Add(g.ahead), g.ahead, func(begin *msl.Value) {
		k.unrollTiles()
		k.loop("a", u(0), g.ahead, nil, func(a *msl.Value) {
			x := turn{a, msl.Variable("b"), msl.Variable("c"), msl.Variable("p")}
			k.add(&msl.Declare{Type: constUint, Note: "started, multiplied, staged", Of: []msl.Declared{
				{Variable: x.started, Value: begin.Add(a)}, {Variable: x.multiplied, Value: x.started.Sub(g.ahead)}, {Variable: x.staged, Value: x.multiplied.Add(u(1))}}})
			k.when(x.started.Less(g.blocksOf), func() {
				if !g.Copied {
					g.fetch(k, t, x)
				}
				if !copied {
					k.add(msl.When(x.started.More(u(0)), &msl.Do{Call: g.weights.At(a).Dot("start").Call(g.row, x.started, thread)}))
				}
			})
			k.when(x.multiplied.Less(g.blocksOf), func() { g.multiplyBlock(k, x.multiplied, places) })
			k.when(x.staged.Less(g.blocksOf), func() {
				if !g.Copied {
					g.put(k, t, x)
				}
				if !copied {
					to := g.rightStage.Add(x.staged.Mod(u(2)).Mul(g.right))
					k.do(g.weights.At(a.Add(u(1)).Mod(g.ahead)).Dot("land").Call(to, g.fit, thread))
				}
			})
			if places != nil {
				k.do(msl.Of("tile_wait", u(g.Stages-2)).Call())
			}
			g.by.settle(k)
			g.by.staged(k)
			k.barrier()
		})
	})
}

// multiplyBlock multiplies block c, and has what is copied bring the next one to its place.
func (g *gemm) multiplyBlock(k *kernel, c *msl.Value, places *ring) {
	left, right := c.Mod(u(2)).Mul(g.left), c.Mod(u(2)).Mul(g.right)
	if places == nil {
		g.by.multiply(k, g.stage.Add(left), g.rightStage.Add(right))
		return
	}
	carrier, rows, stage := g.weights, g.row, g.rightStage
	if g.Copied {
		carrier, rows, stage, left = g.leftRows, g.from, g.stage, places.now
	} else {
		right = places.now
	}
	brought := c.Add(u(g.Stages - 1))
	more, to := brought.Less(g.blocksOf), stage.Add(places.next)
	k.add(msl.When(more, &msl.Do{Call: carrier.Dot("start").Call(rows, to, brought, thread)}))
	k.do(msl.Call("tile_launched"))
	g.by.multiply(k, g.stage.Add(left), g.rightStage.Add(right))
	k.add(msl.When(more, &msl.Do{Call: carrier.Dot("land").Call(to, thread)}))
	places.turn(k)
}

// place declares where the i-th group of elements of a block lies in the stage: m and j.
func (g *gemm) place(k *kernel, i *msl.Value) (m, j *msl.Value) {
	m, j = msl.Variable("m"), msl.Variable("j")
	each := u(g.Depth / g.w)
	k.add(&msl.Declare{Type: constUint, Of: []msl.Declared{{Variable: m, Value: g.staging(i).Div(each)}, {Variable: j, Value: g.staging(i).Mod(each).Mul(u(g.w))}}})
	return m, j
}

// element declares the column in the operand's row of the elements at j of block b. ok is
// what must hold for them to exist, nil where they always do.
func (g *gemm) element(e *emitter, t dtype.Type, j, b *msl.Value) (column affine, ok *msl.Value) {
	k := e.k
	at := msl.Of("gemm_column", g.reader(t), g.depth).Call(b, j.Div(u(4)))
	switch {
	case g.stages().Chunk(t) < 4:
		at = b.Mul(g.depth).Add(j)
	case g.w == 1:
		at = at.Add(j.Mod(u(4)))
	}
	if g.Length%int64(g.Depth) == 0 {
		return e.atom("column", at, g.Length, int64(g.w)), nil
	}
	place := k.let(constUint, "place", at)
	return e.atom("column", msl.Min(place, u(g.Length-int64(g.w))), g.Length, int64(g.w)), place.Less(u(g.Length))
}

// fetch reads the thread's elements of a block of the operand.
func (g *gemm) fetch(k *kernel, t dtype.Type, x turn) {
	k.unroll()
	k.loop("i", u(0), u(g.staged()), nil, func(i *msl.Value) {
		e := newEmitter(k, g.r, g.w)
		m, j := g.place(k, i)
		column, ok := g.element(e, t, j, x.started)
		ix := []affine{g.token(e, m), column}
		e.report, e.stored = groupY.Equal(u(0)).And(k.index(column).Equal(u(0))), g.Inner
		value := e.at(g.Inner, ix)
		for _, r := range g.Extra {
			here := groupY.Equal(u(0)).And(g.first.Add(m).Less(k.dim(g.Tokens)))
			if ok != nil {
				here = here.And(ok)
			}
			extra := e.at(g.r.g.Results[r].Value, ix)
			to := e.target(r, ix)
			k.add(msl.When(here, storing(g.w, to, g.r.asStored(k, r, extra))))
		}
		if ok != nil {
			value = ok.Select(value, e.vec().Call(zero))
		}
		k.add(msl.Set(g.held.At(x.a.Mul(u(g.staged())).Add(i)), value))
	})
}

// put stages what fetch read.
func (g *gemm) put(k *kernel, t dtype.Type, x turn) {
	k.unroll()
	k.loop("i", u(0), u(g.staged()), nil, func(i *msl.Value) {
		e := newEmitter(k, g.r, g.w)
		m, j := g.place(k, i)
		held := g.held.At(x.a.Add(u(1)).Mod(g.ahead).Mul(u(g.staged())).Add(i))
		var value *msl.Value
		if g.Norm != nil {
			column, _ := g.element(e, t, j, x.staged)
			_, gamma := task.NormOperands(g.Norm)
			value = held.Mul(g.scale.At(i)).Mul(e.at(gamma, []affine{column}))
		} else {
			value = times(held, g.leftDown(k))
			if g.looks() {
				value = value.Mul(g.fits.At(i))
			}
		}
		to := g.stage.Add(x.staged.Mod(u(2)).Mul(g.left)).Add(msl.Of("gemm_at", g.depth).Call(m, j))
		k.do(msl.Call("gemm_put", to, value))
	})
}
