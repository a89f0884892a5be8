package metal

import (
	"fmt"

	"foundry/ir"
	"foundry/ir/dtype"
	choice "foundry/ir/kernel"
	"foundry/ir/sym"
	"foundry/ir/task"
	"foundry/lower/msl"
	"foundry/lower/plan"
)

// operand declares what main reads its vectors from and returns it. A staged operand is
// filled segment by segment in main.
func (g *gemv) operand(k *kernel) *msl.Value {
	if g.Direct {
		l := g.r.operands[g.Inner.Index].Layout
		row, _ := k.variable(g.first).Index().Times(l.Stride[0])
		from := g.r.at(k, g.Inner.Index, affine{Const: l.Off}.Add(row))
		if g.rounds().Sliced() {
			return from
		}
		return g.operandType().Make(from, k.dim(g.Tokens).Sub(g.first))
	}
	g.staged = k.threadgroup("staged", "float", int(4*g.Staged(g.Segment))*g.Vectors)
	if g.Norm != nil {
		g.partial = k.threadgroup("partial", "float", 4*g.Simdgroups*g.Vectors)
		k.use("prologue/rms_norm.metal")
	}
	return g.operandType().Make(g.staged)
}

func (g *gemv) operandType() *msl.Value {
	if g.Direct {
		return msl.Of("DeviceOperand", u(g.r.operands[g.Inner.Index].Layout.Stride[0].C))
	}
	if g.Chunked {
		return msl.Of("ChunkedOperand", u(g.Staged(g.Segment)))
	}
	return msl.Of("StagedOperand", u(g.Staged(g.Segment)))
}

// clear declares an array of floats and sets it to zero; i counts its elements.
func (k *kernel) clear(name string, size *msl.Value, i string) *msl.Value {
	a, at := k.array(floatType, name, size), msl.Variable(i)
	k.add(msl.Times(at, size, msl.Set(a.At(at), zero)))
	return a
}

// main accumulates all segments of the rows.
func (g *gemv) main(k *kernel, x *msl.Value, preload int) {
	all := g.vectors.Mul(g.count)
	g.acc = k.clear("acc", all, "i")
	if g.Norm != nil {
		g.squared = k.clear("squares", g.vectors, "m")
	}
	for begin := int64(0); begin < g.Length; begin += g.Segment {
		size := min(g.Segment, g.Length-begin)
		if !g.Direct {
			if begin > 0 {
				k.barrier()
			}
			k.phase("Prologue: %s.", g.describe())
			g.stageVectors(k, begin, size)
			if g.Norm != nil && begin+size == g.Length {
				m := msl.Variable("m")
				k.add(msl.Times(m, g.vectors, &msl.Do{Call: msl.Call("rms_partial", g.squared.At(m), g.partial.Add(m.Mul(u(g.Simdgroups))), simd, lane)}))
			}
			k.barrier()
			g.stageSums(k, size)
		}
		k.phase("Main: rows of a matrix product.")
		if t, same := g.SameFormat(); same {
			g.accumulate(k, t, x, begin, size, preload, g.row, g.count, g.acc)
			preload = 0
			continue
		}
		k.choose(g.where, func(i int) { g.accumulatePart(k, g.Parts[i], x, begin, size) })
	}
	k.do(msl.Of("gemv_sum", all, u(g.Seats())).Call(g.acc))
	if g.Share > 1 {
		shared := k.threadgroup("shares", "float", 4*g.Simdgroups*g.Teams*g.Vectors*g.PerTeam)
		k.do(msl.Of("gemv_share", all, u(g.Share), u(g.Teams)).Call(g.acc, shared, g.team, g.share, g.seat))
	}
}

// stageSums adds up what groups of levels with offsets meet, where the operand is
// staged in their order.
func (g *gemv) stageSums(k *kernel, size int64) {
	t, _ := g.SameFormat()
	if !g.Chunked || !g.format(t).Offsets {
		return
	}
	k.builtin(plan.ThreadIndex)
	m := msl.Variable("m")
	sums := msl.Of("chunked_sums", u(size/choice.ChunkWeights), u(g.Simdgroups*32))
	k.add(msl.Times(m, g.vectors, &msl.Do{Call: sums.Call(g.vector(m), thread)}))
	k.barrier()
}

