package metal

import (
	"fmt"

	"foundry/ir"
	choice "foundry/ir/kernel"
	"foundry/ir/sym"
	"foundry/ir/task"
	"foundry/lower/plan"
)

// lowerBatched lowers bmm_nt or bmm_nn alone (attention in separate steps), and a
// product with as many rows as there are tokens.
func (r *region) lowerBatched() (*lowering, error) {
	if len(r.g.Nodes()) != 1 {
		return nil, fmt.Errorf("%s shares a kernel only within attention", r.g.Nodes()[0].Op)
	}
	n := r.g.Nodes()[0]
	return r.oneOf(func(chosen choice.Kernel) (*lowering, error) {
		k := newKernel(kernelBase(r.name, n.Results[0].Type), r.identity(plan.BatchedRows))
		k.use("common/load.metal", "main/dot.metal")
		k.builtin(plan.ThreadgroupPosition)
		switch chosen := chosen.(type) {
		case choice.AttentionTiles:
			b, _ := task.BatchedOf(r.asked) // it is one: only those take tiles
			a := &attention{r: r, Attention: &task.Attention{Region: r.asked, Scores: n, Heads: b.Heads, Dim: b.Dim, Rows: b.Rows, Keys: b.Keys}}
			a.Width = 8
			return alone((&flash{attention: a, AttentionTiles: chosen, head: "group.z"}).batched())
		case choice.BatchedElements:
			return alone(k, r.scores(k, n, chosen))
		}
		return alone(k, r.weighted(k, n))
	})
}

// scores: a thread computes one element, the dot product of two rows.
func (r *region) scores(k *kernel, n *ir.Node, chosen choice.BatchedElements) error {
	w := chosen.Width
	depth, ok := n.Args[0].Type.Shape.At(-1).Const()
	if !ok || depth%int64(w) != 0 {
		return fmt.Errorf("rows of %s do not split into %d", n.Args[0].Type, w)
	}
	out := n.Results[0].Type.Shape
	last := int(out.Rank) - 1
	scale := 1.0
	k.threads = chosen.Threads()
	k.param("K", int(depth))
	k.grid[0], k.grid[1].N = plan.GridDim{N: out.At(-1), Div: int64(k.threads)}, out.At(-2)
	k.builtin(plan.ThreadPosition)
	k.ready()
	e := newEmitter(k, r, w)
	m, col := e.know("group.y", 0, 1), e.know("position.x", 0, 1)
	if out.At(-2) == sym.Const(1) {
		m = number(0)
	}
	k.open("if (position.x < %s)", k.text(dimension(out.At(last))))
	at, from, to := []affine{m, col}, []affine{m, number(0)}, []affine{col, number(0)}
	if n.Op == ir.OpBmmNT {
		k.grid[2].N, scale = out.At(0), n.Attr.Scale
		h := e.know("group.z", out.At(0).C, 1)
		g, _ := e.split(h, sym.Const(out.At(0).C/n.Args[1].Type.Shape.At(0).C), "b_head")
		at, from, to = append([]affine{h}, at...), append([]affine{h}, from...), append([]affine{g}, to...)
	}
	a, okA := e.aligned(n.Args[0], from)
	b, okB := e.aligned(n.Args[1], to)
	if !okA || !okB || n.Args[1].Type.DType.Quantised() {
		return fmt.Errorf("operands of %s are not aligned rows", n.Op)
	}
	k.line("const float sum = dot_rows<%s, %du, %du>(%s, %s);", pointee(n.Args[1].Type.DType), depth, w, a, b)
	e.w = 1
	k.line("store1(%s, %s);", e.target(0, at), e.r.asStored(k, 0, times("sum * "+floatText(scale), r.readUp(k, n.Args[0]), r.readUp(k, n.Args[1]))))
	k.close()
	return e.err
}

// weighted: a lane sums one column; the simdgroups of a threadgroup share rows.
func (r *region) weighted(k *kernel, n *ir.Node) error {
	simds := choice.BatchedColumns{}.Simdgroups()
	out := n.Results[0].Type.Shape
	b := n.Args[1]
	k.threads = simds * 32
	k.grid[0], k.grid[1].N, k.grid[2].N = plan.GridDim{N: out.At(2), Div: int64(choice.BatchedColumns{}.Columns())}, out.At(1), out.At(0)
	k.builtin(plan.SimdgroupIndex)
	k.builtin(plan.LaneIndex)
	shared := k.threadgroup("shared", "float", 4*simds*32)
	k.ready()
	e := newEmitter(k, r, 1)
	h, m := e.know("group.z", out.At(0).C, 1), e.know("group.y", 0, 1)
	if out.At(1) == sym.Const(1) {
		m = number(0)
	}
	k.line("const uint column = group.x * 32u + lane;")
	k.line("const uint clamped = min(column, %s - 1u);", k.text(dimension(out.At(2))))
	col := e.know("clamped", 0, 1)
	g, _ := e.split(h, sym.Const(out.At(0).C/b.Type.Shape.At(0).C), "b_head")
	a, okA := e.aligned(n.Args[0], []affine{h, m, number(0)})
	p, first, okB := e.address(b, []affine{g, number(0), col})
	_, second, _ := e.address(b, []affine{g, number(1), col})
	if !okA || !okB {
		return fmt.Errorf("operands of bmm_nn are not rows")
	}
	stride := second.add(affine{c: first.c.Scale(-1)})
	stride.terms = nil
	k.line("const float sum = column_sum<%s, %du>(%s, %s, %s, %s, %s, simd, lane);", pointee(b.Type.DType), simds, a, r.at(k, p, first),
		k.text(stride), k.text(dimension(b.Type.Shape.At(1))), shared)
	k.open("if (simd == 0u && column < %s)", k.text(dimension(out.At(2))))
	k.line("store1(%s, %s);", e.target(0, []affine{h, m, e.know("column", 0, 1)}), e.r.asStored(k, 0, times("sum", r.readUp(k, n.Args[0]), r.readUp(k, b))))
	k.close()
	return e.err
}

// aligned returns the pointer to element ix of an operand, and false unless w
// adjacent elements can be read there.
func (e *emitter) aligned(v *ir.Value, ix []affine) (string, bool) {
	p, off, ok := e.address(v, ix)
	if !ok || e.w > 1 && !e.divides(int64(e.w), off) {
		return "", false
	}
	return e.r.at(e.k, p, off), true
}
