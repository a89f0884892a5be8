package metal

import (
	"foundry/ir"
	choice "foundry/ir/kernel"
	"foundry/lower/msl"
)

// staging is the group of elements of a block that a thread stages as its i-th.
func (g *gemm) staging(i *msl.Value) *msl.Value { return thread.Add(i.Mul(g.threadsEach)) }

// token is the index of row m of the block: the last row's beyond the end.
func (g *gemm) token(e *emitter, m *msl.Value) affine {
	return e.atom("t", msl.Min(g.first.Add(m), e.k.dim(g.Tokens).Sub(u(1))), 0, 1)
}

// rowScales writes the prologue of a norm: scale[i] becomes the factor of the row
// of the i-th group of elements that the thread stages. The operand is scaled
// before it becomes halves, since f16 may not hold what it is made of.
func (g *gemm) rowScales(k *kernel) {
	if g.Norm == nil {
		return
	}
	what, width := g.Inner, int64(g.w)
	if sums := g.sums(); sums != nil {
		what, width = sums, 1
	}
	length := what.Type.Shape.At(-1).C
	k.phase("Prologue: the norm's scale of each row.")
	squares := k.let(floatsOfGroup, "squares", g.stage.Cast("threadgroup float *"))
	k.loop("m", simd.Mul(u(choice.RowsAtOnce)), g.rows, u(choice.RowsAtOnce*g.SIMDs()), func(m *msl.Value) {
		mine, r := k.array(floatType, "mine", u(choice.RowsAtOnce)), msl.Variable("r")
		k.add(msl.Times(r, u(choice.RowsAtOnce), msl.Set(mine.At(r), zero)))
		k.loop("k", lane.Mul(u(width)), u(length), u(32*width), func(j *msl.Value) {
			k.unroll()
			k.loop("r", u(0), u(choice.RowsAtOnce), nil, func(r *msl.Value) {
				e := newEmitter(k, g.r, int(width))
				e.report = no
				t := e.atom("t", msl.Min(g.first.Add(m).Add(r), k.dim(g.Tokens).Sub(u(1))), 0, 1)
				x := e.at(what, []affine{t, e.know(j, length, width)})
				if g.sums() == nil {
					k.use("prologue/rms_norm.metal")
					x = msl.Call("squares_of", x)
				}
				k.add(msl.Raise(mine.At(r), x))
			})
		})
		k.loop("r", u(0), u(choice.RowsAtOnce), nil, func(r *msl.Value) {
			k.add(msl.Set(mine.At(r), msl.Call("simd_sum", mine.At(r))))
			k.add(msl.When(lane.Equal(u(0)), msl.Set(squares.At(m.Add(r)), mine.At(r))))
		})
	})
	k.barrier()
	i := msl.Variable("i")
	g.scale = k.array(floatType, "scale", u(g.staged()))
	mean := squares.At(g.staging(i).Div(u(g.Depth / g.w))).Mul(one.Div(msl.Call("float", msl.Int(g.Length))))
	scale := msl.Call("rsqrt", mean.Add(msl.Float(g.Norm.Attr.Eps)))
	k.add(msl.Times(i, u(g.staged()), msl.Set(g.scale.At(i), times(scale, g.leftDown(k)))))
	k.barrier()
}

// looks reports whether the operand has no bound: then the kernel looks at its rows.
func (g *gemm) looks() bool { return g.r.narrowing(g.X) == unbounded }

// rowRanges writes the prologue of an operand without a bound: fits[i] becomes the
// factor of the row of the i-th group of elements that the thread stages.
func (g *gemm) rowRanges(k *kernel) {
	if !g.looks() {
		return
	}
	k.use("common/range.metal")
	k.phase("Prologue: the range of each row.")
	g.downs = k.let(floatsOfGroup, "downs", g.stage.Cast("threadgroup float *"))
	k.loop("m", simd, g.rows, u(g.SIMDs()), func(m *msl.Value) {
		most := k.let(floatType, "most", zero)
		k.loop("k", lane.Mul(u(g.w)), u(g.Length), u(32*g.w), func(j *msl.Value) {
			e := newEmitter(k, g.r, g.w)
			e.report = no
			t := g.token(e, m)
			k.add(msl.Set(most, msl.Call("max", most, msl.Call("range_size", e.at(g.Inner, []affine{t, e.know(j, g.Length, int64(g.w))})))))
		})
		k.add(msl.Set(most, msl.Call("simd_max", most)))
		k.add(msl.When(lane.Equal(u(0)), msl.Set(g.downs.At(m), msl.Call("range_down", most))))
	})
	k.barrier()
	i := msl.Variable("i")
	g.fits = k.array(floatType, "fits", u(g.staged()))
	k.add(msl.Times(i, u(g.staged()), msl.Set(g.fits.At(i), g.downs.At(g.staging(i).Div(u(g.Depth/g.w))))))
	g.by.undoRows(k)
	k.barrier()
}

// leftDown and leftUp return the factors of the operand's range, where it has one.
func (g *gemm) leftDown(k *kernel) *msl.Value {
	if g.X.Def == nil && g.r.operands[g.X.Index].Scaled {
		return one // it lies so
	}
	return g.leftFactor(k, g.r.down)
}

func (g *gemm) leftUp(k *kernel) *msl.Value { return g.leftFactor(k, g.r.up) }

func (g *gemm) leftFactor(k *kernel, factor func(*kernel, *ir.Value) *msl.Value) *msl.Value {
	if g.looks() {
		return one
	}
	return factor(k, g.X)
}
