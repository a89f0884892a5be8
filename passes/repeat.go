package passes

import (
	"fmt"
	"slices"

	"foundry/ir"
	"foundry/ir/cost"
	"foundry/ir/names"
	"foundry/lower/plan"
)

// dropRepeatKV gives the products of attention the cache's heads themselves:
// head h takes head h / times, so the copy that repeat_kv makes is not needed.
func dropRepeatKV(r *run) error {
	found := false
	for _, n := range r.graph.Nodes() {
		if n.Op != ir.OpRepeatKV {
			continue
		}
		found = true
		d := plan.Decision{Pass: r.call.String(), Pattern: r.call.Pass.Name, Node: n.Label, Layer: n.Layer(), Outcome: plan.Refused}
		users := slices.Clone(n.Result().Users())
		switch odd := oddUser(n); {
		case odd != nil:
			d.Reason = fmt.Sprintf("%s %s takes the copy, and only products of heads can index instead", names.InLayer(odd.Label), odd.Op)
		case overwritten(n.Args[0]):
			d.Reason = "the cache is overwritten later, so the products need the copy"
		case r.graph.Returned(n.Result()):
			d.Reason = "the copy is a result of the graph"
		case !r.Fuel.take(r.call.Pass.Name + " " + n.Label):
			d.Reason = "the fuel is spent"
		default:
			for _, u := range users {
				if err := u.SetArg(1, n.Args[0]); err != nil {
					return err
				}
			}
			d.Outcome, d.Waves, d.Bytes = plan.Matched, 1, cost.Moved(n).Eval(r.env)
			d.Reason = fmt.Sprintf("%s the heads of the cache, %s for %d, %s less moved",
				counted(len(users), "product indexes", "products index"), n.Args[0].Type.Shape.At(0), int(n.Result().Type.Shape.At(0).C), bytesText(d.Bytes))
			if err := r.graph.Erase(n); err != nil {
				return err
			}
			r.edited()
		}
		r.Log.add(d)
	}
	if !found {
		r.Log.add(plan.Decision{Pass: r.call.String(), Pattern: r.call.Pass.Name, Node: "graph " + r.graph.Name, Layer: -1, Outcome: plan.Refused, Reason: "no site: the graph repeats no heads"})
	}
	return nil
}

// oddUser returns a user of n that is not a product of heads with n as its
// second operand.
func oddUser(n *ir.Node) *ir.Node {
	for _, u := range n.Result().Users() {
		if !u.Op.Is(ir.Contraction) || u.Args[0] == n.Result() || u.Args[0].Type.Shape.Rank != 3 {
			return u
		}
	}
	return nil
}
