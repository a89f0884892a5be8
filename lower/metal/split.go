package metal

import (
	"fmt"

	"foundry/ir"
	"foundry/ir/cost"
	"foundry/ir/dtype"
	choice "foundry/ir/kernel"
	"foundry/ir/sym"
	"foundry/ir/task"
	"foundry/lower/msl"
	"foundry/lower/plan"
)

// partTokens is the least number of keys that a part of the cache is given: with
// fewer, parts are left without keys and end at once.
const partTokens = 256

// lowerParts lowers attention to two kernels: parts of the cache in a threadgroup
// each, and their merge.
func (a *attention) lowerParts(chosen choice.AttentionRows) *lowering {
	parts, scratch := a.parts(chosen)
	merge := a.merge()
	divideNodes(a.r, parts, merge, a.Weighted)
	return &lowering{kernels: []*kernel{parts, merge}, scratch: scratch}
}

// lowerSplitProjection lowers attention and the product that takes its result:
// parts of the cache, then the product, whose prologue merges them.
func (r *region) lowerSplitProjection(product choice.ProductRows) *lowering {
	a := r.attention()
	chosen, _ := cost.PartsOf(a.Attention, r.target) // cost has asked
	parts, between := a.parts(chosen)
	r.inParts = a
	merge := r.lowerProduct(product).kernels[0]
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

// cutKeys moves the keys and values to the threadgroup's part and returns the
// count of keys in it. A part behind the last key ends at once and leaves nothing.
func (a *attention) cutKeys(k *kernel, kp, ks, vp, vs, visible string) (keys, values, count string) {
	k.grid[2].N = sym.Const(a.Parts)
	k.param("parts", int(a.Parts))
	k.phase("The keys of this part.")
	k.line("const uint seen = %s;", visible)
	k.line("const uint share = %s;", a.share("seen"))
	k.line("const uint begin = group.z * share;")
	k.line("if (begin >= seen) return;")
	k.line("const uint count = min(share, seen - begin);")
	return fmt.Sprintf("%s + begin * (%s)", kp, ks), fmt.Sprintf("%s + begin * (%s)", vp, vs), "count"
}

// share is how many of the keys that a row sees a part has.
func (a *attention) share(seen string) string {
	return fmt.Sprintf("max(%du, (%s + %du) / %du)", partTokens, seen, a.Parts-1, a.Parts)
}

// partOffset returns which part of all parts that of head h, row t is, its first
// where part is zero.
func (a *attention) partOffset(h, t affine, part affine) affine {
	row, _ := h.Times(a.Rows.Poly())
	at, _ := row.Add(t).Times(sym.Poly{C: a.Parts})
	return at.Add(part)
}

// storeParts stores the part's weighted sum, maximum and sum of weights.
func (a *attention) storeParts(e *emitter, h, t affine, shared *msl.Value) {
	k := e.k
	k.line("float peak, total;")
	k.line("const float value = %s;", times(raw("attention_gather<%du, %du, %du, %du>(top, sum, acc, %s, simd, lane, peak, total)", a.Dim, a.Lanes, a.Width, a.Simdgroups, shared), a.r.readUp(k, a.Weighted.Args[1])))
	part := a.partOffset(h, t, e.Know("group.z", a.Parts, 1))
	values := k.slot(ref{refScratch, 0}, "part_values", "float", plan.Write)
	states := k.slot(ref{refScratch, 1}, "part_states", "float", plan.Write)
	at, _ := part.Times(sym.Poly{C: a.Dim})
	pair, _ := part.Times(sym.Poly{C: 2})
	k.phase("Epilogue: what the merge needs of the part.")
	k.line("const uint d = simd * 32u + lane;")
	k.line("if (d < %du) %s[%s] = value;", a.Dim, values, k.text(at.Add(variable("d"))))
	k.open("if (d == 0u)")
	k.line("%s[%s] = peak;", states, k.text(pair))
	k.line("%s[%s] = total;", states, k.text(pair.Plus(1)))
	k.close()
}

// merge writes the kernel that makes the result from the parts.
func (a *attention) merge() *kernel {
	k := newKernel(fmt.Sprintf("attention_merge_%dx%dx%d", a.Parts, a.Heads, a.Dim), identity{plan.AttentionMerge, "attention"})
	k.label = "merge"
	k.threads = int((a.Dim + 31) / 32 * 32)
	k.grid[0].N, k.grid[1].N = sym.Const(a.Heads), a.Rows
	k.use("common/load.metal")
	k.builtin(plan.ThreadgroupPosition)
	k.builtin(plan.ThreadIndex)
	k.ready()
	e := newEmitter(k, a.r, 1)
	h, t := e.Know("group.x", a.Heads, 1), number(0)
	if a.Rows != sym.Const(1) {
		t = e.Know("group.y", 0, 1)
	}
	k.open("if (thread_index < %du)", a.Dim)
	d := e.Know("thread_index", a.Dim, 1)
	value := a.mergedParts(e, h, t, d)
	k.line("store1(%s, %s);", a.target(e, []affine{h, t, d}), a.r.asStored(k, 0, value))
	k.close()
	return k
}

// mergedParts returns the name of elements d and on of head h, row t, made from the
// parts.
func (a *attention) mergedParts(e *emitter, h, t, d affine) *msl.Value {
	k := e.k
	k.use("prologue/attention_parts.metal")
	values := k.slot(ref{refScratch, 0}, "part_values", "float", plan.Read)
	states := k.slot(ref{refScratch, 1}, "part_states", "float", plan.Read)
	part := a.partOffset(h, t, number(0))
	at, _ := part.Times(sym.Poly{C: a.Dim})
	pair, _ := part.Times(sym.Poly{C: 2})
	all := place{what: theParts, at: task.Key(t)}
	used := e.bound[all]
	if used == nil {
		seen, share := k.fresh("seen"), k.fresh("share_of_keys")
		k.line("const uint %s = %s;", seen, a.visible(k, t))
		k.line("const uint %s = %s;", share, a.share(seen))
		used = msl.Variable(k.fresh("used"))
		k.line("const uint %s = (%s + %s - 1u) / %s;", used, seen, share, share)
		e.bound[all] = used
	}
	merged := msl.Of(fmt.Sprintf("merged%d", e.Width), u(a.Parts), u(a.Dim))
	return e.define("attended", merged.Call(k.plus(values, at.Add(d)), k.plus(states, pair), used))
}
