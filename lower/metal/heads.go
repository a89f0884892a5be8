package metal

import (
	choice "foundry/ir/kernel"
	"foundry/ir/sym"
	"foundry/ir/task"
	"foundry/lower/msl"
	"foundry/lower/plan"
)

// normedHeads writes norms of heads and the rotation behind them: a threadgroup a
// position, which computes the turn of each pair once, and whose simdgroups take heads in
// turns. Lanes keep the pairs of a head in registers between its sum of squares and the
// results; heads beside them that have no norm, such as values, move along.
func (r *region) normedHeads(chosen choice.Heads) *lowering {
	parts := task.ElementsOf(r.asked)
	k := newKernel(kernelBase(r.name, r.g.Results[0].Value.Type), r.identity(plan.Rows))
	heads, simds := chosen.Heads, chosen.Simdgroups
	k.threads = chosen.Threads()
	positions := parts[0].Space.Dims[1]
	k.grid[0].N = positions
	k.builtin(plan.ThreadgroupPosition)
	k.builtin(plan.ThreadIndex)
	k.builtin(plan.SimdgroupIndex)
	k.builtin(plan.LaneIndex)
	k.use("prologue/rms_norm.metal", "common/load.metal")
	k.ready()
	e := newEmitter(k, r, 1)
	t := number(0)
	if positions != sym.Const(1) {
		t = e.know(groupX, positions.Max(r.g.Bounds), 1)
	}
	at := r.turnsOnce(e, parts, t)
	k.phase("Main: a head a simdgroup.")
	var ends []int64 // of each part's heads, which follow one another
	end := int64(0)
	for _, p := range parts {
		end += p.Space.Dims[0].C
		ends = append(ends, end)
	}
	k.loop("each", simd, u(heads), u(simds), func(each *msl.Value) {
		k.choose(below(each, ends), func(i int) {
			head := e.know(each, heads, 1)
			if i > 0 {
				head = e.atom("head", each.Sub(u(ends[i-1])), ends[i]-ends[i-1], 1)
			}
			r.turnHead(e, parts[i], head, t, at)
		})
	})
	return alone(k)
}

// turnHead writes one head of a part at position t: the norm that stands before its
// rotation, if one does, and the results.
func (r *region) turnHead(e *emitter, p task.Elements, head, t affine, at map[rotation]turns) {
	k, half := e.k, p.Space.Dims[2].C/2
	norm, _ := r.asked.HeadNormOf(&p) // cost has asked
	rounds := (half + 31) / 32
	// pairs calls body for each pair of the lane, the i-th, with the indices of its elements.
	pairs := func(body func(i *msl.Value, low, high []affine)) {
		defer e.scope()()
		k.unroll()
		k.loop("i", u(0), u(rounds), nil, func(i *msl.Value) {
			pair := e.atom("pair", lane.Add(i.Mul(u(32))), half, 1)
			low, high := []affine{head, t, pair}, []affine{head, t, pair.Plus(half)}
			if half%32 == 0 {
				body(i, low, high)
				return
			}
			k.when(k.index(pair).Less(u(half)), func() { body(i, low, high) })
		})
	}
	low, high, scale := msl.Variable(k.fresh("low")), msl.Variable(k.fresh("high")), msl.Variable(k.fresh("scale"))
	if norm != nil {
		squares := msl.Variable(k.fresh("squares"))
		k.add(&msl.Declare{Type: floatType, Of: []msl.Declared{{Variable: low, Size: u(rounds)}, {Variable: high, Size: u(rounds)}}})
		k.add(msl.Let(floatType, squares, zero))
		pairs(func(i *msl.Value, a, b []affine) {
			k.add(msl.Set(low.At(i), e.at(norm.Args[0], a)))
			k.add(msl.Set(high.At(i), e.at(norm.Args[0], b)))
			k.add(msl.Raise(squares, msl.Call("squares_of", low.At(i)).Add(msl.Call("squares_of", high.At(i)))))
		})
		mean := msl.Call("simd_sum", squares).Mul(one.Div(msl.Call("float", msl.Int(2*half))).Paren())
		k.add(msl.Let(constFloat, scale, msl.Call("rsqrt", mean.Add(msl.Float(norm.Attr.Eps)))))
	}
	pairs(func(i *msl.Value, a, b []affine) {
		if norm != nil {
			gamma := norm.Args[1]
			e.bind(norm.Results[0], a, e.define("normed", low.At(i).Mul(scale).Mul(e.at(gamma, a[2:]))))
			e.bind(norm.Results[0], b, e.define("normed", high.At(i).Mul(scale).Mul(e.at(gamma, b[2:]))))
		}
		for _, n := range p.Rotations(r.asked) {
			x := at[rotationOf(n)]
			e.bindTurn(n, t, a[2], e.define("cosine", e.shared(x.cosines, a[2])), e.define("sine", e.shared(x.sines, a[2])))
		}
		r.storeResults(e, &p, a)
	})
}
