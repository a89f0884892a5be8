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
func (r *region) lowerRows() (*lowering, error) {
	return r.oneOf(func(k choice.Kernel) (*lowering, error) { return alone(r.rows(k.(choice.RowNorm).Width)) })
}

func (r *region) rows(w int) (*kernel, error) {
	norms := append(r.nodes(ir.OpRMSNorm), r.nodes(ir.OpRMSScale)...)
	if len(norms) != 1 {
		return nil, fmt.Errorf("%d norms do not share a kernel", len(norms))
	}
	norm := norms[0]
	sums, gamma := normOperands(norm)
	space := norm.Results[0].Type.Shape
	n, ok := space.At(-1).Const()
	if !ok || n%int64(w) != 0 {
		return nil, fmt.Errorf("rows of %s do not split into %d", space, w)
	}
	for _, res := range r.g.Results {
		if task.Walked(res.Value) != space {
			return nil, fmt.Errorf("a result of %s beside a norm of %s", res.Value.Type, space)
		}
	}
	k := newKernel(kernelBase(r.name, norm.Results[0].Type), r.identity(plan.Rows))
	k.threads = choice.RowNorm{Length: n, Width: w}.Threads()
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
	row, err := r.rowIndex(e, space)
	if err != nil {
		return nil, err
	}
	k.line("%s held[%d];", e.vec(), count)
	k.line("float squares = 0.0f;")
	k.phase("Prologue: the row and its sum of squares.")
	err = r.rowLoop(e, n, count, row, func(ix []affine) {
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
	if err == nil && sums != nil {
		err = r.addSums(e, sums, row[:len(row)-1], "squares")
	}
	if err != nil {
		return nil, err
	}
	k.line("rms_partial(squares, %s, simd, lane);", partial)
	k.line("threadgroup_barrier(mem_flags::mem_threadgroup);")
	k.line("const float scale = rms_scale<%du, %du>(%s, %s);", simds, n, partial, floatText(norm.Attr.Eps))
	k.phase("Main and epilogue.")
	err = r.rowLoop(e, n, count, row, func(ix []affine) {
		e.bind(norm.Args[0], ix, "held[i]")
		e.bind(norm.Results[0], ix, e.define("normed", "held[i] * scale * %s", e.at(gamma, ix[len(ix)-1:])))
		for j, res := range r.g.Results {
			if task.DependsOn(res.Value, func(m *ir.Node) bool { return m == norm }) {
				value := e.at(res.Value, ix)
				k.line("store%d(%s, %s);", w, e.target(j, ix), r.asStored(k, j, value))
			}
		}
	})
	if err != nil {
		return nil, err
	}
	return k, nil
}

// normOperands returns the finished sums of squares that a norm takes, nil for
// rms_norm, which makes its own, and the weight.
func normOperands(n *ir.Node) (sums, gamma *ir.Value) {
	if n.Op == ir.OpRMSScale {
		return n.Args[1], n.Args[2]
	}
	return nil, n.Args[1]
}

// addSums adds the thread's share of a row of finished sums to a variable.
func (r *region) addSums(e *emitter, sums *ir.Value, row []affine, to string) error {
	w := e.w
	e.w = 1
	defer func() { e.w = w }()
	count, ok := sums.Type.Shape.At(-1).Const()
	if !ok {
		return fmt.Errorf("sums of %s", sums.Type)
	}
	j := e.k.fresh("part")
	end := e.k.each(j, count, e.k.threads, 1)
	done := e.scope()
	e.k.line("%s += %s;", to, e.at(sums, append(append([]affine(nil), row...), e.know(j, count, 1))))
	done()
	end()
	return e.err
}

// rowIndex gives each threadgroup a row: the index of all dims but the last, and
// the grid that holds them.
func (r *region) rowIndex(e *emitter, space ir.Shape) ([]affine, error) {
	ix := make([]affine, space.Rank)
	d, axis := int(space.Rank)-2, 0
	for _, name := range []string{"group.x", "group.y"} {
		if d < 0 {
			break
		}
		count := space.Dims[d]
		lo := d
		for lo > 0 {
			n, ok := sym.Mul(count, space.Dims[lo-1])
			if !ok || axis == 0 && count.IsConst() != n.IsConst() && !count.IsConst() {
				break
			}
			lo, count = lo-1, n
		}
		e.k.grid[axis].N = count
		rest := e.know(name, count.Max(r.g.Bounds), 1)
		for ; d > lo; d-- {
			rest, ix[d] = e.split(rest, space.Dims[d], "index")
		}
		ix[d] = rest
		d, axis = lo-1, axis+1
	}
	if d >= 0 {
		return nil, fmt.Errorf("rows of %s have too many symbols for a grid", space)
	}
	return ix, e.err
}

// rowLoop runs body for the i-th group of elements of a row that the thread owns.
func (r *region) rowLoop(e *emitter, n, count int64, row []affine, body func(ix []affine)) error {
	k := e.k
	done := e.scope()
	defer done()
	k.line("FOUNDRY_UNROLL")
	k.open("for (uint i = 0u; i < %du; i++)", count)
	col := e.atom("column", fmt.Sprintf("(i * %du + thread_index) * %du", k.threads, e.w), n, int64(e.w))
	guarded := n%int64(k.threads*e.w) != 0
	if guarded {
		k.open("if (%s < %du)", col.text(), n)
	}
	ix := append([]affine(nil), row...)
	ix[len(ix)-1] = col
	body(ix)
	if guarded {
		k.close()
	}
	k.close()
	return e.err
}

// lowerArgmax lowers argmax alone: parts of rows in many threadgroups, then a
// merge, which also moves the step on where the index is the plan's token.
func (r *region) lowerArgmax() (*lowering, error) {
	if len(r.g.Nodes()) != 1 {
		return nil, fmt.Errorf("argmax shares no kernel with %s", r.g.Nodes()[0].Op)
	}
	n := r.g.Nodes()[0]
	in := n.Args[0].Type.Shape
	if !in.At(1).IsConst() {
		return nil, fmt.Errorf("argmax of rows of %s", in.At(1))
	}
	return r.oneOf(func(chosen choice.Kernel) (*lowering, error) {
		if chosen, ok := chosen.(choice.ArgmaxRow); ok {
			return alone(r.argmaxRow(n, chosen))
		}
		return r.argmaxParts(n, chosen.(choice.ArgmaxParts))
	})
}

// argmaxParts writes argmax n with a threadgroup a part of a row, and their merge.
func (r *region) argmaxParts(n *ir.Node, chosen choice.ArgmaxParts) (*lowering, error) {
	parts, rows := chosen.Parts(), n.Args[0].Type.Shape.At(0)
	k := newKernel(kernelBase("argmax_parts", n.Args[0].Type), r.identity(plan.Rows))
	k.threads = chosen.Threads()
	k.grid[0].N, k.grid[1].N = sym.Const(parts), rows
	k.param("N", int(chosen.Length))
	k.param("part", choice.ArgmaxPart)
	e := r.argmaxHead(k)
	begin := fmt.Sprintf("group.x * %du", choice.ArgmaxPart)
	if err := r.argmaxOver(e, n, "group.y", begin, fmt.Sprintf("min(%s + %du, %du)", begin, choice.ArgmaxPart, chosen.Length), 8); err != nil {
		return nil, err
	}
	values := k.slot(ref{refScratch, 0}, "part_best", "float", plan.Write)
	places := k.slot(ref{refScratch, 1}, "part_place", "uint", plan.Write)
	k.open("if (thread_index == 0u)")
	k.line("%s[group.y * %du + group.x] = best;", values, parts)
	k.line("%s[group.y * %du + group.x] = place;", places, parts)
	k.close()
	if e.err != nil {
		return nil, e.err
	}
	return r.withMerge(k, rows, parts, 0)
}

// argmaxOver finds the best of elements begin to end - 1 of a row of n's operand, with a
// threadgroup of so many simdgroups.
func (r *region) argmaxOver(e *emitter, n *ir.Node, row, begin, end string, simds int) error {
	x, ok := e.pointer(n.Args[0], []affine{e.know(row, 0, 1), number(0)})
	if !ok {
		return fmt.Errorf("the operand of argmax is computed in the region")
	}
	_, from, _ := e.address(n.Args[0], []affine{variable(row), number(0)})
	e.k.line("argmax_part<%du, %t, %t>(%s, %s, %s, thread_index, best, place);", simds, e.divides(4, from), r.token != tokenPlain, x, begin, end)
	e.argmaxMerge(simds)
	return nil
}

// withMerge adds the kernel that merges the parts that k leaves of each row.
func (r *region) withMerge(k *kernel, rows sym.Dim, parts int64, result int) (*lowering, error) {
	merge, err := r.argmaxFinish(rows, parts, result)
	if err != nil {
		return nil, err
	}
	divideNodes(r, k, merge, r.g.Results[result].Value.Def)
	return &lowering{kernels: []*kernel{k, merge}, scratch: []scratch{
		{"part_best", ir.TypeOf(dtype.F32, rows, sym.Const(parts))},
		{"part_place", ir.TypeOf(dtype.I32, rows, sym.Const(parts))},
	}}, nil
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
func (r *region) argmaxFinish(rows sym.Dim, parts int64, result int) (*kernel, error) {
	k := newKernel(fmt.Sprintf("argmax_merge_%d", parts), identity{plan.RowsMerge, "argmax"})
	k.label = "merge"
	k.threads = choice.ArgmaxMerge{Parts: parts, Largest: r.target.Limits.Threads}.Threads()
	k.grid[0].N = rows
	k.param("parts", int(parts))
	e := r.argmaxHead(k)
	values := k.slot(ref{refScratch, 0}, "part_best", "float", plan.Read)
	places := k.slot(ref{refScratch, 1}, "part_place", "uint", plan.Read)
	store, err := r.tokenOf(e, rows, result)
	if err != nil {
		return nil, err
	}
	k.line("best = -INFINITY;")
	k.line("place = 0xffffffffu;")
	k.line("for (uint i = thread_index; i < %du; i += %du) argmax_take(best, place, %s[group.x * %du + i], %s[group.x * %du + i]);",
		parts, k.threads, values, parts, places, parts)
	e.argmaxMerge(k.threads / 32)
	store()
	return k, e.err
}

// tokenOf returns what stores the best place of row group.x as a result, which may be the
// plan's token.
func (r *region) tokenOf(e *emitter, rows sym.Dim, result int) (store func(), err error) {
	k := e.k
	token := k.slot(ref{refResult, result}, "token", "int", plan.Write)
	if r.token != tokenPlain && rows != sym.Const(1) {
		return nil, fmt.Errorf("the token of %s rows is ambiguous", rows)
	}
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
	}, nil
}
