package metal

import (
	"fmt"
	"slices"

	"foundry/ir"
	"foundry/ir/cost"
	"foundry/ir/dtype"
	choice "foundry/ir/kernel"
	"foundry/ir/sym"
	"foundry/ir/task"
	"foundry/lower/msl"
	"foundry/lower/plan"
)

// expandedOnce lowers a product in matrix units to kernels that make halves of its weights,
// one for each format, and the product, which reads those.
func (r *region) expandedOnce(p *task.Product, chosen choice.ProductMatrices) *lowering {
	out := &lowering{}
	places := map[int]int{}         // scratch by operand
	expansions, _ := p.Expansions() // cost has asked
	for _, e := range expansions {
		for _, w := range e.Weights {
			places[w.Index] = len(out.scratch)
			out.scratch = append(out.scratch, scratch{fmt.Sprintf("halves%d", w.Index), ir.TypeOf(dtype.F16, w.Type.Shape.Slice()...)})
		}
		out.kernels = append(out.kernels, r.expand(e, places))
	}
	halves := *r
	once := p.ExpandedOnce()
	halves.asked, halves.operands = once.Region, once.Region.Operands
	k := inMatrices(&gemv{Product: once, r: &halves}, chosen).emit()
	k.flops = r.flops()
	for i, at := range k.refs {
		if place, ok := places[at.index]; ok && at.kind == refArg {
			k.refs[i] = ref{refScratch, place}
		}
	}
	out.kernels = append(out.kernels, k)
	return out
}

// flops is what the region's operations compute.
func (r *region) flops() *sym.Poly {
	var sum sym.Poly
	for _, n := range r.g.Nodes() {
		sum = sum.Add(cost.Flops(n))
	}
	return &sum
}

// expand writes the kernel that makes halves of e's weights in the scratch of that place, by
// operand.
func (r *region) expand(e task.Expansion, places map[int]int) *kernel {
	first := e.Weights[0]
	f, t, cols := r.format(first), first.Type.DType, first.Type.Shape.At(1).C
	shape := e.Kernel()
	rows, groups := int64(0), int64(0)
	var begins []int64
	for _, w := range e.Weights {
		begins = append(begins, groups)
		rows += w.Type.Shape.At(0).C
		groups += shape.Groups(w.Type.Shape.At(0).C, cols)
	}
	k := newKernel(fmt.Sprintf("expand_%dx%d_%s", cols, rows, t), identity{main: plan.WeightExpansion})
	k.label, k.ahead, k.flops = "expand", true, &sym.Poly{}
	k.threads = shape.Threads()
	k.grid[0].N = sym.Const(groups)
	k.param("K", int(cols))
	k.param("rows", int(rows))
	k.param("width", shape.Width)
	for i, n := range r.g.Nodes() {
		if n.Op == ir.OpMatmulNT && slices.Contains(e.Weights, n.Args[1]) {
			k.executes = append(k.executes, i)
		}
	}
	k.use(f.files()...)
	k.use("prologue/fit.metal", "main/expand.metal")
	k.builtin(plan.ThreadgroupPosition)
	k.builtin(plan.ThreadIndex)
	stage := k.threadgroup("stage", "half", shape.Bytes())
	var from, chunks, begin, fit *msl.Value
	var where []*msl.Value
	choose := func(i int, others, this *msl.Value) *msl.Value {
		if i == 0 || this.Same(others) {
			return this
		}
		return groupX.Least(u(begins[i])).Select(this, others)
	}
	for i, w := range e.Weights {
		from = choose(i, from, k.slot(ref{refArg, w.Index}, r.argName(w.Index), pointee(t), plan.Read).Cast("device const uchar *"))
		chunks = choose(i, chunks, u(w.Type.Shape.At(0).C*cols/int64(shape.Width)))
		begin = choose(i, begin, u(begins[i]))
		fit = choose(i, fit, r.down(k, w))
		if i > 0 {
			where = append(where, groupX.Less(u(begins[i])))
		}
	}
	where = append(where, nil) // what is left
	threads := u(k.threads)
	from = k.let(msl.Name("device const uchar *const"), "from", from)
	chunks = k.let(constUint, "chunks", chunks)
	mine := k.let(constUint, "first", groupX.Sub(begin.Paren()).Paren().Mul(threads))
	fit = k.let(constFloat, "fit", fit)
	k.phase("Preload: a chunk of weights a thread, which no dispatch of the step writes.")
	chunk := k.array(msl.Of("expand_chunk", f.reader(shape.Width), u(cols), u(f.rowBytes(t, cols)), threads), "chunk", nil)
	k.do(chunk.Dot("start").Call(from, mine, chunks, thread))
	k.phase("Main: its weights as halves, then those of all threads in the order of memory.")
	k.do(chunk.Dot("land").Call(stage, mine, chunks, fit, thread))
	k.barrier()
	k.choose(where, func(i int) {
		to := k.slot(ref{refScratch, places[e.Weights[i].Index]}, "halves", "half", plan.Write)
		k.do(msl.Of("expand_store", u(shape.Width), threads).Call(stage, to, mine, chunks, thread))
	})
	return k
}
