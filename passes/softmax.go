package passes

import (
	"fmt"

	"foundry/ir"
	"foundry/ir/cost"
	"foundry/lower/plan"
)

// cutSoftmax gives the rows of a softmax that stands alone to several threadgroups
// each, where the cost model predicts that to be faster.
func cutSoftmax(r *run) error {
	found := false
	for _, n := range r.graph.Nodes() {
		if n.Op != ir.OpSoftmax {
			continue
		}
		found = true
		d := plan.Decision{Pass: r.call.String(), Pattern: r.call.Pass.Name, Node: n.Label, Layer: n.Layer(), Outcome: plan.Refused}
		if d.Node == "" {
			d.Node = n.Results[0].String()
		}
		rows, whole := cost.SoftmaxOf(n, r.graph.Bounds), cost.SoftmaxForm{}
		wholeUs := rows.Us(whole, r.target)
		cut, cutUs := r.bestCut(rows)
		what := fmt.Sprintf("%d x %d elements", rows.Rows, rows.Length)
		switch {
		case n.Attr.Segment != 0:
			d.Reason = fmt.Sprintf("the graph says %s", cost.SoftmaxForm{Segment: int64(n.Attr.Segment)})
		case cut == whole:
			d.Reason = fmt.Sprintf("%s for %s: they are too short to cut", whole, what)
		case wholeUs <= cutUs:
			d.Outcome = plan.Unprofitable
			d.Reason = fmt.Sprintf("%s for %s: predicted %.1f us, in %s %.1f", whole, what, wholeUs, cut, cutUs)
		case !r.Fuel.take(r.call.Pass.Name + " " + n.Label):
			d.Reason = "the fuel is spent"
		default:
			d.Outcome, d.Waves = plan.Matched, -1
			d.Reason = fmt.Sprintf("%s for %s: predicted %.1f us, as %s %.1f", cut, what, cutUs, whole, wholeUs)
			if err := r.cut(n, int(cut.Segment)); err != nil {
				return err
			}
		}
		r.Log.add(d)
	}
	if !found {
		r.Log.add(plan.Decision{Pass: r.call.String(), Pattern: r.call.Pass.Name, Node: "graph " + r.graph.Name, Layer: -1, Outcome: plan.Refused, Reason: "no site: no softmax stands alone"})
	}
	return nil
}

// bestCut returns the fastest of the ways to cut rows, the zero form where there is
// none.
func (r *run) bestCut(rows cost.SoftmaxRows) (best cost.SoftmaxForm, us float64) {
	for _, f := range rows.Cuts() {
		if x := rows.Us(f, r.target); best == (cost.SoftmaxForm{}) || x < us {
			best, us = f, x
		}
	}
	return best, us
}

// cut puts a softmax in segments in the place of n.
func (r *run) cut(n *ir.Node, segment int) error {
	a := n.Attr
	a.Segment = segment
	y, err := r.graph.InsertBefore(n, n.Op, n.Label, a, n.Args[0])
	if err != nil {
		return err
	}
	if err := r.graph.ReplaceUses(n.Result(), y); err != nil {
		return err
	}
	r.edited()
	return r.graph.Erase(n)
}