// vector is vector m in threadgroup memory.
func (g *gemv) vector(m *msl.Value) *msl.Value { return g.staged.Add(m.Mul(u(g.Staged(g.Segment)))) }

// describe names what the prologue computes.
func (g *gemv) describe() string {
	name := "the operand"
	if g.Inner.Def != nil {
		name = g.Inner.Def.Op.String()
	}
	if g.Norm != nil {
		return "rms_norm of " + name + ", its scale applied to the sums"
	}
	return name
}

func (g *gemv) accumulate(k *kernel, t dtype.Type, x *msl.Value, begin, size int64, preload int, row, rows, acc *msl.Value) {
	f := g.format(t)
	w := g.width(t)
	k.use(f.files()...)
	reader := f.reader(w)
	ahead := g.rounds().Ahead(t, size, preload)
	if g.rounds().Sliced() {
		k.use("main/gemv_slices.metal")
		bytes := g.rounds().SlicesBytes(max(preload, ahead))
		slices := k.threadgroup("slices", "float", int(bytes)*g.Simdgroups)
		share := u(0)
		if g.Share > 1 {
			share = g.share
		}
		k.do(msl.Of("gemv_sliced", reader, rows, u(g.lanes()), u(g.Seats()), u(size/int64(w)), u(preload), u(ahead)).
			Call(row, g.loaded, x, slices.Add(simd.Mul(u(bytes/4))), share, lane, acc))
		return
	}
	if preload > 0 {
		k.do(msl.Of("gemv_preloaded", reader, g.operandType(), rows, g.vectors, u(g.lanes()), u(size/int64(w)), u(preload)).
			Call(g.own, g.loaded, x, acc))
	}
	if size/int64(w) > int64(preload)*g.lanes() {
		k.do(msl.Of("gemv_accumulate", reader, g.operandType(), rows, g.vectors, u(g.lanes()), u(begin/int64(w)), u(size/int64(w)), u(preload), u(ahead)).
			Call(row, g.own, x, acc))
	}
}

// accumulatePart is accumulate where weights differ in format: the rows of each
// product go by themselves.
func (g *gemv) accumulatePart(k *kernel, p *task.Part, x *msl.Value, begin, size int64) {
	per := p.RowsPerUnit()
	t := p.Products[0].Args[1].Type.DType
	uniform := true
	for _, q := range p.Products {
		uniform = uniform && q.Args[1].Type.DType == t
	}
	if uniform {
		g.accumulate(k, t, x, begin, size, 0, g.row, g.count, g.acc)
		return
	}
	units := g.PerTeam / per
	each := per / len(p.Products)
	for i, q := range p.Products {
		k.block(func() {
			n := u(units * each)
			mine := k.array(bytesOfDevice, "mine", n)
			sums := k.array(floatType, "sums", g.vectors.Mul(n))
			at := msl.Variable("u")
			row := at.Div(u(each)).Mul(u(per)).Add(u(i * each)).Add(at.Mod(u(each)))
			k.add(msl.Times(at, n, msl.Set(mine.At(at), g.row.At(row))))
			k.add(msl.Times(at, g.vectors.Mul(n), msl.Set(sums.At(at), zero)))
			g.accumulate(k, q.Args[1].Type.DType, x, begin, size, 0, mine, n, sums)
			k.add(msl.Times(at, g.vectors.Mul(n), msl.Raise(g.acc.At(row), sums.At(at))))
		})
	}
}

