package metal

import (
	"fmt"
	"strings"

	"foundry/ir"
	"foundry/ir/cost"
	"foundry/ir/sym"
	"foundry/lower/plan"
)

// compiler gathers a plan over its entries.
type compiler struct {
	o       *Options
	plan    *plan.Plan
	lowered map[string]*lowering    // by what a node computes and how its operands lie
	kernels map[string]int          // by text with kernelName for the name
	names   map[string]bool         // of kernels, lower case
	buffers map[string]bool         // names
	shared  map[string]*storage     // weights, states, inputs, outputs: by class and name
	placed  map[*kernel]kernelPlace // kernels that stand in the plan
}

type kernelPlace struct{ index int }

func newCompiler(o *Options) *compiler {
	return &compiler{
		o: o, plan: &plan.Plan{Schema: plan.Schema}, lowered: map[string]*lowering{}, kernels: map[string]int{},
		names: map[string]bool{}, buffers: map[string]bool{}, shared: map[string]*storage{}, placed: map[*kernel]kernelPlace{},
	}
}

// dispatch is one kernel bound to storage, before it has a place in the order.
type dispatch struct {
	plan.Dispatch
	bind  []*storage
	after []int // dispatches of the entry that must come before
	level int
	// Pairs of result and operand: the result may take the operand's storage.
	inPlace [][2]*storage
}

// entry is one entry while it is lowered.
type entry struct {
	c          *compiler
	name       string
	g          *ir.Graph
	values     map[*ir.Value]tensor
	dispatches []*dispatch
	token      *ir.Value // the plan's token, or nil
	tokenKind  tokenKind // what its kernel does with it
	transients []*storage
}

// tensor is a value's place: a storage and how it lies there.
type tensor struct {
	s *storage
	l layout
}

func (c *compiler) lowerEntry(in Entry) error {
	e := &entry{c: c, name: in.Name, g: in.Graph, values: map[*ir.Value]tensor{}}
	if err := e.params(); err != nil {
		return err
	}
	e.findToken()
	outputs, err := e.results()
	if err != nil {
		return err
	}
	for _, n := range e.g.Nodes() {
		if err := e.node(n, outputs); err != nil {
			return fmt.Errorf("%s: %w", n, err)
		}
	}
	results, err := e.finish(outputs)
	if err != nil {
		return err
	}
	e.order()
	if err := e.allocate(); err != nil {
		return err
	}
	return e.emit(results)
}

