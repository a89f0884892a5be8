package metal

import (
	"foundry/ir"
	"foundry/ir/dtype"
	choice "foundry/ir/kernel"
	"foundry/ir/sym"
	"foundry/ir/task"
	"foundry/lower/msl"
	"foundry/lower/plan"
)

// softmax is a softmax operation on its way to kernels.
type softmax struct {
	r        *region
	n        *ir.Node
	rows     ir.Shape // the result's dims but the last
	length   sym.Dim
	segment  int64 // elements; 0: the whole row
	segments int64 // segments of the longest row
	threads  int
}

// The memory between the kernels of the block form, by scratch number.
const (
	softmaxTops = iota
	softmaxSums
)

// softmaxOf is the region's softmax, for so many threads.
func (r *region) softmaxOf(threads int) *softmax {
	n := r.g.Nodes()[0]
	space := n.Results[0].Type.Shape
	s := &softmax{r: r, n: n, rows: space, length: space.At(-1), threads: threads}
	s.rows.Rank--
	return s
}

// softmaxRow writes softmax alone with a threadgroup a row.
func (r *region) softmaxRow(chosen choice.SoftmaxRow) *lowering {
	s := r.softmaxOf(chosen.Threads())
	return alone(s.kernel(plan.Rows, s.vector))
}

// softmaxSegments writes softmax alone as a kernel that finds each segment's maximum and sum,
// and one that merges them and writes.
func (r *region) softmaxSegments(chosen choice.SoftmaxSegments) *lowering {
	s := r.softmaxOf(chosen.Threads())
	s.segment, s.segments = chosen.Segment, chosen.Segments
	parts := s.kernel(plan.SoftmaxSegments, s.parts)
	parts.name += "_segments"
	merge := s.kernel(plan.SoftmaxMerge, s.merge)
	merge.name += "_merge"
	merge.label = "merge"
	between := s.rows
	between.Dims[between.Rank] = sym.Const(s.segments)
	between.Rank++
	t := ir.Type{DType: dtype.F32, Shape: between}
	return &lowering{kernels: []*kernel{parts, merge}, scratch: []scratch{softmaxTops: {"segment_top", t}, softmaxSums: {"segment_sum", t}}}
}

// softmaxRow is what a kernel's body knows of its row.
type softmaxRow struct {
	width      int64      // elements of a chunk
	row        *msl.Value // the row, as the stage reads it
	count      *msl.Value // elements, visible ones, and those before the window
	visible    *msl.Value
	hidden     *msl.Value
	chunks     *msl.Value
	begin, end *msl.Value // chunks of the segment
	at         *msl.Value // the row's begin in the result
	between    affine     // the same in the memory between kernels
	shared     *msl.Value
}

// kernel begins a kernel of the operation, declares its row and writes the body.
func (s *softmax) kernel(main plan.Main, body func(k *kernel, row softmaxRow)) *kernel {
	k := newKernel(kernelBase(s.r.name, s.n.Results[0].Type), s.r.identity(main))
	k.threads = s.threads
	k.use("common/reduce.metal", "common/load.metal")
	k.builtin(plan.ThreadgroupPosition)
	k.builtin(plan.SimdgroupIndex)
	k.builtin(plan.LaneIndex)
	k.param("threads", s.threads)
	if s.segment > 0 {
		k.param("segment", int(s.segment))
		k.grid[2].N = sym.Const(s.segments)
	}
	row := softmaxRow{shared: k.threadgroup("shared", "float", 2*4*s.threads/32)}
	k.ready()
	e := newEmitter(k, s.r, 1)
	ix := s.r.rowIndex(e, s.n.Results[0].Type.Shape)
	lies, _ := e.SoftmaxRow(s.n, ix, s.segments) // cost has asked
	row.at = k.index(lies.At)
	row.count, row.visible = msl.Variable("count"), msl.Variable("visible")
	visible := row.count
	if s.n.Attr.Causal {
		visible = msl.Min(k.index(ix[len(ix)-2].Add(dimension(s.n.Attr.Start)).Plus(1)), row.count)
	}
	k.add(&msl.Declare{Type: constUint, Of: []msl.Declared{{Variable: row.count, Value: k.dim(s.length)}, {Variable: row.visible, Value: visible}}})
	if w := s.n.Attr.Window; w > 0 {
		row.hidden = k.let(constUint, "hidden", row.visible.Sub(msl.Min(row.visible, u(w))))
	}
	s.operand(k, e, lies, &row)
	k.use("main/softmax.metal")
	if s.n.Attr.Window > 0 {
		k.use("main/softmax_window.metal")
	}
	if s.segment > 0 {
		row.between = lies.Between
		row.begin, row.end = msl.Variable("begin"), msl.Variable("end")
		each := u(s.segment / row.width)
		k.add(&msl.Declare{Type: constUint, Of: []msl.Declared{
			{Variable: row.begin, Value: groupZ.Mul(each)}, {Variable: row.end, Value: msl.Min(row.begin.Add(each), row.chunks)},
		}})
	}
	body(k, row)
	return k
}

