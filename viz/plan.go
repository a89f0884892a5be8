package viz

import (
	"fmt"
	"slices"
	"strings"

	"foundry/ir"
	"foundry/ir/names"
	"foundry/lower/plan"
)

// readPlan makes a scene of one entry: a unit a dispatch, its operands the byte
// ranges that it reads. The step buffer, which every dispatch reads, is left out.
func readPlan(p *plan.Plan, name string, o Options) (*scene, error) {
	e, err := p.Entry(name)
	if err != nil {
		return nil, err
	}
	r := planReader{plan: p, params: map[int]*param{}, source: sourceNodes(o.Source), opts: o}
	s := &scene{title: o.Title, waves: true}
	if s.title == "" {
		s.title = fmt.Sprintf("%s · %s", p.Model.Name, e.Name)
	}
	barriers := 0
	for _, step := range e.Steps {
		if step.Dispatch == nil {
			barriers++
			continue
		}
		s.units = append(s.units, r.dispatch(step.Dispatch))
	}
	for _, res := range e.Results {
		whole := r.whole(res.Buffer)
		for _, from := range r.producers(whole) {
			s.returns = append(s.returns, result{name: res.Name, from: from})
		}
	}
	s.facts = fmt.Sprintf("%s, %s, %s · arena %s · target %s",
		count(len(s.units), "dispatch"), count(barriers, "barrier"), count(len(e.CommandBuffers), "command buffer"),
		names.Bytes(p.ArenaBytes), p.Options.Target)
	return s, nil
}

// sourceKey names an operation of the source graph: a norm in two steps has two
// of one label.
type sourceKey struct {
	label string
	op    ir.Op
}

// sourceNodes returns the operations of g, those in regions included.
func sourceNodes(g *ir.Graph) map[sourceKey]*ir.Node {
	if g == nil {
		return nil
	}
	flat := g.Clone()
	flat.InlineAll()
	nodes := map[sourceKey]*ir.Node{}
	for _, n := range flat.Nodes() {
		nodes[sourceKey{n.Label, n.Op}] = n
	}
	return nodes
}

// planReader follows the bytes through an entry.
type planReader struct {
	plan   *plan.Plan
	params map[int]*param // params by buffer
	writes []written      // writes of the dispatches so far, in order
	source map[sourceKey]*ir.Node
	opts   Options
}

// span is a byte range of one memory: the arena, or a buffer of its own.
type span struct{ memory, from, to int64 }

type written struct {
	span
	by  *unit
	out int
}

const arena = -1

func (r *planReader) span(b plan.Binding) span {
	buf := &r.plan.Buffers[b.Buffer]
	if buf.Class == plan.Transient {
		return span{arena, buf.Offset + b.Offset, buf.Offset + b.Offset + b.Bytes}
	}
	return span{int64(b.Buffer), b.Offset, b.Offset + b.Bytes}
}

func (r *planReader) whole(buffer int) plan.Binding {
	return plan.Binding{Buffer: buffer, Bytes: r.plan.Buffers[buffer].Bytes}
}

// producers returns where the bytes of b come from: the dispatches that wrote
// them last, and the buffer itself for what none of them wrote. Ranges are left out:
// a value that one kernel scales by them another scales back.
func (r *planReader) producers(b plan.Binding) []operand {
	switch r.plan.Buffers[b.Buffer].Class {
	case plan.Prepared:
		return nil
	case plan.Weight, plan.Constant:
		return []operand{{par: r.param(b.Buffer), text: names.Bytes(b.Bytes)}}
	}
	var out []operand
	missing := []span{r.span(b)}
	for i := len(r.writes) - 1; i >= 0 && len(missing) > 0; i-- {
		w := r.writes[i]
		var left []span
		overlap := int64(0)
		for _, m := range missing {
			lo, hi := max(m.from, w.from), min(m.to, w.to)
			if m.memory != w.memory || lo >= hi {
				left = append(left, m)
				continue
			}
			overlap += hi - lo
			if m.from < lo {
				left = append(left, span{m.memory, m.from, lo})
			}
			if hi < m.to {
				left = append(left, span{m.memory, hi, m.to})
			}
		}
		missing = left
		if overlap > 0 {
			out = append(out, operand{from: w.by, out: w.out, text: names.Bytes(overlap)})
		}
	}
	if rest := sumSpans(missing); rest > 0 && r.plan.Buffers[b.Buffer].Class != plan.Transient {
		out = append(out, operand{par: r.param(b.Buffer), text: names.Bytes(rest)})
	}
	slices.Reverse(out)
	return out
}

