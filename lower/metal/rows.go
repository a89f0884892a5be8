package metal

import (
	"fmt"

	"foundry/ir"
	"foundry/ir/dtype"
	choice "foundry/ir/kernel"
	"foundry/ir/sym"
	"foundry/ir/task"
	"foundry/lower/plan"
)

// lowerRows lowers rms_norm with what makes its operand and what follows: a
// threadgroup a row, whose threads keep the row in registers between the sum of
// squares and the result.
func (r *region) lowerRows(chosen choice.RowNorm) *lowering {
	norm, _ := r.asked.TheNorm() // cost has asked
	sums, gamma := task.NormOperands(norm)
	space, n, w := norm.Results[0].Type.Shape, chosen.Length, chosen.Width
	k := newKernel(kernelBase(r.name, norm.Results[0].Type), r.identity(plan.Rows))
	k.threads = chosen.Threads()
	simds, count := k.threads/32, (n/int64(w)+int64(k.threads)-1)/int64(k.threads)
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
	k.line("%s held[%d];", e.vec(), count)
	k.line("float squares = 0.0f;")
	k.phase("Prologue: the row and its sum of squares.")
	r.rowLoop(e, n, count, row, func(ix []affine) {
		e.report = onceAMatch(e, ix)
		x := e.at(norm.Args[0], ix)
		k.line("held[i] = %s;", x)
		if sums == nil {
			k.line("squares += squares_of(%s);", x)
		}
		for j, res := range r.g.Results {
			if !task.DependsOn(res.Value, func(m *ir.Node) bool { return m == norm }) {
				value := e.at(res.Value, ix)
				k.line("store%d(%s, %s);", w, e.target(j, ix), r.asStored(k, j, value))
			}
		}
	})
	if sums != nil {
		r.addSums(e, sums, row[:len(row)-1], "squares")
	}
	k.line("rms_partial(squares, %s, simd, lane);", partial)
	k.line("threadgroup_barrier(mem_flags::mem_threadgroup);")
	k.line("const float scale = rms_scale<%du, %du>(%s, %s);", simds, n, partial, floatText(norm.Attr.Eps))
	k.phase("Main and epilogue.")
	r.rowLoop(e, n, count, row, func(ix []affine) {
		e.bind(norm.Args[0], ix, "held[i]")
		e.bind(norm.Results[0], ix, e.define("normed", "held[i] * scale * %s", e.at(gamma, ix[len(ix)-1:])))
		for j, res := range r.g.Results {
			if task.DependsOn(res.Value, func(m *ir.Node) bool { return m == norm }) {
				value := e.at(res.Value, ix)
				k.line("store%d(%s, %s);", w, e.target(j, ix), r.asStored(k, j, value))
			}
		}
	})
	return alone(k)
}

// addSums adds the thread's share of a row of finished sums to a variable.
func (r *region) addSums(e *emitter, sums *ir.Value, row []affine, to string) {
	w := e.Width
	e.Width = 1
	count := sums.Type.Shape.At(-1).C
	j := e.k.fresh("part")
	end := e.k.each(j, count, e.k.threads, 1)
	done := e.scope()
	e.k.line("%s += %s;", to, e.at(sums, append(append([]affine(nil), row...), e.Know(j, count, 1))))
	done()
	end()
	e.Width = w
}

// rowIndex gives each threadgroup a row: the index of all dims but the last, and
// the grid that holds them.
func (r *region) rowIndex(e *emitter, space ir.Shape) []affine {
	ix, groups := e.RowOf(space, [...]string{"group.x", "group.y"})
	e.k.grid[0].N, e.k.grid[1].N = groups[0], groups[1]
	return ix
}

// rowLoop runs body for the i-th group of elements of a row that the thread owns.
func (r *region) rowLoop(e *emitter, n, count int64, row []affine, body func(ix []affine)) {
	k := e.k
	done := e.scope()
	defer done()
	k.line("FOUNDRY_UNROLL")
	k.open("for (uint i = 0u; i < %du; i++)", count)
	col := e.atom("column", fmt.Sprintf("(i * %du + thread_index) * %du", k.threads, e.Width), n, int64(e.Width))
	guarded := n%int64(k.threads*e.Width) != 0
	if guarded {
		k.open("if (%s < %du)", col.String(), n)
	}
	ix := append([]affine(nil), row...)
	ix[len(ix)-1] = col
	body(ix)
	if guarded {
		k.close()
	}
	k.close()
}

// lowerArgmax lowers argmax alone: parts of rows in many threadgroups, then a
// merge, which also moves the step on where the index is the plan's token.
func (r *region) lowerArgmax(chosen choice.Kernel) *lowering {
	n := r.g.Nodes()[0]
	if chosen, ok := chosen.(choice.ArgmaxRow); ok {
		return alone(r.argmaxRow(n, chosen))
	}
	return r.argmaxParts(n, chosen.(choice.ArgmaxParts))
}

