package passes

import (
	"fmt"
	"hash/maphash"
	"time"

	"foundry/ir"
	"foundry/ir/cost"
	"foundry/ir/sym"
	"foundry/ir/target"
)

// run is a pipeline under way on one graph.
type run struct {
	*Context
	graph     *ir.Graph
	target    *target.Target
	choices   *cost.Choices
	env       sym.Env // the run that costs are compared for
	call      Call
	rest      Pipeline   // passes still to come
	restText  string     // rest as text; empty until something is weighed against it
	flattened *flatGraph // nil where an edit has made it stale
	rewrites  int        // the number of rewrites of the current pass
	reach     int        // operations from a site that the anchor of a rival may stand
	memo      *memo
	matchers  map[*form]*matcher
}

// memo holds answers that depend on what a region computes, not on where it
// stands, so that equal layers are asked about once.
type memo struct {
	seed        maphash.Seed
	sites       map[siteKey]assessment
	comparisons map[rivalKey]comparison
	forecasts   map[forecastKey]forecast
}

func newMemo() *memo {
	return &memo{maphash.MakeSeed(), make(map[siteKey]assessment), make(map[rivalKey]comparison), make(map[forecastKey]forecast)}
}

// Run applies the pipeline to g in place. After every pass that edited it the
// graph is verified; an error names the pass.
func (p Pipeline) Run(g *ir.Graph, cx *Context) error {
	r, err := newRun(g, cx)
	if err != nil {
		return err
	}
	return r.runAll(p)
}

// runAll runs the passes of p.
func (r *run) runAll(p Pipeline) error {
	cx, g := r.Context, r.graph
	for i, c := range p {
		start, before := time.Now(), len(g.Nodes())
		if err := r.runPass(p, i); err != nil {
			return err
		}
		if cx.Trace != nil {
			*cx.Trace = append(*cx.Trace, Step{c.String(), time.Since(start), before, len(g.Nodes()), r.rewrites})
		}
		if r.rewrites > 0 || i == 0 {
			if err := ir.Verify(g); err != nil {
				return fmt.Errorf("%s left a graph that is not valid: %w", c.Pass.Name, err)
			}
		}
		if cx.After != nil {
			if err := cx.After(c.Pass.Name, g); err != nil {
				return err
			}
		}
	}
	return nil
}

func newRun(g *ir.Graph, cx *Context) (*run, error) {
	r := &run{Context: cx, graph: g, target: cx.Target, env: cost.Typical(g.Bounds), reach: reach,
		memo: newMemo(), matchers: make(map[*form]*matcher)}
	if r.target == nil {
		t, err := target.Find(target.Default)
		if err != nil {
			return nil, err
		}
		r.target = t
	}
	if r.choices = cx.Choices; r.choices == nil {
		r.choices = cost.NewChoices(r.target, nil)
	}
	return r, nil
}

// runPass runs pass i of the pipeline.
func (r *run) runPass(p Pipeline, i int) error {
	r.call, r.rest, r.restText, r.rewrites = p[i], p[i+1:], "", 0
	if p[i].Pass.run == nil {
		return fmt.Errorf("pass %q: %w", p[i].Pass.Name, errNoTable)
	}
	if err := p[i].Pass.run(r); err != nil {
		return fmt.Errorf("%s: %w", p[i].Pass.Name, err)
	}
	return nil
}

// view returns the graph seen through its regions.
func (r *run) view() *flatGraph {
	if r.flattened == nil {
		r.flattened = flatten(r.graph)
	}
	return r.flattened
}

// noteEdit notes a rewrite that did not go through the view.
func (r *run) noteEdit() {
	r.flattened = nil
	r.rewrites++
}

// lowerable asks the target's lowering whether n can become kernels.
func (r *run) lowerable(n *ir.Node) error {
	if r.Lowerable == nil {
		return nil
	}
	return r.Lowerable(n)
}
