package passes

import (
	"crypto/sha256"
	"fmt"
	"runtime"

	"golang.org/x/sync/errgroup"

	"foundry/ir"
)

// Outcome is a distinct result of fusing one graph.
type Outcome[T any] struct {
	Subset        // the first that gives it
	Of      T     // the answer about its graph
	Members []int // indices of all subsets that give it, in order
}

// Enumerate runs every subset on a copy of g and returns the distinct results, in
// the order in which they are first met. Of each it keeps what of makes of the graph:
// all graphs together are gigabytes. Subsets that begin alike share the work of their
// beginning, and processors share the subsets. cx gives target and predicate, which
// is asked from several goroutines, as of is; its log, trace, fuel and hook are not
// used.
func Enumerate[T any](g *ir.Graph, cx *Context, subsets []Subset, of func(*ir.Graph) T) ([]Outcome[T], error) {
	// Shares are contiguous, so that subsets that begin alike stay together, and
	// more than there are processors, so that these end together.
	shares := min(4*runtime.GOMAXPROCS(0), max(1, len(subsets)/64))
	parts := make([]distinct[T], shares)
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i := range parts {
		parts[i].at = map[[sha256.Size]byte]int{}
		lo, hi := i*len(subsets)/shares, (i+1)*len(subsets)/shares
		group.Go(func() error {
			return newEnumeration(cx).walk(g, subsets[lo:hi], func(k int, result *ir.Graph) {
				hash := sha256.Sum256([]byte(result.Canonical()))
				o := Outcome[T]{Subset: subsets[lo+k], Members: []int{lo + k}}
				if _, met := parts[i].at[hash]; !met {
					o.Of = of(result)
				}
				parts[i].record(hash, o)
			})
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	first := &parts[0]
	for _, p := range parts[1:] {
		for i, o := range p.list {
			first.record(p.hashes[i], o)
		}
	}
	return first.list, nil
}

// distinct are those met so far.
type distinct[T any] struct {
	list   []Outcome[T]
	hashes [][sha256.Size]byte // hashes of their graphs
	at     map[[sha256.Size]byte]int
}

func (m *distinct[T]) record(hash [sha256.Size]byte, o Outcome[T]) {
	i, met := m.at[hash]
	if met {
		m.list[i].Members = append(m.list[i].Members, o.Members...)
		return
	}
	m.at[hash] = len(m.list)
	m.list, m.hashes = append(m.list, o), append(m.hashes, hash)
}

// enumeration is a walk over pipelines, which share what was found of sites.
type enumeration struct {
	context *Context
	memo    *memo
}

func newEnumeration(cx *Context) *enumeration {
	return &enumeration{&Context{Target: cx.Target, Choices: cx.Choices, Lowerable: cx.Lowerable}, newMemo()}
}

// prefix is a graph behind some calls of a pipeline. Pipelines that begin with the
// same keys make the same of a graph.
type prefix struct {
	key   string // the key of the last of the calls
	graph *ir.Graph
}

// key names call i of p as far as its effect on a graph goes: one that weighs sites
// against the passes to come, with these.
func (p Pipeline) key(i int) string {
	if p[i].weighsGains() {
		return p[i:].String()
	}
	return p[i].String()
}

// walk runs subsets on copies of g and shows each result.
func (e *enumeration) walk(g *ir.Graph, subsets []Subset, show func(k int, result *ir.Graph)) error {
	stack := []prefix{{graph: g}}
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
			stack = append(stack, prefix{s.Pipeline.key(i), next})
		}
		show(k, stack[len(stack)-1].graph)
	}
	return nil
}

// advance runs call i of p on a copy of g and verifies the result.
func (e *enumeration) advance(g *ir.Graph, p Pipeline, i int) (*ir.Graph, error) {
	r, err := newRun(g.Clone(), e.context)
	if err != nil {
		return nil, err
	}
	r.memo = e.memo
	if err := r.runPass(p, i); err != nil {
		return nil, err
	}
	if r.rewrites == 0 {
		return g, nil
	}
	return r.graph, ir.Verify(r.graph)
}
