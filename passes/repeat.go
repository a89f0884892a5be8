package passes

import (
	"fmt"
	"slices"

	"foundry/ir"
	"foundry/ir/cost"
	"foundry/ir/names"
)

// dropRepeatKV gives the products of attention the cache's heads themselves:
// head h takes head h / times, so the copy that repeat_kv makes is not needed.
var dropRepeatKV = Edit{
	Name:   "drop-repeat-kv",
	Doc:    "lets the products of attention index the heads of the cache that repeat_kv would copy (fusion 12)",
	Absent: "the graph repeats no heads",
	Consider: func(at Candidate) *Rewrite {
		n := at.Node
		if n.Op != ir.OpRepeatKV {
			return nil
		}
		switch odd := oddUser(n); {
		case odd != nil:
			return Refuse("%s %s takes the copy, and only products of heads can index instead", names.InLayer(odd.Label), odd.Op)
		case liesInOverwritten(n.Args[0]):
			return Refuse("the cache is overwritten later, so the products need the copy")
		case at.Graph.Returned(n.Result()):
			return Refuse("the copy is a result of the graph")
		}
		users, bytes := slices.Clone(n.Result().Users()), cost.Moved(n).Eval(at.Env)
		return &Rewrite{
			Do: func() error {
				for _, u := range users {
					if err := u.SetArg(1, n.Args[0]); err != nil {
						return err
					}
				}
				return at.Graph.Erase(n)
			},
			Reason: fmt.Sprintf("%s the heads of the cache, %s for %d, %s less moved",
				countNoun(len(users), "product indexes", "products index"), n.Args[0].Type.Shape.At(0), int(n.Result().Type.Shape.At(0).C), names.Bytes(bytes)),
			Bytes: bytes, Waves: 1,
		}
	},
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