// node lowers one node: a view becomes a layout where that can be, anything else
// dispatches.
func (e *entry) node(n *ir.Node, outputs map[*ir.Value]*storage) error {
	if n.Op.Is(ir.View) && outputs[n.Results[0]] == nil {
		x := e.values[n.Args[0]]
		if l, ok := x.l.through(n); ok {
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
	for _, k := range l.kernels {
		d, err := e.dispatch(n, k, scratch)
		if err != nil {
			return err
		}
		for j := range n.Results {
			if p := k.inPlace(j); p >= 0 && len(l.kernels) == 1 {
				d.inPlace = append(d.inPlace, [2]*storage{e.values[n.Results[j]].s, e.values[n.Args[p]].s})
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
	l, ok := contiguous(v.Type.Shape)
	if !ok {
		return fmt.Errorf("result %d has %s, whose strides have too many symbols", i, v.Type)
	}
	s := outputs[v]
	if s == nil {
		name := n.Label
		if len(n.Results) > 1 {
			name = fmt.Sprintf("%s.%d", n.Label, i)
		}
		s = e.transient(name, v.Type)
	}
	e.values[v] = tensor{s, l}
	return nil
}

// lower returns the kernels for n, from the cache where an equal node with equal
// operands was lowered before.
func (e *entry) lower(n *ir.Node) (*lowering, error) {
	r, err := regionOf(n, e.g.Bounds, e.c.o.Target)
	if err != nil {
		return nil, err
	}
	var key strings.Builder
	fmt.Fprintf(&key, "%+v\n", e.g.Bounds)
	key.WriteString(n.Key())
	for i, a := range n.Args {
		t := e.values[a]
		r.operands[i].layout = t.l
		r.operands[i].layout.off = e.rest(t)
		r.operands[i].fixed = t.s.class == plan.Weight || t.s.class == plan.Constant
		fmt.Fprintf(&key, "\n%v %v", r.operands[i].layout, r.operands[i].fixed)
	}
	for _, v := range n.Results {
		if v == e.token {
			r.token = e.tokenKind
		}
	}
	fmt.Fprintf(&key, "\n%d %s", r.token, n.Attr.Pattern)
	if l := e.c.lowered[key.String()]; l != nil {
		return l, nil
	}
	l, err := r.lower()
	if err != nil {
		return nil, err
	}
	e.c.lowered[key.String()] = l
	return l, nil
}

// bindAlign is the alignment of binding offsets: what constant space and vector
// loads want.
const bindAlign = 256

// whole returns the part of a tensor's offset that goes into its binding, in
// bytes; rest what stays in the kernel, in elements.
func (e *entry) whole(t tensor) int64 {
	if !constant(t.l.off) || t.s.dtype.Quantised() {
		return 0
	}
	return t.s.dtype.Bytes(t.l.off.C) / bindAlign * bindAlign
}

func (e *entry) rest(t tensor) sym.Poly {
	if t.s.dtype.Quantised() {
		return t.l.off
	}
	return t.l.off.Add(sym.Poly{C: -e.whole(t) / t.s.dtype.Bytes(1)})
}

// dispatch binds a kernel of n.
func (e *entry) dispatch(n *ir.Node, k *kernel, scratch []*storage) (*dispatch, error) {
	index, err := e.c.place(k)
	if err != nil {
		return nil, err
	}
	d := &dispatch{Dispatch: plan.Dispatch{Kernel: index, Label: n.Label, Layer: n.Layer(), Grid: k.grid, Moved: cost.Moved(n), Flops: cost.Flops(n)}}
	if d.Label == "" {
		d.Label = n.Op.String()
	}
	if k.label != "" {
		d.Label, d.Moved, d.Flops = d.Label+"."+k.label, k.moved, sym.Poly{}
	}
	d.Nodes = nodeNames(n)
	for i, r := range k.refs {
		b := plan.Binding{Access: k.slots[i].Access}
		var s *storage
		switch r.kind {
		case refArg:
			t := e.values[n.Args[r.index]]
			s, b.Offset = t.s, e.whole(t)
			b.Bytes = s.bytes - b.Offset
			if end, ok := t.l.end(n.Args[r.index].Type.Shape, e.g.Bounds); ok && !s.dtype.Quantised() {
				b.Bytes = min(s.dtype.Bytes(end), s.bytes) - b.Offset
			}
		case refResult:
			s = e.values[n.Results[r.index]].s
			b.Bytes = n.Results[r.index].Type.MaxBytes(e.g.Bounds)
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
			s = e.c.shared["input ids"]
			b.Bytes = s.dtype.Bytes(s.shape.MaxElems(e.g.Bounds))
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

func nodeNames(n *ir.Node) []string {
	if n.Region == nil {
		return []string{n.Op.String()}
	}
	var out []string
	for _, m := range n.Region.Nodes() {
		out = append(out, m.Label+" "+m.Op.String())
	}
	return out
}

// place gives a kernel its index in the plan: that of an equal text, or a new one
// under a name of its own.
func (c *compiler) place(k *kernel) (int, error) {
	if p, ok := c.placed[k]; ok {
		return p.index, nil
	}
	text, builtins, err := k.assemble(c.o.Shaders)
	if err != nil {
		return 0, err
	}
	index, ok := c.kernels[text]
	if !ok {
		name := k.name
		for i := 2; c.names[strings.ToLower(name)]; i++ {
			name = fmt.Sprintf("%s_%d", k.name, i)
		}
		c.names[strings.ToLower(name)] = true
		index = len(c.plan.Kernels)
		c.kernels[text] = index
		c.plan.Kernels = append(c.plan.Kernels, plan.Kernel{
			Name: name, Source: strings.ReplaceAll(text, kernelName, name), Slots: k.slots, Threadgroup: k.shared,
			Builtins: builtins, Threads: [3]int{k.threads, 1, 1}, Params: k.params,
		})
	}
	c.placed[k] = kernelPlace{index}
	return index, nil
}
