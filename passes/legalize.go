package passes

import (
	"fmt"

	"foundry/ir"
)

// legalize makes the graph what lowering may rely on: sums of squares stand in
// regions only, nothing is computed in vain, and every node that is a dispatch
// can become a kernel of the target.
func legalize(r *run) error {
	if err := r.joinNorms(); err != nil {
		return err
	}
	if err := dce(r); err != nil {
		return err
	}
	for _, n := range r.graph.Nodes() {
		if n.Op.Is(ir.View) && !n.Op.Is(ir.AsMain) {
			continue
		}
		open := *n
		open.Attr.Kernel = "" // which kernels there are hangs on the whole graph: lowering holds the node to its words
		if err := r.lowerable(&open); err != nil {
			return fmt.Errorf("%s cannot become a kernel of %s: %w", n, r.target.Name, err)
		}
	}
	return nil
}
