package metal

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"foundry/ir"
	"foundry/ir/cost"
	"foundry/ir/dtype"
	"foundry/ir/sym"
	"foundry/ir/task"
	"foundry/lower/plan"
)

// compiler gathers a plan over its entries.
type compiler struct {
	o       *Options
	plan    *plan.Plan
	kernels map[string]int          // kernels by what tells their texts apart
	names   map[string]bool         // names of kernels, lower case
	buffers map[string]int          // the last number behind a buffer's name, at least 1
	shared  map[sharing]*storage    // weights, states, inputs, outputs
	placed  map[*kernel]kernelPlace // kernels that stand in the plan
	ranges  ranges
	states  map[string]*bound // caches by name
	lowered sync.Map          // a *lowering by the text of what is lowered
}

type kernelPlace struct{ index int }

func newCompiler(o *Options) *compiler {
	return &compiler{
		o: o, plan: &plan.Plan{Schema: plan.Schema}, kernels: map[string]int{},
		names: map[string]bool{}, buffers: map[string]int{}, shared: map[sharing]*storage{}, placed: map[*kernel]kernelPlace{},
	}
}

// dispatch is one kernel bound to storage, before it has a place in the order.
type dispatch struct {
	plan.Dispatch
	bind  []*storage
	level int
	ahead bool // independence of all that the step writes: it stands some waves before what reads its results
	// Pairs of result and operand: the result may take the operand's storage.
	inPlace [][2]*storage
}

// entry is one entry while it is lowered.
type entry struct {
	c          *compiler
	name       string
	role       plan.EntryRole
	g          *ir.Graph
	outputs    map[*ir.Value]*storage // values that a kernel writes straight into an output
	values     map[*ir.Value]tensor
	stored     *cost.Storage // dtypes of values that do not lie as their types say
	bounds     *bounds
	nodes      []loweredNode
	dispatches []*dispatch
	token      *ir.Value // the plan's token, or nil
	tokenKind  tokenKind // the use of the token by its kernel
	transients []*storage
}

// loweredNode is a node with its kernels and the memory between them.
type loweredNode struct {
	n       *ir.Node
	l       *lowering
	scratch []*storage
}

// tensor is a value's place: a storage and how it lies there.
type tensor struct {
	s *storage
	l task.Layout
}

// open starts an entry: its params and outputs get their buffers, which entries
// share.
func (c *compiler) open(in Entry) (*entry, error) {
	e := &entry{c: c, name: in.Name, role: in.Role, g: in.Graph, values: map[*ir.Value]tensor{}, bounds: newBounds(nil)}
	if err := e.params(); err != nil {
		return nil, err
	}
	e.findToken()
	var err error
	e.outputs, err = e.results()
	return e, err
}

// lowerNodes finds every node's kernels. It touches nothing of the compiler's, so
// that each entry can have its own goroutine.
func (e *entry) lowerNodes() error {
	e.stored = cost.StorageOf(e.g, e.c.o.Choices, e.bounds.unbounded)
	for _, n := range e.g.Nodes() {
		if err := e.node(n, e.outputs); err != nil {
			return fmt.Errorf("%s: %w", n, err)
		}
	}
	return nil
}

// close gives the kernels their places in the plan and the dispatches their order
// and memory.
func (e *entry) close() error {
	results, err := e.finish(e.outputs)
	if err != nil {
		return err
	}
	for _, s := range e.transients {
		s.name = e.c.unique(s.name)
		if err := s.countable(); err != nil {
			return err
		}
	}
	for _, s := range e.nodes {
		e.markCaches(s.n)
		if err := e.dispatchStage(s); err != nil {
			return fmt.Errorf("%s: %w", s.n, err)
		}
	}
	if err := e.advanceLast(); err != nil {
		return err
	}
	e.order()
	if err := e.allocate(); err != nil {
		return err
	}
	e.c.plan.Entries = append(e.c.plan.Entries, e.emit(results))
	return nil
}

// node lowers one node: a view becomes a layout where that can be, anything else
// a stage.
func (e *entry) node(n *ir.Node, outputs map[*ir.Value]*storage) error {
	if n.Op.Is(ir.View) && outputs[n.Results[0]] == nil {
		x := e.values[n.Args[0]]
		if l, ok := x.l.Through(n); ok {
			e.values[n.Results[0]] = tensor{x.s, l}
			return nil
		}
	}
	l, err := e.lower(n)
	if err != nil {
		return err
	}
	scratch := make([]*storage, len(l.scratch))
	for i, s := range l.scratch {
		scratch[i] = e.transient(n.Label+"."+s.name, s.typ)
	}
	for i, v := range n.Results {
		if err := e.placeResult(n, i, v, outputs); err != nil {
			return err
		}
	}
	e.nodes = append(e.nodes, loweredNode{n, l, scratch})
	return nil
}

