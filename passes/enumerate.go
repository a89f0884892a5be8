package passes

import (
	"crypto/sha256"
	"fmt"
	"runtime"

	"golang.org/x/sync/errgroup"

	"foundry/ir"
)

// Outcome is a distinct result of fusing one graph.
type Outcome struct {
	Subset  // the first that gives it
	Graph   *ir.Graph
	Members []int // indices of all subsets that give it, in order
}

// Enumerate runs every subset on a copy of g and returns the distinct results, in
// the order in which they are first met. Subsets that begin alike share the work
// of their beginning, and processors share the subsets. cx gives target and
// predicate, which is asked from several goroutines; its log, trace, fuel and hook
// are not used.
func Enumerate(g *ir.Graph, cx *Context, subsets []Subset) ([]Outcome, error) {
	// Shares are contiguous, so that subsets that begin alike stay together, and
	// more than there are processors, so that these end together.
	shares := min(4*runtime.GOMAXPROCS(0), max(1, len(subsets)/64))
	parts := make([]*enumeration, shares)
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i := range parts {
		parts[i] = newEnumeration(cx)
		lo, hi := i*len(subsets)/shares, (i+1)*len(subsets)/shares
		group.Go(func() error { return parts[i].walk(g, subsets[lo:hi], lo) })
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	first := parts[0]
	for _, p := range parts[1:] {
		for i, o := range p.outcomes {
			first.meet(p.hashes[i], o)
		}
	}
	return first.outcomes, nil
}

// enumeration is a walk over subsets and what it has met.
type enumeration struct {
	context  *Context
	known    *known
	outcomes []Outcome
	hashes   [][32]byte // of the outcomes' graphs
	at       map[[32]byte]int
}

func newEnumeration(cx *Context) *enumeration {
	return &enumeration{context: &Context{Target: cx.Target, Lowerable: cx.Lowerable}, known: newKnown(), at: map[[32]byte]int{}}
}

// stage is a graph behind some calls of a pipeline. Pipelines that begin with the
// same keys make the same of a graph.
type stage struct {
	key   string // of the last of the calls
	graph *ir.Graph
}

// key names call i of p as far as its effect on a graph goes: one that weighs sites
// against the passes to come, with these.
func (p Pipeline) key(i int) string {
	if p[i].careful() {
		return p[i:].String()
	}
	return p[i].String()
}

// walk runs subsets, the first of which has the given index, on copies of g.
func (e *enumeration) walk(g *ir.Graph, subsets []Subset, index int) error {
	stack := []stage{{graph: g}}
	for k, s := range subsets {
		// Go back to where this pipeline and the one before part.
		common := 0
		for common < len(s.Pipeline) && common+1 < len(stack) && stack[common+1].key == s.Pipeline.key(common) {
			common++
		}
		stack = stack[:common+1]
		for i := common; i < len(s.Pipeline); i++ {
			next, err := e.advance(stack[i].graph, s.Pipeline, i)
			if err != nil {
				return fmt.Errorf("subset %s: %w", s, err)
			}
			stack = append(stack, stage{s.Pipeline.key(i), next})
		}
		last := stack[len(stack)-1].graph
		e.meet(sha256.Sum256([]byte(last.Canonical())), Outcome{s, last, []int{index + k}})
	}
	return nil
}

// advance runs call i of p on a copy of g and verifies the result.
func (e *enumeration) advance(g *ir.Graph, p Pipeline, i int) (*ir.Graph, error) {
	r, err := newRun(g.Clone(), e.context)
	if err != nil {
		return nil, err
	}
	clear(e.known.regions) // of nodes of the copy before
	r.known = e.known
	if err := r.one(p, i); err != nil {
		return nil, err
	}
	if r.rewrites == 0 {
		return g, nil
	}
	return r.graph, ir.Verify(r.graph)
}

func (e *enumeration) meet(hash [32]byte, o Outcome) {
	i, met := e.at[hash]
	if met {
		e.outcomes[i].Members = append(e.outcomes[i].Members, o.Members...)
		return
	}
	e.at[hash] = len(e.outcomes)
	e.outcomes, e.hashes = append(e.outcomes, o), append(e.hashes, hash)
}
