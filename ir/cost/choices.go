package cost

import (
	"encoding/binary"
	"slices"
	"sync"

	"foundry/ir"
	"foundry/ir/kernel"
	"foundry/ir/sym"
	"foundry/ir/target"
	"foundry/ir/task"
)

// Choices remembers which kernel each shape of work gets on a target: what a node computes,
// how its operands and results lie, what is pinned, within which bounds. Passes, the cost
// of their results and lowering ask one, each shape once: a model's layers repeat. It may be
// asked by several goroutines.
type Choices struct {
	Target *target.Target
	bounds func(plan []*ir.Graph) Unbounded // nil: all values have one
	mutex  sync.Mutex
	known  map[string]*Choice // choices by the key of a shape
	plan   []*ir.Graph        // graphs of the plan that was lowered last
}

// Unbounded reports whether nothing is known of how large v can get: a value of a graph, or,
// where n is a node of it, one of n's region as task.Of gives it.
type Unbounded func(v *ir.Value, n *ir.Node) bool

// Choice is what a shape gets.
type Choice struct {
	Kernel kernel.Kernel // Choose's answer
	Err    error         // the reason why there is none
}

// NewChoices returns the choices for a target, none of which is made yet. What a graph's
// values lie as, and with that the kernels that read them, hangs on which have no bound:
// bounds tells, of values of a plan's graphs, which share their states; nil where all have one.
func NewChoices(t *target.Target, bounds func(plan []*ir.Graph) Unbounded) *Choices {
	return &Choices{Target: t, bounds: bounds, known: map[string]*Choice{}}
}

// Lowered notes the graphs of a plan: what one writes to a state, the others read.
func (c *Choices) Lowered(plan []*ir.Graph) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.plan = plan
}

// Finished is the run of a graph that no pass will change: its values lie as lowering
// keeps them, in the plan that was lowered last where the graph is of that, otherwise alone.
func (c *Choices) Finished(g *ir.Graph, e sym.Env) Run {
	var unbounded Unbounded
	if c.bounds != nil {
		c.mutex.Lock()
		plan := c.plan
		c.mutex.Unlock()
		if !slices.Contains(plan, g) {
			plan = []*ir.Graph{g}
		}
		unbounded = c.bounds(plan)
	}
	return Run{Target: c.Target, Choices: c, Bounds: g.Bounds, Env: e, Stored: StorageOf(g, c, unbounded)}
}

// Of returns what node n gets, whose work is r.
func (c *Choices) Of(n *ir.Node, r *task.Region) *Choice {
	var room [1024]byte
	key := appendWork(room[:0], n, r)
	c.mutex.Lock()
	known := c.known[string(key)]
	c.mutex.Unlock()
	if known != nil {
		return known
	}
	made := &Choice{}
	made.Kernel, made.Err = Choose(r, c.Target)
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if known := c.known[string(key)]; known != nil {
		return known // another goroutine was first
	}
	c.known[string(key)] = made
	return made
}

// Lowerable says why n cannot become kernels of the target, where its operands lie as they
// do in its graph: nil where a kernel fits. It is what lowering asks before it writes.
func (c *Choices) Lowerable(n *ir.Node) error {
	if n.Op.Is(ir.View) {
		return nil
	}
	r, err := task.In(n, boundsOf(n), c.Target)
	if err != nil {
		return err
	}
	if n.Region == nil {
		r.Pin = "" // which kernels it can get depends on its graph's bounds, that lowering knows
	}
	return c.Of(n, r).Err
}

// boundsOf returns the bounds that n's types hold for: its region's own, or the widest that
// a primitive node's dims make sense in.
func boundsOf(n *ir.Node) sym.Bounds {
	if n.Region != nil {
		return n.Region.Bounds
	}
	return sym.Bounds{TMin: 1, TMax: 512, PMax: 4096 - 1, SMax: 4096}
}

// appendWork appends the key of work r of node n: equal where Choose answers alike.
func appendWork(b []byte, n *ir.Node, r *task.Region) []byte {
	b = append(append(n.AppendKey(b), 0xff), r.Pin...)
	bounds := r.Graph.Bounds
	for _, x := range [...]int64{bounds.TMin, bounds.TMax, bounds.PMin, bounds.PMax, bounds.SMax} {
		b = binary.AppendVarint(b, x)
	}
	for i := range r.Operands {
		o := &r.Operands[i]
		b = appendBits(b, o.Fixed, o.Settled, o.Planes, o.Halves, o.Scaled)
		b = appendPoly(b, o.Layout.Off)
		for _, p := range o.Layout.Stride[:r.Graph.Params[i].Type.Shape.Rank] {
			b = appendPoly(b, p)
		}
	}
	for _, k := range r.Kept {
		b = appendBits(b, k.Halves, k.Scaled)
	}
	if r.Unbounded == nil {
		return b
	}
	for _, p := range r.Graph.Params {
		b = appendBits(b, r.Unbounded(p))
	}
	for _, n := range r.Graph.Nodes() {
		b = appendBits(b, r.Unbounded(n.Results[0]))
	}
	return b
}

func appendBits(b []byte, bits ...bool) []byte {
	for _, is := range bits {
		if is {
			b = append(b, '1')
		} else {
			b = append(b, '0')
		}
	}
	return b
}

func appendPoly(b []byte, p sym.Poly) []byte {
	for _, n := range [...]int64{p.C, p.T, p.P, p.TT, p.TP} {
		b = binary.AppendVarint(b, n)
	}
	return b
}