// operand declares the row as the stage reads it, and its chunks.
func (s *softmax) operand(k *kernel, e *emitter, lies task.SoftmaxRow, row *softmaxRow) {
	k.readBeyond[lies.Param] = true
	if x := s.n.Args[0]; x.Type.DType.Quantised() {
		f := s.r.format(x)
		row.width = int64(f.Widths[0])
		k.use(f.files()...)
		blocks := s.r.argSlot(k, lies.Param).Add(msl.Call("ulong", k.index(lies.Row)).Mul(u(f.rowBytes(x.Type.DType, s.length.C))))
		s.declare(k, row, msl.Of("SoftmaxBlocks", f.reader(int(row.width))), blocks)
		row.chunks = k.let(constUint, "chunks", row.count.Div(u(row.width)))
		return
	}
	row.width = 4
	first, skew := msl.Variable("first"), msl.Variable("skew")
	unaligned := first.Bits(u(3))
	if e.Divides(4, lies.From) {
		unaligned = u(0) // known here, so that no row is read in pieces
	}
	k.add(&msl.Declare{Type: constUint, Of: []msl.Declared{{Variable: first, Value: k.index(lies.From)}, {Variable: skew, Value: unaligned}}})
	s.declare(k, row, msl.Of("SoftmaxRow", msl.Name(pointee(s.n.Args[0].Type.DType))), s.r.argSlot(k, lies.Param).Add(first.Sub(skew)), skew, row.count)
	row.chunks = k.let(constUint, "chunks", skew.Add(row.count).Add(u(3)).Div(u(4)))
}

// declare names the row as the stage reads it: typ, made of what it holds.
func (s *softmax) declare(k *kernel, row *softmaxRow, typ *msl.Value, of ...*msl.Value) {
	list := msl.Name("").Make(of...)
	if s.n.Attr.Window == 0 {
		row.row = k.let(msl.Const(typ), "row", list)
		return
	}
	all := k.let(msl.Const(typ), "all", list)
	row.row = k.let(msl.Const(msl.Of("SoftmaxWindow", typ)), "row", msl.Name("").Make(all, row.hidden))
}

func (s *softmax) vector(k *kernel, row softmaxRow) {
	k.phase("Main: softmax of a row.")
	s.write(k, row, s.find(k, row, u(0), row.chunks), u(0), row.chunks)
}

// find declares the maximum of chunks of the row, and the sum under it.
func (s *softmax) find(k *kernel, row softmaxRow, begin, end *msl.Value) *msl.Value {
	return k.let(constFloat2, "found", msl.Of("softmax_range", u(s.threads/32)).Call(row.row, begin, end, row.visible, row.shared, simd, lane))
}

func (s *softmax) parts(k *kernel, row softmaxRow) {
	k.phase("Main: the segment's maximum, and the sum under it.")
	k.add(msl.When(row.begin.Least(row.chunks), &msl.Return{}))
	found := s.find(k, row, row.begin, row.end)
	k.when(firstThread, func() {
		at := k.index(row.between).Add(groupZ)
		k.add(msl.Set(s.between(k, softmaxTops, plan.Write).Paren().At(at), found.Dot("x")))
		k.add(msl.Set(s.between(k, softmaxSums, plan.Write).Paren().At(at), found.Dot("y")))
	})
}

func (s *softmax) merge(k *kernel, row softmaxRow) {
	k.phase("Main: the row's maximum and sum, and the segment of the result.")
	k.add(msl.When(row.begin.Least(row.chunks), &msl.Return{}))
	tops, sums := s.between(k, softmaxTops, plan.Read), s.between(k, softmaxSums, plan.Read)
	each := s.segment / row.width
	segments := row.chunks.Add(u(each - 1)).Div(u(each))
	found := k.let(constFloat2, "found", msl.Of("softmax_merge", u(s.threads/32)).Call(k.plus(tops, row.between), k.plus(sums, row.between), segments, row.shared, simd, lane))
	s.write(k, row, found, row.begin, row.end)
}

func (s *softmax) between(k *kernel, which int, a plan.Access) *msl.Value {
	return k.slot(ref{refScratch, which}, [...]string{softmaxTops: "segment_top", softmaxSums: "segment_sum"}[which], "float", a)
}

func (s *softmax) write(k *kernel, row softmaxRow, found, begin, end *msl.Value) {
	y := k.slot(ref{refResult, 0}, "y", "float", plan.Write)
	k.do(msl.Of("softmax_write", u(s.threads/32)).Call(row.row, begin, end, row.count, row.visible, found, y, row.at, simd, lane))
}
