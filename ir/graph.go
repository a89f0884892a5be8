package ir

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"foundry/ir/sym"
)

// ParamKind says where a param's value comes from.
type ParamKind uint8

// The kinds of params.
const (
	Input  ParamKind = iota // given for each run
	Weight                  // a tensor of the checkpoint, by its Hugging Face name
	State                   // storage that survives runs, such as a cache
	Const                   // f32 values that stand in the graph itself
	Arg                     // a region's operand
)

var paramKindNames = [...]string{"input", "weight", "state", "const", "arg"}

// String returns the kind's name in the text form.
func (k ParamKind) String() string { return paramKindNames[k] }

// Param describes a value that no node makes.
type Param struct {
	Kind   ParamKind
	Name   string
	Values []float32 // elements of a Const
}

// Value is one tensor of a graph: a param or a result of a node.
type Value struct {
	Type  Type
	Param *Param // nil for a node's result
	Def   *Node  // nil for a param
	Index int    // the number among the results of Def, or among the params of the graph
	uses  []*Node
}

// Users returns the nodes that take v as an operand, once for each operand. The
// slice is the graph's own: copy it before editing.
func (v *Value) Users() []*Node { return v.uses }

// Node is one operation.
type Node struct {
	Op      Op
	Args    []*Value
	Attr    Attr
	Results []*Value
	Region  *Graph // the operations of a fused node
	Label   string // the node's place in the model: "layers.3.q_proj"
	index   int    // position in the graph's list
	dead    bool
}

// Dead reports whether the node has been erased from its graph.
func (n *Node) Dead() bool { return n.dead }

// Result returns the only result of a node that is not fused.
func (n *Node) Result() *Value { return n.Results[0] }

// Layer returns K where the label starts with "layers.K.", otherwise -1.
func (n *Node) Layer() int {
	text, is := strings.CutPrefix(n.Label, "layers.")
	text, _, dotted := strings.Cut(text, ".")
	if !is || !dotted {
		return -1
	}
	k, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		return -1
	}
	return int(k)
}

// Layers is how many layers the labels of g's nodes number.
func (g *Graph) Layers() int {
	layers := 0
	for _, n := range g.Nodes() {
		layers = max(layers, n.Layer()+1)
	}
	return layers
}

// String names the node for messages: its label and op; without a label its place
// among the graph's nodes, from 1.
func (n *Node) String() string {
	what := n.Op.String()
	if n.Op == OpFused {
		what = strconv.Quote(n.Attr.Pattern)
	}
	if n.Label == "" {
		return fmt.Sprintf("node %d, %s", n.index+1, what)
	}
	return n.Label + " " + what
}

// Result is a named result of a graph. A result with the name of a state param
// is the state's successor.
type Result struct {
	Name  string // the graph's name, empty in a region
	Value *Value
}

// Graph is a pure dataflow graph: every node's operands are params or results of
// nodes before it.
type Graph struct {
	Name    string
	Bounds  sym.Bounds
	Params  []*Value
	Results []Result
	nodes   []*Node // nil where a node was erased
	holes   int     // the number of nils in nodes
	lent    bool    // nodes in the hands of a caller: an edit in place copies them first
}

// NewGraph returns an empty graph.
func NewGraph(name string, b sym.Bounds) *Graph { return &Graph{Name: name, Bounds: b} }

// Nodes returns the nodes in order. Edits of the graph leave the returned slice
// as it is; nodes erased since then report Dead.
func (g *Graph) Nodes() []*Node {
	if g.holes > 0 {
		live := make([]*Node, 0, len(g.nodes)-g.holes)
		for _, n := range g.nodes {
			if n != nil {
				n.index = len(live)
				live = append(live, n)
			}
		}
		g.nodes, g.holes = live, 0
	}
	g.lent = true
	return g.nodes[:len(g.nodes):len(g.nodes)]
}

// ownNodes makes g.nodes safe to change in place.
func (g *Graph) ownNodes() {
	if g.lent {
		g.nodes, g.lent = slices.Clone(g.nodes), false
	}
}

// Before reports whether a stands before b in the graph's order.
func (a *Node) Before(b *Node) bool { return a.index < b.index }

// Param adds a param.
func (g *Graph) Param(kind ParamKind, name string, t Type) *Value {
	v := &Value{Type: t, Param: &Param{Kind: kind, Name: name}, Index: len(g.Params)}
	g.Params = append(g.Params, v)
	return v
}

