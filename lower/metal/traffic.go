package metal

import (
	"foundry/ir"
	"foundry/ir/cost"
	"foundry/ir/sym"
	"foundry/ir/task"
	"foundry/lower/plan"
)

// traffic returns the bytes that the dispatch of k moves and its operations. A
// kernel that is alone moves and computes what its node does. Of several, each moves
// the operands, results and memory between them that it binds, and the first
// computes, unless the kernels say otherwise.
func (e *entry) traffic(s *loweredNode, k *kernel) (moved, flops sym.Poly) {
	n := s.n
	if len(s.l.kernels) == 1 {
		if n.Op.Is(ir.View) { // one that strides cannot say is a copy
			return cost.Written(n, 0).Scale(2), sym.Poly{}
		}
		return e.stored.Moved(n), cost.Flops(n)
	}
	if k.flops != nil {
		flops = *k.flops
	} else if k == s.l.kernels[0] {
		flops = cost.Flops(n)
	}
	if k.moved != (sym.Poly{}) {
		return k.moved, flops
	}
	for i, r := range k.refs {
		switch r.kind {
		case refArg:
			moved = moved.Add(cost.ReadOf(n, r.index)).Add(e.stored.Saved(n.Args[r.index]))
		case refResult:
			moved = moved.Add(cost.Written(n, r.index)).Add(e.stored.Saved(n.Results[r.index]))
		case refScratch:
			times := int64(1)
			if k.slots[i].Access == plan.ReadWrite {
				times = 2
			}
			moved = moved.Add(cost.Bytes(s.l.scratch[r.index].typ).Scale(times))
		}
	}
	return moved, flops
}

// divideFlops gives a region's contractions and what follows them to two kernels:
// the second computes what depends on its product.
func divideFlops(r *region, first, second *kernel) {
	var before, after sym.Poly
	for _, n := range r.g.Nodes() {
		if task.DependsOn(n.Results[0], func(m *ir.Node) bool { return m.Op == ir.OpMatmulNT }) {
			after = after.Add(cost.Flops(n))
		} else {
			before = before.Add(cost.Flops(n))
		}
	}
	first.flops, second.flops = &before, &after
}

// divideNodes says which operations two kernels do, the first of which leaves parts of
// merged's result: it does what merged needs and merged, the second merged and the rest.
func divideNodes(r *region, first, second *kernel, merged *ir.Node) {
	for i, n := range r.g.Nodes() {
		if task.DependsOn(merged.Results[0], func(m *ir.Node) bool { return m == n }) {
			first.executes = append(first.executes, i)
			if n != merged {
				continue
			}
		}
		second.executes = append(second.executes, i)
	}
}
