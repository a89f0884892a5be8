package compile

import (
	"strings"
	"sync"

	"foundry/ir"
	"foundry/ir/cost"
	"foundry/ir/target"
	"foundry/lower/metal"
)

// Lowerable returns what passes ask before they fuse: whether lowering has a
// kernel for a node. It is lowering's own predicate, asked once for all nodes
// that compute the same: a model's layers repeat. It may be called from several
// goroutines.
func Lowerable(t *target.Target) func(*ir.Node) error {
	var known sync.Map // question to answer
	type answer struct{ err error }
	return func(n *ir.Node) error {
		key := lowerableKey(n)
		if a, ok := known.Load(key); ok {
			return a.(answer).err
		}
		err := cost.Lowerable(n, t)
		known.Store(key, answer{err})
		return err
	}
}

// Unbounded says which values of a graph have no bound, as lowering finds them.
func Unbounded(g *ir.Graph) func(*ir.Value) bool { return metal.Unbounded(g) }

// lowerableKey is the same for two nodes only when cost.Lowerable answers the same: the
// pattern that formed the region, its kernel, which operands are weights, what is computed.
func lowerableKey(n *ir.Node) string {
	var b strings.Builder
	b.WriteString(n.Attr.Pattern)
	b.WriteString(n.Attr.Kernel)
	for _, a := range n.Args {
		b.WriteByte(',')
		if p := ir.StateRoot(a).Param; p != nil {
			b.WriteString(p.Kind.String())
		}
	}
	b.WriteByte('\n')
	b.WriteString(n.Key())
	return b.String()
}
