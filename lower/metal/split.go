package metal

import (
	"fmt"

	"foundry/ir"
	"foundry/ir/dtype"
	choice "foundry/ir/kernel"
	"foundry/ir/sym"
	"foundry/lower/msl"
	"foundry/lower/plan"
)

// lowerParts lowers attention to two kernels: parts of the cache in a threadgroup
// each, and their merge.
func (a *attention) lowerParts(chosen choice.AttentionRows) *lowering {
	parts, scratch := a.parts(chosen)
	merge := a.merge()
	divideNodes(a.r, parts, merge, a.Weighted)
	return &lowering{kernels: []*kernel{parts, merge}, scratch: scratch}
}

// mergedRows writes attention and the product that takes its result: parts of the cache,
// then the product, whose prologue merges them.
func (r *region) mergedRows(chosen choice.MergedRows) *lowering {
	a := r.attention()
	parts, between := a.parts(chosen.Keys)
	r.inParts = a
	g := r.product()
	g.ProductRows = chosen.ProductRows
	merge := g.emit()
	merge.label = "merge"
	divideFlops(r, parts, merge)
	divideNodes(r, parts, merge, a.Weighted)
	return &lowering{kernels: []*kernel{parts, merge}, scratch: between}
}

// parts writes the kernel of the parts; their number follows from the target and
// the longest context, so that the grid is a constant.
func (a *attention) parts(chosen choice.AttentionRows) (*kernel, []scratch) {
	return a.emit(chosen), []scratch{
		{"part_values", ir.TypeOf(dtype.F32, sym.Const(a.Heads), a.Rows, sym.Const(a.Parts), sym.Const(a.Dim))},
		{"part_states", ir.TypeOf(dtype.F32, sym.Const(a.Heads), a.Rows, sym.Const(a.Parts), sym.Const(2))},
	}
}

// cutKeys declares the first key of the threadgroup's part, of those that are visible, and
// the count of keys in it. A part behind the last key ends at once and leaves nothing.
func (a *attention) cutKeys(k *kernel, visible *msl.Value) (begin, count *msl.Value) {
	k.grid[2].N = sym.Const(a.Parts)
	k.param("parts", int(a.Parts))
	k.phase("The keys of this part.")
	seen := k.let(constUint, "seen", visible)
	share := k.let(constUint, "share", a.share(seen))
	begin = k.let(constUint, "begin", groupZ.Mul(share))
	k.add(msl.When(begin.Least(seen), &msl.Return{}))
	return begin, k.let(constUint, "count", msl.Min(share, seen.Sub(begin)))
}

// share is how many of the keys that a row sees a part has.
func (a *attention) share(seen *msl.Value) *msl.Value {
	return msl.Call("max", u(choice.LeastKeys), seen.Add(u(a.Parts-1)).Div(u(a.Parts)))
}

// partOffset returns which part of all parts that of head h, row t is, its first
// where part is zero.
func (a *attention) partOffset(h, t affine, part affine) affine {
	row, _ := h.Times(a.Rows.Poly())
	at, _ := row.Add(t).Times(sym.Poly{C: a.Parts})
	return at.Add(part)
}

// storeParts stores the part's weighted sum, maximum and sum of weights.
func (a *attention) storeParts(e *emitter, h, t affine, merged []*msl.Value) {
	k := e.k
	peak, total := msl.Variable("peak"), msl.Variable("total")
	k.add(&msl.Declare{Type: floatType, Of: []msl.Declared{{Variable: peak}, {Variable: total}}})
	value := k.let(constFloat, "value", a.gathered(k, "attention_gather", append(merged, peak, total)))
	part := a.partOffset(h, t, e.know(groupZ, a.Parts, 1))
	values := k.slot(ref{refScratch, 0}, "part_values", "float", plan.Write)
	states := k.slot(ref{refScratch, 1}, "part_states", "float", plan.Write)
	at, _ := part.Times(sym.Poly{C: a.Dim})
	pair, _ := part.Times(sym.Poly{C: 2})
	k.phase("Epilogue: what the merge needs of the part.")
	d := k.let(constUint, "d", simd.Mul(u(32)).Add(lane))
	k.add(msl.When(d.Less(u(a.Dim)), msl.Set(values.At(k.index(at.Add(e.know(d, 0, 1)))), value)))
	k.when(d.Equal(u(0)), func() {
		k.add(msl.Set(states.At(k.index(pair)), peak), msl.Set(states.At(k.index(pair.Plus(1))), total))
	})
}

// merge writes the kernel that makes the result from the parts.
func (a *attention) merge() *kernel {
	k := newKernel(fmt.Sprintf("attention_merge_%dx%dx%d", a.Parts, a.Heads, a.Dim), identity{plan.AttentionMerge, "attention"})
	k.label = "merge"
	k.threads = choice.MergeThreads(a.Dim)
	k.grid[0].N, k.grid[1].N = sym.Const(a.Heads), a.Rows
	k.use("common/load.metal")
	k.builtin(plan.ThreadgroupPosition)
	k.builtin(plan.ThreadIndex)
	k.ready()
	e := newEmitter(k, a.r, 1)
	h, t := e.know(groupX, a.Heads, 1), number(0)
	if a.Rows != sym.Const(1) {
		t = e.know(groupY, 0, 1)
	}
	k.when(thread.Less(u(a.Dim)), func() {
		d := e.know(thread, a.Dim, 1)
		value := a.mergedParts(e, h, t, d)
		to := a.target(e, []affine{h, t, d})
		k.add(storing(1, to, a.r.asStored(k, 0, value)))
	})
	return k
}

// mergedParts returns elements d and on of head h, row t, made from the
// parts.
func (a *attention) mergedParts(e *emitter, h, t, d affine) *msl.Value {
	k := e.k
	k.use("prologue/attention_parts.metal")
	values := k.slot(ref{refScratch, 0}, "part_values", "float", plan.Read)
	states := k.slot(ref{refScratch, 1}, "part_states", "float", plan.Read)
	part := a.partOffset(h, t, number(0))
	at, _ := part.Times(sym.Poly{C: a.Dim})
	pair, _ := part.Times(sym.Poly{C: 2})
	all := place{what: theParts, at: []affine{t}}
	used := e.holds(all)
	if used == nil {
		name := k.fresh("seen")
		share := k.fresh("share_of_keys")
		seen := k.let(constUint, name, a.visible(k, t))
		each := k.let(constUint, share, a.share(seen))
		used = k.let(constUint, k.fresh("used"), seen.Add(each).Sub(u(1)).Div(each))
		e.hold(all, used)
	}
	merged := msl.Of(fmt.Sprintf("merged%d", e.Width), u(a.Parts), u(a.Dim))
	return e.define("attended", merged.Call(k.plus(values, at.Add(d)), k.plus(states, pair), used))
}