// ConstParam adds a param with the given values; t is f32 with as many elements.
func (g *Graph) ConstParam(name string, t Type, values []float32) *Value {
	v := g.Param(Const, name, t)
	v.Param.Values = values
	return v
}

// Add appends a node and returns its result; the error says what is wrong with
// the operands. Fused nodes come from Outline.
func (g *Graph) Add(op Op, label string, a Attr, args ...*Value) (*Value, error) {
	n, err := newNode(op, label, a, args)
	if err != nil {
		return nil, err
	}
	n.index = len(g.nodes)
	g.nodes = append(g.nodes, n)
	return n.Results[0], nil
}

func newNode(op Op, label string, a Attr, args []*Value) (*Node, error) {
	n := &Node{Op: op, Args: args, Attr: a, Label: label}
	t, err := inferNode(n, new([]Type))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", n, err)
	}
	n.Results = []*Value{{Type: t, Def: n}}
	n.link()
	return n, nil
}

// inferNode returns the type that n's operands and attrs make; buf holds the
// operands' types meanwhile.
func inferNode(n *Node, buf *[]Type) (Type, error) {
	info := n.Op.Info()
	if len(n.Args) < info.MinArgs || info.MaxArgs >= 0 && len(n.Args) > info.MaxArgs {
		return Type{}, fmt.Errorf("has %d operands, wants %s", len(n.Args), arity(info))
	}
	*buf = (*buf)[:0]
	for _, v := range n.Args {
		*buf = append(*buf, v.Type)
	}
	return info.Infer(*buf, &n.Attr)
}

func arity(i *Info) string {
	switch {
	case i.MaxArgs < 0:
		return fmt.Sprintf("at least %d", i.MinArgs)
	case i.MinArgs == i.MaxArgs:
		return fmt.Sprint(i.MinArgs)
	}
	return fmt.Sprintf("%d to %d", i.MinArgs, i.MaxArgs)
}

func (n *Node) link() {
	for _, v := range n.Args {
		v.uses = append(v.uses, n)
	}
}

func (n *Node) unlink() {
	for _, v := range n.Args {
		v.dropUse(n)
	}
}

func (v *Value) dropUse(n *Node) {
	for i, u := range v.uses {
		if u == n {
			v.uses = append(v.uses[:i:i], v.uses[i+1:]...)
			return
		}
	}
}

// Return adds a result.
func (g *Graph) Return(name string, v *Value) { g.Results = append(g.Results, Result{name, v}) }

// Returned reports whether v is a result of g.
func (g *Graph) Returned(v *Value) bool {
	for _, r := range g.Results {
		if r.Value == v {
			return true
		}
	}
	return false
}

// Builder adds nodes and keeps the first error, so that a frontend reads as the
// model does. After an error every call returns a value of invalid type.
type Builder struct {
	Graph *Graph
	err   error
}

// Add is Graph.Add with the error kept.
func (b *Builder) Add(op Op, label string, a Attr, args ...*Value) *Value {
	if b.err == nil {
		v, err := b.Graph.Add(op, label, a, args...)
		if err == nil {
			return v
		}
		b.err = err
	}
	return &Value{}
}

// Err returns the first error.
func (b *Builder) Err() error { return b.err }

// Overwrites returns the operand indices whose storage n overwrites: 0 for an op
// with WritesState, and for a fused node those that its region overwrites.
func (n *Node) Overwrites() []int {
	if n.Op.Is(WritesState) {
		return []int{0}
	}
	if n.Region == nil {
		return nil
	}
	var out []int
	for _, m := range n.Region.Nodes() {
		for _, i := range m.Overwrites() {
			if root := StateRoot(m.Args[i]); root.Param != nil && root.Param.Kind == Arg {
				out = append(out, root.Index)
			}
		}
	}
	return out
}

// StateRoot follows overwriting nodes back to the value whose storage v shares:
// v itself unless a node that overwrites state made it.
func StateRoot(v *Value) *Value {
	for v.Def != nil {
		next := v.Def.overwritten(v.Index)
		if next == nil {
			return v
		}
		v = next
	}
	return v
}

// overwritten returns the operand that result i of n succeeds, or nil.
func (n *Node) overwritten(i int) *Value {
	if n.Op.Is(WritesState) {
		return n.Args[0]
	}
	if n.Region == nil {
		return nil
	}
	inner := n.Region.Results[i].Value
	root := StateRoot(inner)
	if root == inner || root.Param == nil {
		return nil
	}
	return n.Args[root.Index]
}
