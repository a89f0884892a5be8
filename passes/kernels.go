package passes

import (
	"errors"
	"fmt"

	"foundry/ir/kernel"
	"foundry/lower/plan"
)

// chooseKernels writes to each node the kernel that the cost model chooses for it, as
// words that lowering then takes: what a reader sees, and can change. Nodes with words of
// their own keep them; those with nothing to choose stay without. Which kernels there are
// hangs on values' bounds, which lowering knows: choices that take all values for bounded
// would give words of kernels that it has not.
func chooseKernels(r *run) error {
	if r.Choices == nil {
		return errors.New("the context has no choices of kernels, which know the bounds of values")
	}
	costs := r.choices.Finished(r.graph, r.env)
	found := false
	for _, n := range r.graph.Nodes() {
		var chosen kernel.Kernel
		count := 0
		for k := range costs.Candidates(n) {
			if count++; count == 1 {
				chosen = k
			}
		}
		if count == 0 {
			continue
		}
		found = true
		d := plan.Decision{Node: n.Label, Layer: n.Layer(), Outcome: plan.Matched, Reason: fmt.Sprintf("%s, of %s", chosen, countNoun(count, "kernel", "kernels"))}
		if d.Node == "" {
			d.Node = n.Results[0].String()
		}
		if n.Attr.Kernel != "" {
			d.Outcome, d.Reason = plan.Refused, fmt.Sprintf("the graph says %s", n.Attr.Kernel)
			r.logDecision(d)
			continue
		}
		if !r.Fuel.take("choose-kernels " + n.Label) {
			d.Outcome, d.Reason = plan.Refused, "the fuel is spent"
			r.logDecision(d)
			continue
		}
		n.Attr.Kernel = chosen.String()
		r.noteEdit()
		r.logDecision(d)
	}
	if !found {
		r.logNoSite("no node has a kernel to choose")
	}
	return nil
}
