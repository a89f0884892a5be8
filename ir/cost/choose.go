package cost

import (
	"fmt"
	"strings"

	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/kernel"
	"foundry/ir/target"
	"foundry/ir/task"
)

// Choose returns the kernel that r gets on t: of those that its pin takes the one that the
// model chooses and that fits. An error says why there is none: then lowering has nothing to
// write, otherwise it can write.
func Choose(r *task.Region, t *target.Target) (kernel.Kernel, error) {
	if err := checkFormats(r, t); err != nil {
		return nil, err
	}
	if err := checkPin(r, t); err != nil {
		return nil, err
	}
	kind := kindOfRegion(r)
	if kind.wants != nil {
		if err := kind.wants(r, t); err != nil {
			return nil, err
		}
	}
	var chosen kernel.Kernel
	err := error(nil)
	if kind.one {
		chosen = kind.chosen(r, t)
	}
	for k := range takenOf(r, t) {
		chosen = k
		if err = kind.of(k).fits(r, k); err == nil || kind.first {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	return chosen, checkLimits(r, chosen, t)
}

// checkFormats refuses formats of weights and caches without a kernel.
func checkFormats(r *task.Region, t *target.Target) error {
	for _, n := range r.Graph.Nodes() {
		switch n.Op {
		case ir.OpMatmulNT, ir.OpEmbedding:
			if err := checkWeight(n.Args[1].Type.DType, t); err != nil {
				return err
			}
		case ir.OpRMSNorm:
			if d := n.Args[0].Type.DType; d.Quantised() {
				if err := checkWeight(d, t); err != nil {
					return err
				}
			}
		case ir.OpKVWrite:
			if d := n.Args[0].Type.DType; !t.Limits.HasCache(d.String()) {
				return fmt.Errorf("no kernel for a %s cache, only for %s", d, strings.Join(t.Limits.Cache, ", "))
			}
		}
	}
	return nil
}

func checkWeight(d dtype.Type, t *target.Target) error {
	if _, ok := task.FormatOf(d); !ok || !t.Limits.HasWeights(d.Format()) {
		return fmt.Errorf("no kernel for %s weights, only for %s", d, strings.Join(t.Limits.Weights, ", "))
	}
	return nil
}

// group is what a threadgroup of a kernel takes.
type group struct{ threads, bytes int }

// checkLimits says what of a target's limits k's kernels are beyond.
func checkLimits(r *task.Region, k kernel.Kernel, t *target.Target) error {
	if n := slotsOf(r, k); n > t.Limits.Slots {
		return fmt.Errorf("%d buffer slots > %d", n, t.Limits.Slots)
	}
	room := t.Limits.ThreadgroupBytes
	if kindOfRegion(r).of(k).units {
		room = t.Limits.MatrixBytes
	}
	for _, g := range groupsOf(r, k, t) {
		switch {
		case g.bytes > room:
			return fmt.Errorf("threadgroup memory %d > %d", g.bytes, room)
		case g.threads > t.Limits.Threads:
			return fmt.Errorf("%d threads a threadgroup > %d", g.threads, t.Limits.Threads)
		}
	}
	return nil
}

// slotsOf counts the buffers that a kernel of r binds, at most: operands, results and what
// lies between kernels, ranges, and the step where something hangs on it.
func slotsOf(r *task.Region, k kernel.Kernel) int {
	used := map[*ir.Value]bool{}
	symbolic, refuses := false, false
	note := func(s ir.Shape) {
		for _, d := range s.Slice() {
			symbolic = symbolic || !d.IsConst()
		}
	}
	for _, n := range r.Graph.Nodes() {
		for _, a := range n.Args {
			used[a] = used[a] || a.Param != nil
			note(a.Type.Shape)
		}
		symbolic = symbolic || !n.Attr.Start.IsConst()
		refuses = refuses || n.Op == ir.OpEmbedding || n.Op == ir.OpKVWrite && n.Args[0].Type.DType == dtype.F16
	}
	ranged := rangedOf(r, k)
	slots := len(ranged)
	for j, res := range r.Graph.Results {
		used[res.Value] = used[res.Value] || res.Value.Param != nil
		if v := res.Value; v.Def != nil && v.Def.Op != ir.OpKVWrite {
			slots++
		}
		note(res.Value.Type.Shape)
		if r.Kept != nil && r.Kept[j].Scaled && !ranged[res.Value] {
			slots++
		}
	}
	for _, is := range used {
		if is {
			slots++
		}
	}
	for _, is := range [...]bool{symbolic, refuses} {
		if is {
			slots++
		}
	}
	switch {
	case r.Has(ir.OpSample):
		slots += 6
	case r.Has(ir.OpArgmax), r.Has(ir.OpBmmNT) && r.Has(ir.OpMatmulNT), r.Has(ir.OpSoftmax) && len(r.Graph.Nodes()) == 1:
		slots += 2
	}
	return slots
}

// rangedOf lists the values of r whose ranges k reads: operands that are scaled, and what
// tiles make halves of.
func rangedOf(r *task.Region, k kernel.Kernel) map[*ir.Value]bool {
	ranged := map[*ir.Value]bool{}
	for i, o := range r.Operands {
		if o.Scaled {
			ranged[r.Graph.Params[i]] = true
		}
	}
	halved := func(v *ir.Value) {
		if v.Type.DType != dtype.F16 && (r.Unbounded == nil || !r.Unbounded(v)) {
			ranged[v] = true
		}
	}
	if main := kindOfRegion(r).of(k); main.halved != nil {
		for _, v := range main.halved(r) {
			halved(v)
		}
	}
	return ranged
}

// groupsOf lists what the threadgroups of k's kernels take, in order.
func groupsOf(r *task.Region, k kernel.Kernel, t *target.Target) []group {
	return kindOfRegion(r).of(k).groups(r, k, t)
}

// rowGroups are those of a product over rows, and of the merge of what it found best.
func rowGroups(r *task.Region, k kernel.ProductRows, t *target.Target) (out []group) {
	p, _ := task.ProductOf(r)
	out = append(out, group{k.Threads(), task.Rounds{Product: p, Rows: k, Room: t.Limits.ThreadgroupBytes}.Bytes()})
	for _, part := range p.Parts {
		if len(part.Best) > 0 {
			out = append(out, mergeGroup(k.Groups(part.Units(), part.RowsPerUnit()), t))
		}
	}
	return out
}

func mergeGroup(parts int64, t *target.Target) group {
	n := kernel.ArgmaxMerge{Parts: parts, Largest: t.Limits.Threads}.Threads()
	return group{n, kernel.BestBytes(n)}
}

// passGroups are a pass over the keys, and the merge where it has parts.
func passGroups(a *task.Attention, k kernel.AttentionRows) []group {
	out := []group{{k.Threads(), k.Bytes(a.Dim)}}
	if k.Parts > 0 {
		out = append(out, group{threads: kernel.MergeThreads(a.Dim)})
	}
	return out
}

// partsOf returns how a is dealt out in parts of the keys where a product merges them.
func partsOf(a *task.Attention, t *target.Target) (kernel.AttentionRows, error) {
	var err error
	for k := range partsOfKeys(a, t) {
		if err = a.FitsPass(k); err == nil {
			return k, nil
		}
	}
	return kernel.AttentionRows{}, err
}
