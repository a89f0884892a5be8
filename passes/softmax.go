package passes

import (
	"fmt"

	"foundry/ir"
	"foundry/ir/cost"
	"foundry/ir/names"
	"foundry/ir/target"
	"foundry/lower/plan"
)

// cutSoftmax gives the rows of a softmax that stands alone to several threadgroups
// each, where the cost model predicts that to be faster.
var cutSoftmax = Edit{
	Name:   "cut-softmax",
	Doc:    "gives the rows of a softmax that stands alone to several threadgroups each, and a merge, where the cost model predicts that to be faster",
	Absent: "no softmax stands alone",
	Consider: func(at Candidate) *Rewrite {
		n := at.Node
		if n.Op != ir.OpSoftmax {
			return nil
		}
		rows, whole := cost.SoftmaxOf(n, at.Graph.Bounds), cost.SoftmaxForm{}
		wholeUs := rows.Us(whole, at.Target)
		cut, cutUs := bestCut(rows, at.Target)
		what := fmt.Sprintf("%d x %d elements", rows.Rows, rows.Length)
		switch {
		case n.Attr.Segment != 0:
			return Refuse("the graph says %s", cost.SoftmaxForm{Segment: int64(n.Attr.Segment)})
		case cut == whole:
			return Refuse("%s for %s: they are too short to cut", whole, what)
		case wholeUs <= cutUs:
			return &Rewrite{Outcome: plan.Unprofitable, Reason: fmt.Sprintf("%s for %s: predicted %s, in %s %s", whole, what, names.Micros(wholeUs), cut, names.Micros(cutUs))}
		}
		return &Rewrite{
			Do:     func() error { return cutInto(at.Graph, n, int(cut.Segment)) },
			Reason: fmt.Sprintf("%s for %s: predicted %s, as %s %s", cut, what, names.Micros(cutUs), whole, names.Micros(wholeUs)),
			Waves:  -1,
		}
	},
}

// bestCut returns the fastest of the ways to cut rows, the zero form where there is
// none.
func bestCut(rows cost.SoftmaxRows, t *target.Target) (best cost.SoftmaxForm, us float64) {
	for _, f := range rows.Cuts() {
		if x := rows.Us(f, t); best == (cost.SoftmaxForm{}) || x < us {
			best, us = f, x
		}
	}
	return best, us
}

// cutInto puts a softmax in segments in the place of n.
func cutInto(g *ir.Graph, n *ir.Node, segment int) error {
	a := n.Attr
	a.Segment = segment
	y, err := g.InsertBefore(n, n.Op, n.Label, a, n.Args[0])
	if err != nil {
		return err
	}
	if err := g.ReplaceUses(n.Result(), y); err != nil {
		return err
	}
	return g.Erase(n)
}
