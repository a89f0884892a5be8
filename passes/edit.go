package passes

import (
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"

	"foundry/ir"
	"foundry/ir/sym"
	"foundry/ir/target"
	"foundry/lower/plan"
)

// Edit is a pass that rewrites a graph node by node. It must make something strictly
// smaller, so that running it again changes nothing.
type Edit struct {
	Name string
	Doc  string // the effect, in one sentence
	// Consider says what the edit would do at a node, nil where the node is none of
	// its business. It edits nothing itself. A panic in it, or in the Do of what it
	// returns, is an error of the pass.
	Consider func(at Candidate) *Rewrite
	Absent   string // the log's line on a graph without a site: "the graph repeats no heads"
}

// Candidate is a node that an edit may rewrite, or what stands around it.
type Candidate struct {
	Graph  *ir.Graph
	Node   *ir.Node
	Target *target.Target
	Env    sym.Env // the run that costs are compared for
}

// Rewrite is what an edit would do, or why it does not.
type Rewrite struct {
	Do      func() error // edits the graph; nil: nothing is done
	Outcome string       // the outcome where nothing is done; "": plan.Refused
	Reason  string       // the reason, for or against
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
			d := plan.Decision{Node: n.Label, Layer: n.Layer()}
			if d.Node == "" {
				d.Node = n.Results[0].String()
			}
			var w *Rewrite
			if err := guard(func() error {
				w = e.Consider(Candidate{r.graph, n, r.target, r.env})
				return nil
			}); err != nil {
				return fmt.Errorf("%s: %w", d.Node, err)
			}
			if w == nil {
				continue
			}
			sites++
			d.Outcome, d.Reason = w.Outcome, w.Reason
			switch {
			case w.Do == nil && w.Outcome == "":
				d.Outcome = plan.Refused
			case w.Do == nil:
			case !r.Fuel.take(e.Name + " " + n.Label):
				d.Outcome, d.Reason = plan.Refused, "the fuel is spent"
			default:
				d.Outcome, d.Bytes, d.Waves = plan.Matched, w.Bytes, w.Waves
				if err := guard(w.Do); err != nil {
					return fmt.Errorf("%s: %w", d.Node, err)
				}
				r.noteEdit()
			}
			r.logDecision(d)
		}
		if sites == 0 && e.Absent != "" {
			r.logNoSite(e.Absent)
		}
		return nil
	}}
}

// guard runs a function of an edit, which may be a program's own; a panic there is an
// error that says where.
func guard(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("it panics%s: %v", panicPlace(), p)
		}
	}()
	return f()
}

// panicPlace is the place in the code that panics, for the function that recovers.
func panicPlace() string {
	pcs := make([]uintptr, 64)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(1, pcs)])
	panics := false
	for {
		f, more := frames.Next()
		switch {
		case f.Function == "runtime.gopanic":
			panics = true
		case panics && !strings.HasPrefix(f.Function, "runtime."):
			return fmt.Sprintf(" in %s at %s:%d", f.Function, filepath.Base(f.File), f.Line)
		case !more:
			return ""
		}
	}
}

// logDecision logs a decision of the current pass.
func (r *run) logDecision(d plan.Decision) {
	d.Pass, d.Pattern = r.call.String(), r.call.Pass.Name
	r.Log.add(d)
}

// logNoSite logs that the current pass has no site in the graph, and why.
func (r *run) logNoSite(why string) {
	r.logDecision(plan.Decision{Node: "graph " + r.graph.Name, Layer: -1, Outcome: plan.NoSite, Reason: why})
}

// errNoTable is of a pass that stands in no table.
var errNoTable = errors.New("it is of no table; make passes with Table.With")
