package passes

import (
	"fmt"
	"slices"

	"foundry/ir"
	"foundry/ir/names"
	"foundry/lower/plan"
)

// joinNorm makes norms whole again that stand apart from their sums of squares and whose
// scaling no kernel has taken in, where the cost model predicts that what the passes to
// come make of a whole norm is no slower. For then the kernel before leaves sums to one
// that might have summed up the squares itself, or have made the norm together with it.
// All are weighed before one is edited, so that the view of the graph is made once.
func joinNorm(r *run) error {
	scales := r.view().byOp[ir.OpRMSScale]
	var joined []*ir.Node
	alone := false
	for _, o := range scales {
		n := o.top
		if n.Region != nil {
			continue
		}
		alone = true
		d := plan.Decision{Node: n.Label, Layer: n.Layer(), Outcome: plan.Refused}
		if d.Reason = whyApart(o); d.Reason == "" {
			c, err := r.weighJoined(o)
			if err != nil {
				return err
			}
			switch saved := c.gain(); {
			case c.refusal != "":
				d.Reason = c.refusal
			case saved.us < 0:
				d.Outcome, d.Reason = plan.Unprofitable, fmt.Sprintf("predicted %s where it is whole, against %s", c.with, c.without)
			case !r.Fuel.take(r.call.Pass.Name + " " + n.Label):
				d.Reason = "the fuel is spent"
			default:
				d = plan.Decision{Node: d.Node, Layer: d.Layer, Outcome: plan.Matched, Bytes: saved.bytes, Waves: saved.waves,
					Reason: fmt.Sprintf("no kernel has taken the scaling: %s; whole it is %s", saved, c.with)}
				joined = append(joined, n)
			}
		}
		r.logDecision(d)
	}
	switch {
	case len(scales) == 0:
		r.logNoSite("the graph has no rms_scale")
	case !alone:
		r.logNoSite("no scaling stands alone")
	}
	for _, n := range joined {
		if _, err := joinSums(r.graph, n); err != nil {
			return err
		}
		r.noteEdit()
	}
	return nil
}

// whyApart returns why the scaling o must stay apart from its sums, "" where it need not.
func whyApart(o *op) string {
	sums := o.args[1].def
	if sums == nil || sums.node.Op != ir.OpSumSquares || sums.args[0] != o.args[0] {
		return "it scales by other sums than those of its operand"
	}
	if len(sums.out.users) > 1 || sums.out.returned {
		return fmt.Sprintf("the sums of %s have a second use", sums.name())
	}
	for _, n := range [...]*ir.Node{sums.top, o.top} {
		if n.Attr.Kernel != "" {
			return fmt.Sprintf("%s is to have kernel=%q, which stands for a node as it is", names.InLayer(n.Label), n.Attr.Kernel)
		}
	}
	return ""
}

// weighJoined compares the norm of the scaling o, made whole, with its sums apart, as
// they stand. It refuses what has no kernel.
func (r *run) weighJoined(o *op) (out comparison, err error) {
	s := &site{anchor: o}
	for _, m := range [...]*op{o.args[0].def, o.args[1].def, o} {
		if m == nil || slices.Contains(s.holders, m.top) { // a param, or a region that makes both
			continue
		}
		s.holders = append(s.holders, m.top)
		if held := r.view().in[m.top]; held != nil {
			s.members = append(s.members, held...)
		} else {
			s.members = append(s.members, m)
		}
	}
	key := r.rivalKey(s)
	if out, ok := r.memo.comparisons[key]; ok {
		return out, nil
	}
	defer func() { r.memo.comparisons[key] = out }()
	nodes, _ := r.contested(s)
	if nodes == nil {
		nodes = s.holders
	}
	nodes = withBetween(nodes)
	apart := newStretch(r.graph.Extract(nodes))
	if out.without, err = r.forecast(apart, r.rest); err != nil {
		return out, err
	}
	at := 0 // place of the scaling among the copies
	for i, n := range nodes {
		if n.Before(o.top) && !slices.Contains(nodes[:i], n) {
			at++
		}
	}
	g := apart.graph.Clone()
	changed, err := joinSums(g, g.Nodes()[at])
	if err != nil {
		return out, err
	}
	for _, n := range changed {
		if err := r.lowerable(n); err != nil {
			out.refusal = fmt.Sprintf("%s cannot make the norm whole: %v", r.target.Name, err)
			return out, nil
		}
	}
	out.with, err = r.forecast(newStretch(g), r.rest)
	return out, err
}

// joinSums makes the rms_scale n of g a norm, and drops the sums that it took, of a region
// too. It returns the nodes that are others then.
func joinSums(g *ir.Graph, n *ir.Node) (changed []*ir.Node, err error) {
	sums := n.Args[1]
	norm, err := joinScale(g, n)
	if err != nil {
		return nil, err
	}
	changed = []*ir.Node{norm}
	from := sums.Def
	if len(from.Results) == 1 {
		return changed, g.Erase(from)
	}
	inner := from.Region.Results[sums.Index].Value.Def
	if err := from.DropResult(sums.Index); err != nil {
		return nil, err
	}
	return append(changed, from), from.Region.Erase(inner)
}