// markCaches notes the states that n writes a row to at each position of its run.
func (e *entry) markCaches(n *ir.Node) {
	for i, v := range n.Results {
		def := n
		if n.Region != nil {
			def = n.Region.Results[i].Value.Def
		}
		if def == nil || !task.WritesFromP(def) || ir.StateRoot(v) == v {
			continue
		}
		if s := e.values[v].s; s.class == plan.State && !s.cache {
			s.cache = true
			e.c.store(s)
		}
	}
}

func (e *entry) dispatchStage(s loweredNode) error {
	for _, k := range s.l.kernels {
		d, err := e.dispatch(&s, k)
		if err != nil {
			return err
		}
		for j := range s.n.Results {
			if p := k.inPlace(j); p >= 0 && len(s.l.kernels) == 1 {
				d.inPlace = append(d.inPlace, [2]*storage{e.values[s.n.Results[j]].s, e.values[s.n.Args[p]].s})
			}
		}
		e.dispatches = append(e.dispatches, d)
	}
	return nil
}

func (e *entry) placeResult(n *ir.Node, i int, v *ir.Value, outputs map[*ir.Value]*storage) error {
	if root := ir.StateRoot(v); root != v {
		e.values[v] = e.values[root]
		return nil
	}
	l, ok := task.Contiguous(v.Type.Shape)
	if !ok {
		return fmt.Errorf("result %d has %s, whose strides have too many symbols", i, v.Type)
	}
	s := outputs[v]
	if s == nil {
		name := n.Label
		if len(n.Results) > 1 {
			name = fmt.Sprintf("%s.%d", n.Label, i)
		}
		t := v.Type
		if e.stored.Halves(v) {
			t.DType = dtype.F16
		}
		s = e.transient(name, t)
	}
	e.values[v] = tensor{s, l}
	return nil
}

// text tells apart what kernels of one choice are written for.
type text struct {
	of         *cost.Choice
	pattern    string
	token      tokenKind
	narrowings string // text of the values of the region that become halves, and how
}

// lower returns the kernels for n: those of an equal node with equal operands where one
// was lowered before, in this entry or another one.
func (e *entry) lower(n *ir.Node) (*lowering, error) {
	r, err := regionOf(n, e.g.Bounds, e.c.o.Target)
	if err != nil {
		return nil, err
	}
	r.bound = e.boundIn(r, n)
	for i, a := range n.Args {
		t := e.values[a]
		r.operands[i].Layout = t.l
		r.operands[i].Layout.Off = e.rest(t)
		r.operands[i].Fixed = t.s.class == plan.Weight || t.s.class == plan.Constant
		if r.operands[i].Planes = t.s.planes; t.s.planes && a.Type.Shape.At(-1) != t.s.shape.At(-1) {
			return nil, fmt.Errorf("%s: rows in planes are read whole", t.s.name)
		}
		r.operands[i].Halves, r.operands[i].Scaled = e.stored.Halves(a), e.scaled(a) != nil
	}
	for i, v := range n.Results {
		r.asked.Kept[i] = task.Kept{Halves: e.stored.Halves(v), Scaled: e.scaled(v) != nil}
		if v == e.token {
			r.token = e.tokenKind
		}
	}
	if err := r.checkToken(); err != nil {
		return nil, err
	}
	chosen := e.c.o.Choices.Of(n, r.asked)
	if chosen.Err != nil {
		return nil, chosen.Err
	}
	key := text{chosen, n.Attr.Pattern, r.token, string(r.appendNarrowings(nil))}
	if l, ok := e.c.lowered.Load(key); ok {
		return l.(*lowering), nil
	}
	first, _ := e.c.lowered.LoadOrStore(key, r.lower(chosen.Kernel))
	return first.(*lowering), nil
}

// bindAlign is the alignment of binding offsets: what constant space and vector
// loads want.
const bindAlign = 256

// whole returns the part of a tensor's offset that goes into its binding, in
// bytes; rest what stays in the kernel, in elements.
func (e *entry) whole(t tensor) int64 {
	if !t.l.Off.IsConst() || t.s.dtype.Quantised() {
		return 0
	}
	return t.s.dtype.Bytes(t.l.Off.C) / bindAlign * bindAlign
}

