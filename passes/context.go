package passes

import (
	"time"

	"foundry/ir"
	"foundry/ir/cost"
	"foundry/ir/target"
	"foundry/lower/plan"
)

// Context is what a pipeline runs with. The zero value fuses whatever the
// patterns allow, for the default target, and keeps no log.
type Context struct {
	// Target's constants weigh fusions; nil means target.Default.
	Target *target.Target
	// Choices are the choices of kernels for the target that were made so far, which costs
	// rest on; nil: none were. choose-kernels wants those that lowering is asked with.
	Choices *cost.Choices
	// Lowerable says why a fused node cannot become a kernel; it may be asked
	// about nodes that stand in no graph. nil accepts every region.
	Lowerable func(*ir.Node) error
	Log       *Log    // a taker of records, one a site; may be nil
	Fuel      *Fuel   // bounds the rewrites of fusing passes; nil: no bound
	Trace     *[]Step // a taker of records, one a pass; may be nil
	// After is called with the graph after every pass; its error ends the run.
	After func(pass string, g *ir.Graph) error
}

// Log collects the decisions of a run, one a site, in the order they were made, and what
// came of the kernels that passes ask for.
type Log struct {
	Decisions []plan.Decision
	Pins      []Pinned
}

// Pinned is what came of the kernel that a pass asks for.
type Pinned struct {
	Pass    string // the call in the pipeline, with options
	Words   string // words of the kernel
	Served  int    // the number of sites that can have it
	Lacking int    // the number of sites that have no such kernel
	Why     string // the first of these, and the reason
}

func (l *Log) add(d plan.Decision) {
	if l != nil {
		l.Decisions = append(l.Decisions, d)
	}
}

func (l *Log) addPin(p Pinned) {
	if l != nil && p.Words != "" {
		l.Pins = append(l.Pins, p)
	}
}

// Step is the record of one pass over one graph.
type Step struct {
	Pass          string // the call in the pipeline, with options
	Time          time.Duration
	Before, After int // nodes
	Rewrites      int
}

// Fuel bounds the number of rewrites, so that the one that breaks a property can
// be found by bisection.
type Fuel struct {
	Left int    // rewrites still allowed
	Used int    // rewrites made
	Last string // pass and node of the last rewrite
}

// take uses one unit and reports whether there was one.
func (f *Fuel) take(what string) bool {
	if f == nil {
		return true
	}
	if f.Left <= 0 {
		return false
	}
	f.Left--
	f.Used++
	f.Last = what
	return true
}

// Bisect finds the first rewrite that makes bad true. bad runs a compile with
// the given fuel and says whether the property is broken, and what the last
// rewrite of that compile was. It returns how many rewrites are harmless and the
// name of the next one; ok is false where even max rewrites are harmless, or
// where none is already bad.
func Bisect(most int, bad func(fuel int) (broken bool, last string, err error)) (good int, culprit string, ok bool, err error) {
	broken, culprit, err := bad(most)
	if err != nil || !broken {
		return most, "", false, err
	}
	if broken, _, err = bad(0); err != nil || broken {
		return 0, "", false, err
	}
	lo, hi := 0, most // lo is good, hi is bad
	for hi-lo > 1 {
		mid := (lo + hi) / 2
		broken, last, err := bad(mid)
		if err != nil {
			return lo, "", false, err
		}
		if broken {
			hi, culprit = mid, last
		} else {
			lo = mid
		}
	}
	return lo, culprit, true, nil
}
