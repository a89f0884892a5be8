package passes

import (
	"errors"
	"fmt"

	"foundry/ir"
	"foundry/ir/sym"
	"foundry/ir/target"
	"foundry/lower/plan"
)

// Edit is a pass that rewrites a graph node by node. It must make something strictly
// smaller, so that running it again changes nothing.
type Edit struct {
	Name string
	Doc  string // what it does, in one sentence
	// Consider says what the edit would do at a node, nil where the node is none of
	// its business. It edits nothing itself.
	Consider func(at Place) *Rewrite
	Absent   string // what the log says of a graph without a site: "the graph repeats no heads"
}

// Place is a node of a graph that a pass is looking at.
type Place struct {
	Graph  *ir.Graph
	Node   *ir.Node
	Target *target.Target
	Env    sym.Env // the run that costs are compared for
}

// Rewrite is what an edit would do, or why it does not.
type Rewrite struct {
	Do      func() error // edits the graph; nil: nothing is done
	Outcome string       // where nothing is done; "": plan.Refused
	Reason  string       // why, or why not
	Bytes   int64        // less moved
	Waves   int          // fewer
}

// Refuse is a rewrite that is not made.
func Refuse(format string, args ...any) *Rewrite {
	return &Rewrite{Reason: fmt.Sprintf(format, args...)}
}

// pass runs the edit: a unit of fuel for each rewrite, a decision for each site.
func (e *Edit) pass() *Pass {
	return &Pass{Name: e.Name, Doc: e.Doc, run: func(r *run) error {
		sites := 0
		for _, n := range r.graph.Nodes() {
			if n.Dead() { // with a rewrite before
				continue
			}
			w := e.Consider(Place{r.graph, n, r.target, r.env})
			if w == nil {
				continue
			}
			sites++
			d := plan.Decision{Node: n.Label, Layer: n.Layer(), Outcome: w.Outcome, Reason: w.Reason}
			if d.Node == "" {
				d.Node = n.Results[0].String()
			}
			switch {
			case w.Do == nil && w.Outcome == "":
				d.Outcome = plan.Refused
			case w.Do == nil:
			case !r.Fuel.take(e.Name + " " + n.Label):
				d.Outcome, d.Reason = plan.Refused, "the fuel is spent"
			default:
				d.Outcome, d.Bytes, d.Waves = plan.Matched, w.Bytes, w.Waves
				if err := w.Do(); err != nil {
					return fmt.Errorf("%s: %w", d.Node, err)
				}
				r.edited()
			}
			r.decide(d)
		}
		if sites == 0 && e.Absent != "" {
			r.nothing(e.Absent)
		}
		return nil
	}}
}

// decide logs a decision of the current pass.
func (r *run) decide(d plan.Decision) {
	d.Pass, d.Pattern = r.call.String(), r.call.Pass.Name
	r.Log.add(d)
}

// nothing logs that the current pass has no site in the graph, and why.
func (r *run) nothing(why string) {
	r.decide(plan.Decision{Node: "graph " + r.graph.Name, Layer: -1, Outcome: plan.NoSite, Reason: why})
}

// errNoTable is of a pass that stands in no table.
var errNoTable = errors.New("it is of no table; make passes with Table.With")
