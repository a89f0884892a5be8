package metal

import (
	"foundry/ir"
	choice "foundry/ir/kernel"
	"foundry/lower/plan"
)

// argmaxRow writes argmax n with a threadgroup a row.
func (r *region) argmaxRow(n *ir.Node, chosen choice.ArgmaxRow) (*kernel, error) {
	k := newKernel(kernelBase("argmax_row", n.Args[0].Type), r.identity(plan.Rows))
	k.threads = chosen.Threads()
	k.grid[0].N = n.Args[0].Type.Shape.At(0)
	k.param("N", int(chosen.Length))
	e := r.argmaxHead(k)
	store, err := r.tokenOf(e, n.Args[0].Type.Shape.At(0), 0)
	if err != nil {
		return nil, err
	}
	if err := r.argmaxOver(e, n, "group.x", "0u", unsigned(chosen.Length), k.threads/32); err != nil {
		return nil, err
	}
	store()
	return k, e.err
}
