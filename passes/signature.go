package passes

import (
	"hash/maphash"
	"slices"

	"foundry/ir"
)

// signature is a number that stretches of a graph share when they compute the
// same of operands of the same kinds and hand the same results on, whatever their
// labels: equal layers have equal stretches. nodes stand in the graph's order, once
// each.
func (r *run) signature(nodes []*ir.Node) uint64 {
	h := hasher{numbers: make(map[*ir.Value]int, 4*len(nodes))}
	h.SetSeed(r.known.seed)
	for _, n := range nodes {
		h.node(n, r)
		for _, v := range n.Results {
			outside := r.graph.Returned(v) || slices.ContainsFunc(v.Users(), func(u *ir.Node) bool { return !slices.Contains(nodes, u) })
			maphash.WriteComparable(&h.Hash, outside)
		}
	}
	return h.Sum64()
}

// regionSignature is signature for the region of a fused node.
func (r *run) regionSignature(n *ir.Node) uint64 {
	if s, ok := r.known.regions[n]; ok {
		return s
	}
	h := hasher{numbers: make(map[*ir.Value]int, 4*len(n.Args))}
	h.SetSeed(r.known.seed)
	h.WriteString(n.Attr.Pattern)
	for _, m := range n.Region.Nodes() {
		h.node(m, r)
	}
	for _, res := range n.Region.Results {
		maphash.WriteComparable(&h.Hash, h.numbers[res.Value])
	}
	s := h.Sum64()
	r.known.regions[n] = s
	return s
}

// hasher numbers values as they come.
type hasher struct {
	maphash.Hash
	numbers map[*ir.Value]int
}

func (h *hasher) node(n *ir.Node, r *run) {
	h.WriteByte(byte(n.Op))
	maphash.WriteComparable(&h.Hash, n.Attr)
	if n.Region != nil {
		maphash.WriteComparable(&h.Hash, r.regionSignature(n))
	}
	for _, a := range n.Args {
		number, met := h.numbers[a]
		if !met {
			number = len(h.numbers)
			h.numbers[a] = number
			maphash.WriteComparable(&h.Hash, a.Type)
			maphash.WriteComparable(&h.Hash, sourceOf(a))
		}
		maphash.WriteComparable(&h.Hash, number)
	}
	for _, v := range n.Results {
		h.numbers[v] = len(h.numbers)
	}
}

// sourceOf is the kind of param behind v, or a number of its own for what a node
// makes.
func sourceOf(v *ir.Value) int {
	if root := ir.StateRoot(v); root.Param != nil {
		return int(root.Param.Kind)
	}
	return -1
}
