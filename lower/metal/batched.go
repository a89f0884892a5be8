package metal

import (
	"foundry/ir"
	choice "foundry/ir/kernel"
	"foundry/lower/msl"
	"foundry/lower/plan"
)

// batched begins a kernel of bmm_nt or bmm_nn alone (attention in separate steps), or of a
// product with as many rows as there are tokens.
func (r *region) batched() (k *kernel, n *ir.Node) {
	n = r.g.Nodes()[0]
	k = newKernel(kernelBase(r.name, n.Results[0].Type), r.identity(plan.BatchedRows))
	k.use("common/load.metal", "main/dot.metal")
	k.builtin(plan.ThreadgroupPosition)
	return k, n
}

// batchedElements: a thread computes one element, the dot product of two rows.
func (r *region) batchedElements(chosen choice.BatchedElements) *lowering {
	k, n := r.batched()
	w, depth := chosen.Width, n.Args[0].Type.Shape.At(-1).C
	out := n.Results[0].Type.Shape
	scale := 1.0
	k.threads = chosen.Threads()
	k.param("K", int(depth))
	k.grid[0], k.grid[1].N = plan.GridDim{N: out.At(-1), Div: int64(k.threads)}, out.At(-2)
	k.builtin(plan.ThreadPosition)
	k.ready()
	e := newEmitter(k, r, w)
	k.when(positionX.Less(k.dim(out.At(-1))), func() {
		from, to, at := e.DotsOf(n)
		if n.Op == ir.OpBmmNT {
			k.grid[2].N, scale = out.At(0), n.Attr.Scale
		}
		a, b := e.pointer(n.Args[0], from), e.pointer(n.Args[1], to)
		dot := msl.Of("dot_rows", msl.Name(pointee(n.Args[1].Type.DType)), u(depth), u(w))
		sum := k.let(constFloat, "sum", dot.Call(a, b))
		e.Width = 1
		y := e.target(0, at)
		k.add(storing(1, y, e.r.asStored(k, 0, times(sum.Mul(msl.Float(scale)), r.readUp(k, n.Args[0]), r.readUp(k, n.Args[1])))))
	})
	return alone(k)
}

// batchedColumns: a lane sums one column; the simdgroups of a threadgroup share rows.
func (r *region) batchedColumns(chosen choice.BatchedColumns) *lowering {
	k, n := r.batched()
	simds := chosen.Simdgroups()
	out := n.Results[0].Type.Shape
	b := n.Args[1]
	k.threads = simds * 32
	k.grid[0], k.grid[1].N, k.grid[2].N = plan.GridDim{N: out.At(2), Div: int64(chosen.Columns())}, out.At(1), out.At(0)
	k.builtin(plan.SimdgroupIndex)
	k.builtin(plan.LaneIndex)
	shared := k.threadgroup("shared", "float", 4*simds*32)
	k.ready()
	e := newEmitter(k, r, 1)
	column := k.let(constUint, "column", groupX.Mul(u(32)).Add(lane))
	clamped := k.let(constUint, "clamped", msl.Min(column, k.dim(out.At(2)).Sub(u(1))))
	col := e.know(clamped, 0, 1)
	h, m, g := e.ColumnsOf(n)
	a := e.pointer(n.Args[0], []affine{h, m, number(0)})
	p, first, _ := e.Address(b, []affine{g, number(0), col})
	_, second, _ := e.Address(b, []affine{g, number(1), col})
	stride := second.Add(affine{Const: first.Const.Scale(-1)})
	stride.Terms = nil
	all := msl.Of("column_sum", msl.Name(pointee(b.Type.DType)), u(simds))
	sum := k.let(constFloat, "sum", all.Call(a, r.at(k, p, first), k.index(stride), k.dim(b.Type.Shape.At(1)), shared, simd, lane))
	k.when(simd.Equal(u(0)).And(column.Less(k.dim(out.At(2)))), func() {
		y := e.target(0, []affine{h, m, e.know(column, 0, 1)})
		k.add(storing(1, y, e.r.asStored(k, 0, times(sum, r.readUp(k, n.Args[0]), r.readUp(k, b)))))
	})
	return alone(k)
}
