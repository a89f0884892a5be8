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

// lowerSoftmax lowers softmax alone: one kernel with a threadgroup a row or, where
// the node asks for segments, one that finds each segment's maximum and sum and one
// that merges them and writes.
func (r *region) lowerSoftmax(chosen choice.Kernel) *lowering {
	n := r.g.Nodes()[0]
	space := n.Results[0].Type.Shape
	s := &softmax{r: r, n: n, rows: space, length: space.At(-1), threads: chosen.Threads()}
	s.rows.Rank--
	cut, ok := chosen.(choice.SoftmaxSegments)
	if !ok {
		return alone(s.kernel(plan.Rows, s.vector))
	}
	s.segment, s.segments = cut.Segment, cut.Segments
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

// softmaxRow is the names that a kernel's body has for its row.
type softmaxRow struct {
	width   int64  // elements of a chunk
	at      string // the row's begin in the result
	between string // the same in the memory between kernels
	shared  string
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
	row.at = k.text(lies.At)
	visible := "count"
	if s.n.Attr.Causal {
		visible = fmt.Sprintf("min(%s, count)", k.text(ix[len(ix)-2].Add(dimension(s.n.Attr.Start)).Plus(1)))
	}
	k.line("const uint count = %s, visible = %s;", k.text(dimension(s.length)), visible)
	if w := s.n.Attr.Window; w > 0 {
		k.line("const uint hidden = visible - min(visible, %du);", w)
	}
	s.operand(k, e, lies, &row)
	k.use("main/softmax.metal")
	if s.n.Attr.Window > 0 {
		k.use("main/softmax_window.metal")
	}
	if s.segment > 0 {
		row.between = k.text(lies.Between)
		k.line("const uint begin = group.z * %du, end = min(begin + %du, chunks);", s.segment/row.width, s.segment/row.width)
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
		s.declare(k, fmt.Sprintf("SoftmaxBlocks<%s>", f.reader(int(row.width))), fmt.Sprintf("{%s + ulong(%s) * %du}", s.r.argSlot(k, lies.Param), k.text(lies.Row), f.rowBytes(x.Type.DType, s.length.C)))
		k.line("const uint chunks = count / %du;", row.width)
		return
	}
	row.width = 4
	from, skew := k.text(lies.From), "first & 3u"
	if e.Divides(4, lies.From) {
		skew = "0u" // known here, so that no row is read in pieces
	}
	k.line("const uint first = %s, skew = %s;", from, skew)
	s.declare(k, fmt.Sprintf("SoftmaxRow<%s>", pointee(s.n.Args[0].Type.DType)), fmt.Sprintf("{%s + (first - skew), skew, count}", s.r.argSlot(k, lies.Param)))
	k.line("const uint chunks = (skew + count + 3u) / 4u;")
}

// declare names the row as the stage reads it.
func (s *softmax) declare(k *kernel, typ, value string) {
	if s.n.Attr.Window == 0 {
		k.line("const %s row = %s;", typ, value)
		return
	}
	k.line("const %s all = %s;", typ, value)
	k.line("const SoftmaxWindow<%s> row = {all, hidden};", typ)
}

func (s *softmax) vector(k *kernel, row softmaxRow) {
	k.phase("Main: softmax of a row.")
	k.line("const float2 found = softmax_range<%du>(row, 0u, chunks, visible, %s, simd, lane);", s.threads/32, row.shared)
	s.write(k, row, "0u", "chunks")
}

func (s *softmax) parts(k *kernel, row softmaxRow) {
	k.phase("Main: the segment's maximum, and the sum under it.")
	k.line("if (begin >= chunks) return;")
	k.line("const float2 found = softmax_range<%du>(row, begin, end, visible, %s, simd, lane);", s.threads/32, row.shared)
	k.open("if (simd == 0u && lane == 0u)")
	k.line("(%s)[%s + group.z] = found.x;", s.between(k, softmaxTops, plan.Write), row.between)
	k.line("(%s)[%s + group.z] = found.y;", s.between(k, softmaxSums, plan.Write), row.between)
	k.close()
}

func (s *softmax) merge(k *kernel, row softmaxRow) {
	k.phase("Main: the row's maximum and sum, and the segment of the result.")
	k.line("if (begin >= chunks) return;")
	k.line("const float2 found = softmax_merge<%du>(%s + %s, %s + %s, (chunks + %du) / %du, %s, simd, lane);", s.threads/32,
		s.between(k, softmaxTops, plan.Read), row.between, s.between(k, softmaxSums, plan.Read), row.between,
		s.segment/row.width-1, s.segment/row.width, row.shared)
	s.write(k, row, "begin", "end")
}

func (s *softmax) between(k *kernel, which int, a plan.Access) string {
	return k.slot(ref{refScratch, which}, [...]string{softmaxTops: "segment_top", softmaxSums: "segment_sum"}[which], "float", a)
}

func (s *softmax) write(k *kernel, row softmaxRow, begin, end string) {
	y := k.slot(ref{refResult, 0}, "y", "float", plan.Write)
	k.line("softmax_write<%du>(row, %s, %s, count, visible, found, %s, %s, simd, lane);", s.threads/32, begin, end, y, row.at)
}
