package metal

import (
	"fmt"

	"foundry/ir"
	"foundry/lower/plan"
)

// elementThreads is the group size of kernels that make four elements a thread of
// nothing.
const elementThreads = 256

// lowerCreate lowers arange, ones and random_uniform: four elements a thread,
// which is one block of random numbers.
func (r *region) lowerCreate() *lowering {
	n := r.g.Nodes()[0]
	k := newKernel(kernelBase(r.name, n.Results[0].Type), r.identity(plan.Create))
	k.threads = elementThreads
	k.grid[0] = plan.GridDim{N: n.Attr.Size, Div: 4 * elementThreads}
	k.use("main/create.metal")
	position := k.builtin(plan.ThreadPosition)
	k.ready()
	e := newEmitter(k, r, 1)
	k.line("const uint first = %s.x * 4u, count = %s;", position, k.text(dimension(n.Attr.Size)))
	value := "float4(1.0f)"
	switch n.Op {
	case ir.OpArange:
		value = fmt.Sprintf("arange4(int(%s), first)", k.text(dimension(n.Attr.Start)))
	case ir.OpRandomUniform:
		value = fmt.Sprintf("random4(%s, first)", e.pointer(n.Args[0], []affine{number(0)}))
	}
	k.line("if (first < count) store_created(%s, first, count, %s);", e.target(0, []affine{number(0)}), value)
	return alone(k)
}