func sumSpans(spans []span) (n int64) {
	for _, s := range spans {
		n += s.to - s.from
	}
	return n
}

var paramKinds = map[plan.Class]ir.ParamKind{
	plan.Weight: ir.Weight, plan.Constant: ir.Const, plan.State: ir.State, plan.Input: ir.Input, plan.Output: ir.State,
}

func (r *planReader) param(buffer int) *param {
	if r.params[buffer] == nil {
		b := &r.plan.Buffers[buffer]
		kind := paramKinds[b.Class]
		if b.Role == plan.IDsBuffer {
			kind = ir.Input
		}
		r.params[buffer] = &param{kind: kind, name: b.Name, text: b.DType.String() + ", " + names.Bytes(b.Bytes)}
	}
	return r.params[buffer]
}

func (r *planReader) dispatch(d *plan.Dispatch) *unit {
	k := &r.plan.Kernels[d.Kernel]
	u := &unit{name: d.Label, layer: d.Layer, wave: d.Wave, fused: true}
	u.head = []string{
		d.Label, k.Name,
		groupsText(d.Grid, k),
		"moves " + polyBytes(d.Moved),
	}
	u.key = fmt.Sprint(d.Kernel, d.Grid, anyLayer(d.Label, d.Layer))
	for _, node := range d.Nodes {
		u.key += " " + node.Op
		b := box{op: opOf(node), label: node.Label}
		if b.op == ir.OpInvalid {
			b.label = node.Label + " " + node.Op // drawn as the text that stands in the plan
		}
		if n := r.source[sourceKey{node.Label, b.op}]; n != nil {
			b.lines = []string{n.Result().Type.String()}
			for _, a := range n.Args {
				b.lines = append(b.lines, weightLine(a, r.opts)...)
			}
		}
		u.boxes = append(u.boxes, b)
	}
	if len(u.boxes) == 0 {
		u.boxes = []box{{label: d.Label}}
	}
	r.wire(u)
	for i, b := range d.Bind {
		if r.plan.Buffers[b.Buffer].Role == plan.StepBuffer {
			continue
		}
		u.key += fmt.Sprint(" ", i, b.Bytes, b.Access)
		if b.Access.Reads() {
			u.in = append(u.in, r.producers(b)...)
		}
	}
	for _, b := range d.Bind {
		if b.Access.Writes() && r.plan.Buffers[b.Buffer].Role != plan.StepBuffer {
			r.writes = append(r.writes, written{r.span(b), u, len(u.outs)})
			u.outs = append(u.outs, len(u.boxes)-1)
		}
	}
	return u
}

// opOf is a node's operation, OpInvalid for one that this program does not know.
func opOf(n plan.Node) ir.Op {
	op, err := ir.ParseOp(n.Op)
	if err != nil {
		return ir.OpInvalid
	}
	return op
}

// wire joins the operations of a dispatch: by their values where the source
// graph is at hand, otherwise in the order in which the plan lists them.
func (r *planReader) wire(u *unit) {
	at := map[*ir.Node]int{}
	for i, b := range u.boxes {
		n := r.source[sourceKey{b.label, b.op}]
		if n == nil {
			continue
		}
		at[n] = i
		for _, a := range n.Args {
			if from, ok := at[a.Def]; ok && a.Def != nil {
				u.wires = append(u.wires, wire{from: from, to: i})
			}
		}
	}
	if len(u.wires) > 0 {
		return
	}
	for i := 1; i < len(u.boxes); i++ {
		u.wires = append(u.wires, wire{from: i - 1, to: i, ordering: true})
	}
}

// groupsText prints the size of a dispatch: "12 × T threadgroups of 256 threads".
func groupsText(dims [3]plan.GridDim, k *plan.Kernel) string {
	grid, noun := gridText(dims), "threadgroups"
	if grid == "1" {
		noun = "threadgroup"
	}
	return fmt.Sprintf("%s %s of %d threads", grid, noun, k.Threads[0]*k.Threads[1]*k.Threads[2])
}

// gridText prints the threadgroups of a dispatch: "112 × T".
func gridText(dims [3]plan.GridDim) string {
	grid := make([]string, 0, 3)
	for i, g := range dims {
		text := g.N.String()
		if g.Div > 1 {
			if strings.ContainsAny(text, "+-") {
				text = "(" + text + ")"
			}
			text = fmt.Sprintf("ceil(%s/%d)", text, g.Div)
		}
		if n, ok := g.N.Const(); ok {
			text = fmt.Sprint((n + g.Div - 1) / g.Div)
		}
		if i == 0 || text != "1" {
			grid = append(grid, text)
		}
	}
	return strings.Join(grid, " × ")
}
