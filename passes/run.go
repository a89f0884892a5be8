package passes

import (
	"fmt"
	"time"

	"foundry/ir"
	"foundry/ir/cost"
	"foundry/ir/sym"
	"foundry/ir/target"
)

// run is a pipeline under way on one graph.
type run struct {
	*Context
	graph    *ir.Graph
	target   *target.Target
	env      sym.Env // the run that costs are compared for
	call     Call
	rest     Pipeline // passes still to come
	flat     *flat    // nil where an edit has made it stale
	rewrites int      // of the current pass
	works    map[*ir.Node][]cost.Kernel
}

// Run applies the pipeline to g in place. After every pass the graph is
// verified; an error names the pass.
func (p Pipeline) Run(g *ir.Graph, cx *Context) error {
	r := &run{Context: cx, graph: g, target: cx.Target, env: cost.Typical(g.Bounds), works: make(map[*ir.Node][]cost.Kernel)}
	if r.target == nil {
		t, err := target.Find(target.Default)
		if err != nil {
			return err
		}
		r.target = t
	}
	for i, c := range p {
		r.call, r.rest, r.rewrites = c, p[i+1:], 0
		start, before := time.Now(), len(g.Nodes())
		if err := c.Pass.run(r); err != nil {
			return fmt.Errorf("%s: %w", c.Pass.Name, err)
		}
		if cx.Trace != nil {
			*cx.Trace = append(*cx.Trace, Step{c.String(), time.Since(start), before, len(g.Nodes()), r.rewrites})
		}
		if err := ir.Verify(g); err != nil {
			return fmt.Errorf("%s left a graph that is not valid: %w", c.Pass.Name, err)
		}
		if cx.After != nil {
			if err := cx.After(c.Pass.Name, g); err != nil {
				return err
			}
		}
	}
	return nil
}

// view returns the graph seen through its regions.
func (r *run) view() *flat {
	if r.flat == nil {
		r.flat = flatten(r.graph)
	}
	return r.flat
}

// edited notes a rewrite that did not go through the view.
func (r *run) edited() {
	r.flat = nil
	r.rewrites++
}
