package metal

import (
	choice "foundry/ir/kernel"
	"foundry/lower/plan"
)

// argmaxRow writes argmax alone with a threadgroup a row.
func (r *region) argmaxRow(chosen choice.ArgmaxRow) *lowering {
	n := r.g.Nodes()[0]
	k := newKernel(kernelBase("argmax_row", n.Args[0].Type), r.identity(plan.Rows))
	k.threads = chosen.Threads()
	k.grid[0].N = n.Args[0].Type.Shape.At(0)
	k.param("N", int(chosen.Length))
	e, b := r.argmaxHead(k)
	store := r.tokenOf(e, 0)
	r.argmaxOver(e, b, n, groupX, u(0), u(chosen.Length), k.threads/32)
	store(b)
	return alone(k)
}
