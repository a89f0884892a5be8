package metal

import (
	"foundry/ir"
	choice "foundry/ir/kernel"
	"foundry/lower/plan"
)

// argmaxRow writes argmax n with a threadgroup a row.
func (r *region) argmaxRow(n *ir.Node, chosen choice.ArgmaxRow) *kernel {
	k := newKernel(kernelBase("argmax_row", n.Args[0].Type), r.identity(plan.Rows))
	k.threads = chosen.Threads()
	k.grid[0].N = n.Args[0].Type.Shape.At(0)
	k.param("N", int(chosen.Length))
	e, b := r.argmaxHead(k)
	store := r.tokenOf(e, 0)
	r.argmaxOver(e, b, n, groupX, u(0), u(chosen.Length), k.threads/32)
	store(b)
	return k
}