// argmaxParts writes argmax n with a threadgroup a part of a row, and their merge.
func (r *region) argmaxParts(n *ir.Node, chosen choice.ArgmaxParts) *lowering {
	parts, rows := chosen.Parts(), n.Args[0].Type.Shape.At(0)
	k := newKernel(kernelBase("argmax_parts", n.Args[0].Type), r.identity(plan.Rows))
	k.threads = chosen.Threads()
	k.grid[0].N, k.grid[1].N = sym.Const(parts), rows
	k.param("N", int(chosen.Length))
	k.param("part", choice.ArgmaxPart)
	e := r.argmaxHead(k)
	begin := fmt.Sprintf("group.x * %du", choice.ArgmaxPart)
	r.argmaxOver(e, n, "group.y", begin, fmt.Sprintf("min(%s + %du, %du)", begin, choice.ArgmaxPart, chosen.Length), 8)
	values := k.slot(ref{refScratch, 0}, "part_best", "float", plan.Write)
	places := k.slot(ref{refScratch, 1}, "part_place", "uint", plan.Write)
	k.open("if (thread_index == 0u)")
	k.line("%s[group.y * %du + group.x] = best;", values, parts)
	k.line("%s[group.y * %du + group.x] = place;", places, parts)
	k.close()
	return r.withMerge(k, rows, parts, 0)
}

// argmaxOver finds the best of elements begin to end - 1 of a row of n's operand, with a
// threadgroup of so many simdgroups.
func (r *region) argmaxOver(e *emitter, n *ir.Node, row, begin, end string, simds int) {
	ix := []affine{e.Know(row, 0, 1), number(0)}
	x := e.pointer(n.Args[0], ix)
	_, from, _ := e.Address(n.Args[0], ix)
	e.k.line("argmax_part<%du, %t, %t>(%s, %s, %s, thread_index, best, place);", simds, e.Divides(4, from), r.token != tokenPlain, x, begin, end)
	e.argmaxMerge(simds)
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

func (r *region) argmaxHead(k *kernel) *emitter {
	k.use("main/argmax.metal")
	k.builtin(plan.ThreadgroupPosition)
	k.builtin(plan.ThreadIndex)
	k.builtin(plan.SimdgroupIndex)
	k.builtin(plan.LaneIndex)
	k.ready()
	k.line("float best;")
	k.line("uint place;")
	return newEmitter(k, r, 1)
}

// argmaxMerge leaves the best of the threadgroup's simdgroups in best and place.
func (e *emitter) argmaxMerge(simds int) {
	values := e.k.threadgroup("values", "float", 4*simds)
	places := e.k.threadgroup("places", "uint", 4*simds)
	e.k.line("argmax_group<%du>(best, place, %s, %s, simd, lane);", simds, values, places)
}

// argmaxFinish merges the parts of each row.
func (r *region) argmaxFinish(rows sym.Dim, parts int64, result int) *kernel {
	k := newKernel(fmt.Sprintf("argmax_merge_%d", parts), identity{plan.RowsMerge, "argmax"})
	k.label = "merge"
	k.threads = choice.ArgmaxMerge{Parts: parts, Largest: r.target.Limits.Threads}.Threads()
	k.grid[0].N = rows
	k.param("parts", int(parts))
	e := r.argmaxHead(k)
	values := k.slot(ref{refScratch, 0}, "part_best", "float", plan.Read)
	places := k.slot(ref{refScratch, 1}, "part_place", "uint", plan.Read)
	store := r.tokenOf(e, result)
	k.line("best = -INFINITY;")
	k.line("place = 0xffffffffu;")
	k.line("for (uint i = thread_index; i < %du; i += %du) argmax_take(best, place, %s[group.x * %du + i], %s[group.x * %du + i]);",
		parts, k.threads, values, parts, places, parts)
	e.argmaxMerge(k.threads / 32)
	store()
	return k
}

// tokenOf returns what stores the best place of row group.x as a result, which may be the
// plan's token.
func (r *region) tokenOf(e *emitter, result int) (store func()) {
	k := e.k
	token := k.slot(ref{refResult, result}, "token", "int", plan.Write)
	take := r.remember(k)
	return func() {
		k.open("if (thread_index == 0u)")
		if r.token != tokenPlain {
			k.use("epilogue/refuse.metal")
			k.open("if (!isfinite(best))")
			k.line("place = 0u;")
			k.line("refuse(%s, %du, group.x);", k.slot(ref{kind: refRefused}, "refused", "atomic_uint", plan.Write), plan.ErrLogits)
			k.close()
		}
		k.line("%s[group.x] = int(place);", token)
		take("int(place)")
		k.close()
	}
}