func (e *entry) rest(t tensor) sym.Poly {
	if t.s.dtype.Quantised() {
		return t.l.Off
	}
	return t.l.Off.Add(sym.Poly{C: -e.whole(t) / t.s.dtype.Bytes(1)})
}

// dispatch binds a kernel of a node.
func (e *entry) dispatch(of *loweredNode, k *kernel) (*dispatch, error) {
	n, scratch := of.n, of.scratch
	index, err := e.c.kernelIndex(k)
	if err != nil {
		return nil, err
	}
	d := &dispatch{Dispatch: plan.Dispatch{Kernel: index, Label: n.Label, Layer: n.Layer(), Grid: k.grid}, ahead: k.ahead}
	d.Moved, d.Flops = e.traffic(of, k)
	if d.Label == "" {
		d.Label = n.Op.String()
	}
	if k.label != "" {
		d.Label += "." + k.label
	}
	d.Nodes = executed(n, k)
	for i, r := range k.refs {
		b := plan.Binding{Access: k.slots[i].Access}
		var s *storage
		switch r.kind {
		case refArg:
			t := e.values[n.Args[r.index]]
			s, b.Offset = t.s, e.whole(t)
			b.Bytes = s.bytes - b.Offset
			if end, ok := t.l.End(n.Args[r.index].Type.Shape, e.g.Bounds); ok && !s.dtype.Quantised() {
				b.Bytes = min(s.dtype.Bytes(end), s.bytes) - b.Offset
			}
		case refResult:
			s = e.values[n.Results[r.index]].s
			t := n.Results[r.index].Type
			if e.stored.Halves(n.Results[r.index]) {
				t.DType = dtype.F16
			}
			b.Bytes = t.MaxBytes(e.g.Bounds)
		case refScratch:
			s = scratch[r.index]
			b.Bytes = s.bytes
		case refPosition:
			s, b.Bytes = e.c.step(), 12
		case refStep:
			s, b.Bytes = e.c.step(), plan.StepBytes
		case refRefused:
			s, b.Offset, b.Bytes = e.c.step(), 4*plan.StepError, 8
		case refIDs:
			s = e.c.shared[sharing{sharedInput, "ids"}]
			b.Bytes = s.dtype.Bytes(s.shape.MaxElems(e.g.Bounds))
		case refRange:
			v, in := located(n, r.index)
			s, b.Offset, b.Bytes = e.c.rangeBuffer(), e.c.rangeOf(e.bounds.of(v, in), d.Label), plan.RangeBytes
		case refHistory:
			positions := e.tokenKind.positions(e.g.Bounds)
			s = e.c.history(positions)
			b.Bytes = s.dtype.Bytes(positions)
		}
		d.bind = append(d.bind, s)
		d.Bind = append(d.Bind, b)
	}
	return d, nil
}

// executed lists the operations of n that k does.
func executed(n *ir.Node, k *kernel) []plan.Node {
	if n.Region == nil {
		return []plan.Node{{Label: n.Label, Op: n.Op.String()}}
	}
	out := make([]plan.Node, 0, len(n.Region.Nodes()))
	for i, m := range n.Region.Nodes() {
		if k.executes == nil || slices.Contains(k.executes, i) {
			out = append(out, plan.Node{Label: m.Label, Op: m.Op.String()})
		}
	}
	return out
}

// kernelIndex gives a kernel its index in the plan: that of an equal text, or a new one
// under a name of its own.
func (c *compiler) kernelIndex(k *kernel) (int, error) {
	if p, ok := c.placed[k]; ok {
		return p.index, nil
	}
	out, text, err := k.assemble()
	if err != nil {
		return 0, err
	}
	key := text.Key(&out)
	index, ok := c.kernels[key]
	if !ok {
		if text.Stages, err = stagesOf(&out, c.o.Shaders); err != nil {
			return 0, err
		}
		out.Name = k.name
		// A stage's function may have the name: silu, of rows of one element.
		for i := 2; c.names[strings.ToLower(out.Name)] || text.Declares(out.Name); i++ {
			out.Name = fmt.Sprintf("%s_%d", k.name, i)
		}
		c.names[strings.ToLower(out.Name)] = true
		index = len(c.plan.Kernels)
		c.kernels[key] = index
		out.Source = text.Join(&out)
		c.plan.Kernels = append(c.plan.Kernels, out)
	}
	c.placed[k] = kernelPlace{index}
	return index, nil
}
