package passes

import (
	"foundry/ir"
	"foundry/ir/names"
)

// flatGraph is a graph with its regions seen through: every primitive node, wherever
// it stands, with operands and users resolved across region borders. Patterns
// match on it, so that they do not depend on what was fused before them.
type flatGraph struct {
	graph *ir.Graph
	ops   []*op
	byOp  [][]*op // ops of each kind, in order
	vals  map[*ir.Value]*flatValue
	in    map[*ir.Node][]*op // the ops of each fused node
}

// op is a primitive node and the node of the graph that holds it: itself, or the
// fused node in whose region it stands.
type op struct {
	node  *ir.Node // kind, attrs and label; once fused, the node it was before
	top   *ir.Node
	args  []*flatValue
	out   *flatValue
	index int
	sum   uint64 // the checksum of opSum; 0: not yet computed
}

// flatValue is a value of the graph: a param, or the result of an op.
type flatValue struct {
	typ      ir.Type
	param    *ir.Param
	def      *op
	users    []*op // once for each operand
	returned bool
}

func flatten(g *ir.Graph) *flatGraph {
	nodes := g.Nodes()
	count, args := 0, 0
	for _, n := range nodes {
		if n.Region == nil {
			count, args = count+1, args+len(n.Args)
			continue
		}
		for _, m := range n.Region.Nodes() {
			count, args = count+1, args+len(m.Args)
		}
	}
	f := &flatGraph{graph: g, ops: make([]*op, 0, count), byOp: make([][]*op, len(ir.Ops())+1), vals: make(map[*ir.Value]*flatValue, count+len(g.Params)), in: make(map[*ir.Node][]*op)}
	store := flatStore{ops: make([]op, count), vals: make([]flatValue, count+len(g.Params)), args: make([]*flatValue, args)}
	for _, p := range g.Params {
		f.vals[p] = store.val(p)
	}
	for _, n := range nodes {
		if n.Region == nil {
			f.vals[n.Results[0]] = f.add(&store, n, n, f.vals)
			continue
		}
		inner := make(map[*ir.Value]*flatValue, 2*len(n.Args))
		for i, p := range n.Region.Params {
			inner[p] = f.vals[n.Args[i]]
		}
		for _, m := range n.Region.Nodes() {
			inner[m.Results[0]] = f.add(&store, m, n, inner)
		}
		for i, r := range n.Region.Results {
			f.vals[n.Results[i]] = inner[r.Value]
		}
		f.in[n] = f.ops[len(f.ops)-len(n.Region.Nodes()):]
	}
	for _, r := range g.Results {
		f.vals[r.Value].returned = true
	}
	for _, o := range f.ops {
		f.byOp[o.node.Op] = append(f.byOp[o.node.Op], o)
	}
	return f
}

// flatStore hands out ops, values and operand lists from three allocations.
type flatStore struct {
	ops  []op
	vals []flatValue
	args []*flatValue
}

func (s *flatStore) val(v *ir.Value) *flatValue {
	out := &s.vals[0]
	s.vals = s.vals[1:]
	out.typ, out.param = v.Type, v.Param
	return out
}

func (f *flatGraph) add(s *flatStore, n, top *ir.Node, env map[*ir.Value]*flatValue) *flatValue {
	o := &s.ops[0]
	s.ops = s.ops[1:]
	o.node, o.top, o.index = n, top, len(f.ops)
	o.args, s.args = s.args[:len(n.Args):len(n.Args)], s.args[len(n.Args):]
	for i, a := range n.Args {
		o.args[i] = env[a]
		o.args[i].users = append(o.args[i].users, o)
	}
	o.out = s.val(n.Results[0])
	o.out.param, o.out.def = nil, o
	f.ops = append(f.ops, o)
	return o.out
}

// regroup notes that the ops now stand in the fused node top.
func (f *flatGraph) regroup(members []*op, top *ir.Node) {
	for _, o := range members {
		delete(f.in, o.top)
		o.top = top
	}
	f.in[top] = members
}

// name is how messages speak of an op: its label without the layer, and its kind
// where the label is another word.
func (o *op) name() string {
	label, kind := names.InLayer(o.node.Label), o.node.Op.String()
	if label == kind {
		return kind
	}
	return label + " " + kind
}
