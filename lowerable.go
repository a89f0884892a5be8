package foundry

import (
	"strings"

	"foundry/ir"
	"foundry/ir/target"
	"foundry/lower/metal"
)

// lowerable returns what passes ask before they fuse: whether lowering has a
// kernel for a node. It is lowering's own predicate, asked once for all nodes
// that compute the same: a model's layers repeat.
func lowerable(t *target.Target) func(*ir.Node) error {
	type answer struct{ err error }
	known := map[string]answer{}
	return func(n *ir.Node) error {
		key := question(n)
		a, ok := known[key]
		if !ok {
			a = answer{metal.Check(n, t)}
			known[key] = a
		}
		return a.err
	}
}

// question is the same for two nodes exactly when Check answers the same: what
// they compute, and which operands are weights.
func question(n *ir.Node) string {
	var b strings.Builder
	for _, a := range n.Args {
		if p := ir.StateRoot(a).Param; p != nil {
			b.WriteString(p.Kind.String())
		}
		b.WriteByte(',')
	}
	b.WriteString(n.Key())
	return b.String()
}