// stageVectors computes elements [begin, begin+size) of each vector into threadgroup
// memory, four at a time where all that they are made of allows.
func (g *gemv) stageVectors(k *kernel, begin, size int64) {
	w, _ := g.StageWidth(begin, size) // cost has asked
	e := newEmitter(k, g.r, w)
	k.builtin(plan.ThreadIndex)
	stage := func(m *msl.Value, t affine) {
		k.each("k", size, g.Simdgroups*32, w, func(i, round *msl.Value) {
			g.stageElements(e, m, t, i, round, begin, size)
		})
		if sums := g.sums(); sums != nil && begin == 0 {
			g.r.addSums(e, sums, []affine{t}, g.squared.At(m))
		}
	}
	if g.Vectors == 1 && g.Tokens == sym.Const(1) {
		stage(u(0), number(0))
		return
	}
	k.loop("m", u(0), g.vectors, nil, func(m *msl.Value) {
		stage(m, e.atom("t", msl.Min(g.first.Add(m), k.dim(g.Tokens).Sub(u(1))), 0, 1))
	})
}

// stageElements computes the elements from i of a segment on, of vector m, which is row t.
func (g *gemv) stageElements(e *emitter, m *msl.Value, t affine, i, round *msl.Value, begin, size int64) {
	k, w := e.k, e.Width
	col := e.know(i, size, int64(w)).Plus(begin)
	ix := []affine{t, col}
	e.report = groupX.Equal(u(0)).And(grouped(k.index(col)).Equal(u(0)))
	v := e.at(g.Inner, ix)
	if g.Norm != nil && g.sums() == nil {
		k.add(msl.Raise(g.squared.At(m), msl.Call("squares_of", v)))
	}
	for _, j := range g.Extra {
		g.storeExtra(e, j, ix, m)
	}
	value := v
	if g.Norm != nil {
		_, gamma := task.NormOperands(g.Norm)
		value = e.define("scaled", v.Mul(g.gamma(e, gamma, i, round, ix[1:], size)))
	}
	to := g.vector(m)
	if g.Chunked {
		t, _ := g.SameFormat()
		k.use(g.format(t).files()...)
		own, step := i, int64(choice.ChunkWeights)
		if round == nil {
			round = u(0)
		} else {
			own, step = thread.Mul(u(w)), int64(g.Simdgroups)*32*int64(w)
		}
		k.do(msl.Of(fmt.Sprintf("chunked_store%d", w), g.format(t).reader(g.width(t)), u(step)).Call(to, own, round, value))
	} else {
		k.do(msl.Call(fmt.Sprintf("staged_store%d", w), to, i, value))
	}
}

// gamma returns the norm's weights for the elements at ix, in the loop over size
// elements that stage is in: loaded before the ready point where they are held.
func (g *gemv) gamma(e *emitter, gamma *ir.Value, i, round *msl.Value, ix []affine, size int64) *msl.Value {
	held := g.rounds().GammasHeld(e.Width)
	if held == 0 {
		return e.at(gamma, ix)
	}
	k := e.k
	gammas := msl.Variable(k.fresh("gammas"))
	k.within(&k.readyPoint.Before, func() {
		k.phase("Preload: the norm's weights.")
		k.add(msl.Array(e.vec(), gammas, u(held)))
		k.unroll()
		k.loop("round", u(0), u(held), nil, func(round *msl.Value) {
			own := k.let(constUint, "k", msl.Min(thread.Add(round.Mul(u(g.Simdgroups*32))).Mul(u(e.Width)), u(size-int64(e.Width))))
			defer e.scope()()
			k.add(msl.Set(gammas.At(round), e.at(gamma, []affine{e.know(own, size, int64(e.Width))})))
		})
	})
	return gammas.At(round)
}

// sums returns the finished sums of squares that the prologue adds up, or nil.
func (g *gemv) sums() *ir.Value {
	if g.Norm == nil {
		return nil
	}
	sums, _ := task.NormOperands(g.Norm)
	return sums
}

// storeExtra stores a result of the prologue, by the first threadgroup alone.
func (g *gemv) storeExtra(e *emitter, j int, ix []affine, m *msl.Value) {
	v := g.r.g.Results[j].Value
	value := e.at(v, ix)
	here := groupX.Equal(u(0)).And(g.first.Add(m).Less(e.k.dim(g.Tokens)))
	to := e.target(j, ix)
	e.k.add(msl.When(here, storing(e.Width, to, g.r.asStored(e.k, j, value))))
}
