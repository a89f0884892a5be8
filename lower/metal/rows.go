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

// rowNorm writes rms_norm with what makes its operand and what follows: a
// threadgroup a row, whose threads keep the row in registers between the sum of
// squares and the result.
func (r *region) rowNorm(chosen choice.RowNorm) *lowering {
	norm, _ := r.asked.TheNorm() // cost has asked
	sums, gamma := task.NormOperands(norm)
	space, n, w := norm.Results[0].Type.Shape, chosen.Length, chosen.Width
	k := newKernel(kernelBase(r.name, norm.Results[0].Type), r.identity(plan.Rows))
	k.threads = chosen.Threads()
	simds := k.threads / 32
	count, _ := choice.TurnsOf(n, k.threads, w)
	k.param("N", int(n))
	k.param("width", w)
	k.use("prologue/rms_norm.metal", "common/load.metal")
	k.builtin(plan.ThreadgroupPosition)
	k.builtin(plan.ThreadIndex)
	k.builtin(plan.SimdgroupIndex)
	k.builtin(plan.LaneIndex)
	partial := k.threadgroup("partial", "float", 4*simds)
	k.ready()
	e := newEmitter(k, r, w)
	row := r.rowIndex(e, space)
	held := k.array(e.vec(), "held", u(count))
	squares := k.let(floatType, "squares", zero)
	// store writes the results that need the norm, or those that do not.
	store := func(ix []affine, behind bool) {
		for j, res := range r.g.Results {
			if task.DependsOn(res.Value, func(m *ir.Node) bool { return m == norm }) == behind {
				value := e.at(res.Value, ix)
				to := e.target(j, ix)
				k.add(storing(w, to, r.asStored(k, j, value)))
			}
		}
	}
	k.phase("Prologue: the row and its sum of squares.")
	r.rowLoop(e, n, count, row, func(i *msl.Value, ix []affine) {
		e.report = onceAMatch(e, ix)
		x := e.at(norm.Args[0], ix)
		k.add(msl.Set(held.At(i), x))
		if sums == nil {
			k.add(msl.Raise(squares, msl.Call("squares_of", x)))
		}
		store(ix, false)
	})
	if sums != nil {
		r.addSums(e, sums, row[:len(row)-1], squares)
	}
	k.do(msl.Call("rms_partial", squares, partial, simd, lane))
	k.barrier()
	scale := k.let(constFloat, "scale", msl.Of("rms_scale", u(simds), u(n)).Call(partial, msl.Float(norm.Attr.Eps)))
	k.phase("Main and epilogue.")
	r.rowLoop(e, n, count, row, func(i *msl.Value, ix []affine) {
		e.bind(norm.Args[0], ix, held.At(i))
		e.bind(norm.Results[0], ix, e.define("normed", held.At(i).Mul(scale).Mul(e.at(gamma, ix[len(ix)-1:]))))
		store(ix, true)
	})
	return alone(k)
}

// addSums adds the thread's share of a row of finished sums to a variable.
func (r *region) addSums(e *emitter, sums *ir.Value, row []affine, to *msl.Value) {
	w := e.Width
	e.Width = 1
	count := sums.Type.Shape.At(-1).C
	e.k.each(e.k.fresh("part"), count, e.k.threads, 1, func(i, _ *msl.Value) {
		defer e.scope()()
		e.k.add(msl.Raise(to, e.at(sums, append(append([]affine(nil), row...), e.know(i, count, 1)))))
	})
	e.Width = w
}

// rowIndex gives each threadgroup a row: the index of all dims but the last, and
// the grid that holds them.
func (r *region) rowIndex(e *emitter, space ir.Shape) []affine {
	ix, groups := e.RowOf(space)
	e.k.grid[0].N, e.k.grid[1].N = groups[0], groups[1]
	return ix
}

// rowLoop runs body for the i-th group of elements of a row that the thread owns.
func (r *region) rowLoop(e *emitter, n, count int64, row []affine, body func(i *msl.Value, ix []affine)) {
	k := e.k
	defer e.scope()()
	k.unroll()
	k.loop("i", u(0), u(count), nil, func(i *msl.Value) {
		col := e.atom("column", i.Mul(u(k.threads)).Add(thread).Mul(u(e.Width)), n, int64(e.Width))
		ix := append([]affine(nil), row...)
		ix[len(ix)-1] = col
		if n%int64(k.threads*e.Width) == 0 {
			body(i, ix)
			return
		}
		k.when(k.index(col).Less(u(n)), func() { body(i, ix) })
	})
}

// argmaxParts writes argmax alone with a threadgroup a part of a row, and their merge, which
// also moves the step on where the index is the plan's token.
func (r *region) argmaxParts(chosen choice.ArgmaxParts) *lowering {
	n := r.g.Nodes()[0]
	parts, rows := chosen.Parts(), n.Args[0].Type.Shape.At(0)
	k := newKernel(kernelBase("argmax_parts", n.Args[0].Type), r.identity(plan.Rows))
	k.threads = chosen.Threads()
	k.grid[0].N, k.grid[1].N = sym.Const(parts), rows
	k.param("N", int(chosen.Length))
	k.param("part", choice.ArgmaxPart)
	e, b := r.argmaxHead(k)
	begin := groupX.Mul(u(choice.ArgmaxPart))
	r.argmaxOver(e, b, n, groupY, begin, msl.Min(begin.Add(u(choice.ArgmaxPart)), u(chosen.Length)), k.threads/32)
	b.storePart(k, groupY.Mul(u(parts)).Add(groupX))
	return r.withMerge(k, rows, parts, 0)
}

// best is the variables of the largest value so far, and of its place.
type best struct{ value, place *msl.Value }

