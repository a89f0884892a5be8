package metal

import (
	"fmt"

	"foundry/ir/cost"
	"foundry/ir/sym"
	"foundry/ir/task"
	"foundry/lower/plan"
)

// lowerHeads lowers norms of heads and the rotation behind them: a threadgroup a
// position, which computes the turn of each pair once, and whose simdgroups take heads in
// turns. Lanes keep the pairs of a head in registers between its sum of squares and the
// results; heads beside them that have no norm, such as values, move along.
func (r *region) lowerHeads() *lowering {
	parts := task.ElementsOf(r.asked)
	k := newKernel(kernelBase(r.name, r.g.Results[0].Value.Type), r.identity(plan.Rows))
	chosen := cost.HeadsOf(parts, r.target)
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
		t = e.Know("group.x", positions.Max(r.g.Bounds), 1)
	}
	at := r.turnsOnce(e, parts, t)
	k.phase("Main: a head a simdgroup.")
	k.open("for (uint each = simd; each < %du; each += %du)", heads, simds)
	begin := int64(0)
	for i, p := range parts {
		n := p.Space.Dims[0].C
		head := e.Know("each", heads, 1)
		switch {
		case len(parts) == 1:
		case i == 0:
			k.open("if (each < %du)", n)
		default:
			k.open("else if (each < %du)", begin+n)
			head = e.atom("head", fmt.Sprintf("each - %du", begin), n, 1)
		}
		r.turnHead(e, p, head, t, at)
		if len(parts) > 1 {
			k.close()
		}
		begin += n
	}
	k.close()
	return alone(k)
}

// turnHead writes one head of a part at position t: the norm that stands before its
// rotation, if one does, and the results.
func (r *region) turnHead(e *emitter, p task.Elements, head, t affine, at map[string]turns) {
	k, half := e.k, p.Space.Dims[2].C/2
	norm, _ := r.asked.HeadNormOf(&p) // cost has asked
	// pairs calls body for each pair of the lane, with the indices of its two elements.
	pairs := func(body func(low, high []affine)) {
		defer e.scope()()
		rounds := (half + 31) / 32
		k.line("FOUNDRY_UNROLL")
		k.open("for (uint i = 0u; i < %du; i++)", rounds)
		pair := e.atom("pair", "lane + i * 32u", half, 1)
		if half%32 != 0 {
			k.open("if (%s < %du)", pair.String(), half)
		}
		body([]affine{head, t, pair}, []affine{head, t, pair.Plus(half)})
		if half%32 != 0 {
			k.close()
		}
		k.close()
	}
	low, high, scale := k.fresh("low"), k.fresh("high"), k.fresh("scale")
	if norm != nil {
		squares := k.fresh("squares")
		k.line("float %s[%d], %s[%d];", low, (half+31)/32, high, (half+31)/32)
		k.line("float %s = 0.0f;", squares)
		pairs(func(a, b []affine) {
			k.line("%s[i] = %s;", low, e.at(norm.Args[0], a))
			k.line("%s[i] = %s;", high, e.at(norm.Args[0], b))
			k.line("%s += squares_of(%s[i]) + squares_of(%s[i]);", squares, low, high)
		})
		k.line("const float %s = rsqrt(simd_sum(%s) * (1.0f / float(%d)) + %s);", scale, squares, 2*half, floatText(norm.Attr.Eps))
	}
	pairs(func(a, b []affine) {
		if norm != nil {
			gamma := norm.Args[1]
			e.bind(norm.Results[0], a, e.define("normed", "%s[i] * %s * %s", low, scale, e.at(gamma, a[2:])))
			e.bind(norm.Results[0], b, e.define("normed", "%s[i] * %s * %s", high, scale, e.at(gamma, b[2:])))
		}
		for _, n := range p.Rotations(r.asked) {
			x := at[e.turnKey(n, t, number(0))]
			e.bindTurn(n, t, a[2], e.define("cosine", "%s", e.shared(x.cosines, a[2])), e.define("sine", "%s", e.shared(x.sines, a[2])))
		}
		r.storeResults(e, &p, a)
	})
}