// newBest declares what is not set yet; noBest has it be below all values.
func (k *kernel) newBest() best {
	b := best{msl.Variable("best"), msl.Variable("place")}
	k.add(msl.Array(floatType, b.value, nil), msl.Array(uintType, b.place, nil))
	return b
}

var (
	leastValue = msl.Name("-INFINITY")
	noPlace    = msl.Name("0xffffffffu")
)

func (k *kernel) noBest() best {
	return best{k.let(floatType, "best", leastValue), k.let(uintType, "place", noPlace)}
}

// storePart leaves the best as part at for the merge.
func (b best) storePart(k *kernel, at *msl.Value) {
	values := k.slot(ref{refScratch, 0}, "part_best", "float", plan.Write)
	places := k.slot(ref{refScratch, 1}, "part_place", "uint", plan.Write)
	k.when(thread.Equal(u(0)), func() { k.add(msl.Set(values.At(at), b.value), msl.Set(places.At(at), b.place)) })
}

// argmaxOver finds the best of elements begin to end - 1 of a row of n's operand, with a
// threadgroup of so many simdgroups.
func (r *region) argmaxOver(e *emitter, b best, n *ir.Node, row, begin, end *msl.Value, simds int) {
	ix := []affine{e.know(row, 0, 1), number(0)}
	x := e.pointer(n.Args[0], ix)
	_, from, _ := e.Address(n.Args[0], ix)
	part := msl.Of("argmax_part", u(simds), msl.Bool(e.Divides(4, from)), msl.Bool(r.token != tokenPlain))
	e.k.do(part.Call(x, begin, end, thread, b.value, b.place))
	e.argmaxMerge(b, simds)
}

// withMerge adds the kernel that merges the parts that k leaves of each row.
func (r *region) withMerge(k *kernel, rows sym.Dim, parts int64, result int) *lowering {
	merge := r.argmaxFinish(rows, parts, result)
	divideNodes(r, k, merge, r.g.Results[result].Value.Def)
	return &lowering{kernels: []*kernel{k, merge}, scratch: []scratch{
		{"part_best", ir.TypeOf(dtype.F32, rows, sym.Const(parts))},
		{"part_place", ir.TypeOf(dtype.I32, rows, sym.Const(parts))},
	}}
}

func (r *region) argmaxHead(k *kernel) (*emitter, best) {
	k.use("main/argmax.metal")
	k.builtin(plan.ThreadgroupPosition)
	k.builtin(plan.ThreadIndex)
	k.builtin(plan.SimdgroupIndex)
	k.builtin(plan.LaneIndex)
	k.ready()
	return newEmitter(k, r, 1), k.newBest()
}

// argmaxMerge leaves the best of the threadgroup's simdgroups in b.
func (e *emitter) argmaxMerge(b best, simds int) {
	values := e.k.threadgroup("values", "float", 4*simds)
	places := e.k.threadgroup("places", "uint", 4*simds)
	e.k.do(msl.Of("argmax_group", u(simds)).Call(b.value, b.place, values, places, simd, lane))
}

// argmaxFinish merges the parts of each row.
func (r *region) argmaxFinish(rows sym.Dim, parts int64, result int) *kernel {
	k := newKernel(fmt.Sprintf("argmax_merge_%d", parts), identity{plan.RowsMerge, "argmax"})
	k.label = "merge"
	k.threads = choice.ArgmaxMerge{Parts: parts, Largest: r.target.Limits.Threads}.Threads()
	k.grid[0].N = rows
	k.param("parts", int(parts))
	e, b := r.argmaxHead(k)
	values := k.slot(ref{refScratch, 0}, "part_best", "float", plan.Read)
	places := k.slot(ref{refScratch, 1}, "part_place", "uint", plan.Read)
	store := r.tokenOf(e, result)
	k.add(msl.Set(b.value, leastValue), msl.Set(b.place, noPlace))
	k.mergeBest(b, parts, func(i *msl.Value) (value, place *msl.Value) {
		at := groupX.Mul(u(parts)).Add(i)
		return values.At(at), places.At(at)
	})
	e.argmaxMerge(b, k.threads/32)
	store(b)
	return k
}

// mergeBest takes the best of parts into b, of which each thread has some.
func (k *kernel) mergeBest(b best, parts int64, part func(i *msl.Value) (value, place *msl.Value)) {
	i := msl.Variable("i")
	value, place := part(i)
	take := &msl.Do{Call: msl.Call("argmax_take", b.value, b.place, value, place)}
	k.add(&msl.For{Variable: i, From: thread, Below: u(parts), Step: u(k.threads), Body: []msl.Statement{take}, Line: true})
}

// tokenOf returns what stores the best place of row group.x as a result, which may be the
// plan's token.
func (r *region) tokenOf(e *emitter, result int) (store func(b best)) {
	k := e.k
	token := k.slot(ref{refResult, result}, "token", "int", plan.Write)
	take := r.remember(k)
	return func(b best) {
		k.when(thread.Equal(u(0)), func() {
			if r.token != tokenPlain {
				k.refuseLogits(b.value, b.place, groupX)
			}
			place := msl.Call("int", b.place)
			k.add(msl.Set(token.At(groupX), place))
			take(place)
		})
	}
}

// refuseLogits refuses the step where the best of a row's logits is no number.
func (k *kernel) refuseLogits(best, place, row *msl.Value) {
	k.use("epilogue/refuse.metal")
	k.when(msl.Call("isfinite", best).Not(), func() {
		k.add(msl.Set(place, u(0)))
		k.do(msl.Call("refuse", k.refused(), u(plan.ErrLogits), row))
	})
}
