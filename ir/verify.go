package ir

import (
	"errors"
	"fmt"

	"foundry/ir/dtype"
	"foundry/ir/sym"
)

// Verify recomputes everything that must hold of g: bounds, types from the op
// table, operands before users, use lists, cache writes that nothing reads
// around, regions. The error names the value, what it has and what it wants.
func Verify(g *Graph) error {
	if !g.Bounds.Valid() {
		return fmt.Errorf("graph @%s: bounds %+v are empty", g.Name, g.Bounds)
	}
	if err := verifyGraph(g, false, &scratch{}); err != nil {
		return fmt.Errorf("graph @%s: %w", g.Name, err)
	}
	return nil
}

// scratch is what verifying one node after another uses again.
type scratch struct {
	attr  Attr
	types []Type
	ints  []int32
}

// userCounts counts the users of a graph's values, which have numbers: params first,
// then the results of one node after another.
type userCounts struct {
	g      *Graph
	nodes  []*Node
	first  []int32 // the number of each node's first result
	counts []int32
}

func newCensus(g *Graph, s *scratch) userCounts {
	c := userCounts{g: g, nodes: g.Nodes()}
	values := len(g.Params)
	for _, n := range c.nodes {
		values += len(n.Results)
	}
	from := len(s.ints)
	s.ints = append(s.ints, make([]int32, len(c.nodes)+values)...)
	c.first, c.counts = s.ints[from:from+len(c.nodes)], s.ints[from+len(c.nodes):]
	number := int32(len(g.Params))
	for i, n := range c.nodes {
		c.first[i] = number
		number += int32(len(n.Results))
	}
	return c
}

// count returns where the users of v are counted, or nil unless v is a param or
// made by one of the first defined nodes.
func (c *userCounts) count(v *Value, defined int) *int32 {
	switch {
	case v == nil:
		return nil
	case v.Def == nil:
		if v.Index < 0 || v.Index >= len(c.g.Params) || c.g.Params[v.Index] != v {
			return nil
		}
		return &c.counts[v.Index]
	}
	d := v.Def
	if d.index < 0 || d.index >= defined || c.nodes[d.index] != d || v.Index < 0 || v.Index >= len(d.Results) || d.Results[v.Index] != v {
		return nil
	}
	return &c.counts[c.first[d.index]+int32(v.Index)]
}

func verifyGraph(g *Graph, isRegion bool, s *scratch) error {
	held := len(s.ints)
	defer func() { s.ints = s.ints[:held] }()
	users := newCensus(g, s)
	var gone map[*Value]*Node // overwritten caches and who did it
	var names map[string]bool
	if !isRegion {
		names = make(map[string]bool, len(g.Params))
	}
	for i, p := range g.Params {
		if err := verifyParam(g, p, i, isRegion); err != nil {
			return err
		}
		if !isRegion {
			if names[p.Param.Name] {
				return fmt.Errorf("param %q stands twice", p.Param.Name)
			}
			names[p.Param.Name] = true
		}
	}
	for i, n := range users.nodes {
		if n.dead || n.index != i {
			return fmt.Errorf("%s: stands at %d of the order, says %d", n, i, n.index)
		}
		for j, a := range n.Args {
			count := users.count(a, i)
			if count == nil {
				return fmt.Errorf("%s: operand %d is not defined before it", n, j)
			}
			if len(gone) > 0 {
				if w := gone[viewBase(a)]; w != nil {
					return fmt.Errorf("%s: operand %d is a cache (or a view of one) that %s has overwritten; take its result", n, j, w)
				}
			}
			*count++
		}
		if err := verifyNode(g, n, s); err != nil {
			return err
		}
		for _, j := range n.Overwrites() {
			if !isState(n.Args[j], isRegion) {
				return fmt.Errorf("%s: operand %d is overwritten, so it must be a state or its successor", n, j)
			}
			for k, a := range n.Args {
				if k != j && viewBase(a) == n.Args[j] {
					return fmt.Errorf("%s: operand %d is a cache (or a view of one) that the node itself overwrites as operand %d", n, k, j)
				}
			}
			if gone == nil {
				gone = make(map[*Value]*Node)
			}
			gone[n.Args[j]] = n
		}
		for j, r := range n.Results {
			if r.Def != n || r.Index != j {
				return fmt.Errorf("%s: result %d does not point back to it", n, j)
			}
			if err := verifyType(g, r.Type); err != nil {
				return fmt.Errorf("%s: result %d: %w", n, j, err)
			}
		}
	}
	if err := verifyResults(g, &users, gone, isRegion); err != nil {
		return err
	}
	return users.verify()
}

// viewBase follows views, out of regions too, to the value whose storage v may
// share.
func viewBase(v *Value) *Value {
	for v.Def != nil {
		switch {
		case v.Def.Op.Is(View):
			v = v.Def.Args[0]
		case v.Def.Region != nil:
			inner := viewBase(v.Def.Region.Results[v.Index].Value)
			if inner.Param == nil {
				return v
			}
			v = v.Def.Args[inner.Index]
		default:
			return v
		}
	}
	return v
}

// verify compares the counts with the values' own lists.
func (c *userCounts) verify() error {
	check := func(v *Value) error {
		if have, want := len(v.uses), *c.count(v, len(c.nodes)); have != int(want) {
			return fmt.Errorf("%s has %d users in its list, %d in the graph", v, have, want)
		}
		return nil
	}
	for _, p := range c.g.Params {
		if err := check(p); err != nil {
			return err
		}
	}
	for _, n := range c.nodes {
		for _, r := range n.Results {
			if err := check(r); err != nil {
				return err
			}
		}
	}
	return nil
}

// String names v for messages.
func (v *Value) String() string {
	if v.Param != nil {
		return fmt.Sprintf("%s %q %s", v.Param.Kind, v.Param.Name, v.Type)
	}
	if v.Def == nil {
		return "value " + v.Type.String()
	}
	return fmt.Sprintf("result %d of %s (%s)", v.Index, v.Def, v.Type)
}

func verifyParam(g *Graph, p *Value, i int, isRegion bool) error {
	switch {
	case p.Param == nil || p.Def != nil || p.Index != i:
		return fmt.Errorf("param %d is not a param of this graph", i)
	case (p.Param.Kind == Arg) != isRegion:
		return fmt.Errorf("%s: arg params stand in regions and nowhere else", p)
	case !isRegion && p.Param.Name == "":
		return fmt.Errorf("param %d has no name", i)
	case p.Param.Kind != Input && p.Param.Kind != Arg && !constShape(p.Type.Shape):
		return fmt.Errorf("%s outlives the run, so its dims are constants", p)
	case p.Param.Kind == Const && p.Type.DType != dtype.F32:
		return fmt.Errorf("%s: a const is f32", p)
	case p.Param.Kind == Const && int64(len(p.Param.Values)) != p.Type.Shape.MaxElems(g.Bounds):
		return fmt.Errorf("%s has %d values", p, len(p.Param.Values))
	}
	if err := verifyType(g, p.Type); err != nil {
		return fmt.Errorf("%s: %w", p, err)
	}
	return nil
}

func constShape(s Shape) bool {
	for _, d := range s.Dims[:s.Rank] {
		if !d.IsConst() {
			return false
		}
	}
	return true
}

// maxDim keeps every element count of a verified graph within an int64.
const maxDim = 1 << 40

func verifyType(g *Graph, t Type) error {
	if !t.DType.Valid() {
		return fmt.Errorf("has no dtype")
	}
	total := int64(1)
	for i, d := range t.Shape.Dims[:t.Shape.Rank] {
		lo, hi := d.C, d.C
		if !d.IsConst() {
			lo, hi = d.Min(g.Bounds), d.Max(g.Bounds)
		}
		if lo < 1 || hi > maxDim/total {
			return fmt.Errorf("dim %d of %s ranges over %d..%d, wants at least 1 and at most 2^40 elements in all", i, t, lo, hi)
		}
		total *= hi
	}
	for _, d := range t.Shape.Dims[t.Shape.Rank:] {
		if d != (sym.Dim{}) {
			return fmt.Errorf("%s has dims beyond its rank", t)
		}
	}
	if elems, _ := t.DType.Block(); elems > 1 {
		if t.Shape.Rank == 0 {
			return fmt.Errorf("%s has no row for blocks", t)
		}
		if _, ok := t.Shape.At(-1).Div(int64(elems)); !ok {
			return fmt.Errorf("rows of %s are not a multiple of the block's %d elements; f16 takes rows of any length", t, elems)
		}
	}
	return nil
}

func verifyNode(g *Graph, n *Node, s *scratch) error {
	if n.Op == OpInvalid || n.Op >= numOps {
		return fmt.Errorf("%s: not an op", n)
	}
	s.attr = n.Attr
	for f := range n.Op.fields() {
		f.clear(&s.attr)
	}
	if s.attr != (Attr{}) {
		return fmt.Errorf("%s: has attrs that the op does not use", n)
	}
	if n.Op == OpFused {
		return verifyFused(g, n, s)
	}
	if n.Region != nil || len(n.Results) != 1 {
		return fmt.Errorf("%s: only a fused node has a region or several results", n)
	}
	t, err := inferNode(n, &s.types)
	if err != nil {
		return fmt.Errorf("%s: %w", n, err)
	}
	if t != n.Results[0].Type {
		return fmt.Errorf("%s: has type %s, wants %s", n, n.Results[0].Type, t)
	}
	return verifyRange(g.Bounds, n)
}

// verifyRange checks what depends on the bounds: that slices and cache writes
// stay inside their tensor, and that a mask leaves each row a column.
func verifyRange(b sym.Bounds, n *Node) error {
	var start, size, room sym.Dim
	switch n.Op {
	case OpSlice:
		start, size, room = n.Attr.Start, n.Attr.Size, n.Args[0].Type.Shape.At(n.Attr.Axis)
	case OpKVWrite:
		start, size, room = n.Attr.Start, n.Args[1].Type.Shape.At(1), n.Args[0].Type.Shape.At(1)
	case OpSoftmax:
		if lo := n.Attr.Start.Min(b); lo < 0 {
			return fmt.Errorf("%s: start %s can be %d, and row 0 would see no column", n, n.Attr.Start, lo)
		}
		return nil
	default:
		return nil
	}
	if lo := start.Min(b); lo < 0 {
		return fmt.Errorf("%s: start %s can be %d", n, start, lo)
	}
	if over := start.Add(size).Sub(room).Max(b); over > 0 {
		return fmt.Errorf("%s: rows %s to %s pass the end %s by up to %d", n, start, start.Add(size), room, over)
	}
	return nil
}

func verifyFused(g *Graph, n *Node, s *scratch) error {
	r := n.Region
	if r == nil {
		return fmt.Errorf("%s: has no region", n)
	}
	if r.Bounds != g.Bounds {
		return fmt.Errorf("%s: its region has bounds %+v, wants %+v", n, r.Bounds, g.Bounds)
	}
	if len(r.Params) != len(n.Args) || len(r.Results) != len(n.Results) || len(n.Results) == 0 {
		return fmt.Errorf("%s: has %d operands and %d results, its region %d and %d", n, len(n.Args), len(n.Results), len(r.Params), len(r.Results))
	}
	for i, a := range n.Args {
		if a.Type != r.Params[i].Type {
			return fmt.Errorf("%s: operand %d has type %s, its region wants %s", n, i, a.Type, r.Params[i].Type)
		}
	}
	for i, v := range n.Results {
		if v.Type != r.Results[i].Value.Type {
			return fmt.Errorf("%s: result %d has type %s, its region yields %s", n, i, v.Type, r.Results[i].Value.Type)
		}
	}
	for _, m := range r.Nodes() {
		if m.Op == OpFused {
			return fmt.Errorf("%s: its region holds a fused node; regions do not nest", n)
		}
		if m.Attr.Kernel != "" {
			return fmt.Errorf("%s: its region holds %s with a kernel of its own; a region becomes one", n, m)
		}
	}
	if err := verifyGraph(r, true, s); err != nil {
		return fmt.Errorf("%s: in its region: %w", n, err)
	}
	return nil
}

func isState(v *Value, isRegion bool) bool {
	root := StateRoot(v)
	return root.Param != nil && (root.Param.Kind == State || isRegion && root.Param.Kind == Arg)
}

func verifyResults(g *Graph, users *userCounts, gone map[*Value]*Node, isRegion bool) error {
	if len(g.Results) == 0 {
		return errors.New("has no result")
	}
	var names map[string]bool
	if !isRegion {
		names = make(map[string]bool, len(g.Results))
	}
	for i, r := range g.Results {
		if users.count(r.Value, len(users.nodes)) == nil {
			return fmt.Errorf("result %d is not a value of the graph", i)
		}
		if w := gone[r.Value]; w != nil {
			return fmt.Errorf("result %q is a cache that %s has overwritten; return its result", r.Name, w)
		}
		if isRegion {
			continue
		}
		if r.Name == "" || names[r.Name] {
			return fmt.Errorf("result %d has the name %q, wants one of its own", i, r.Name)
		}
		names[r.Name] = true
	}
	if isRegion {
		return nil
	}
	// A cache that was written must be returned under its name: it survives the run.
	for v := range gone {
		root := StateRoot(v)
		if !names[root.Param.Name] {
			return fmt.Errorf("state %q is overwritten but its successor is not returned", root.Param.Name)
		}
	}
	for _, r := range g.Results {
		root := StateRoot(r.Value)
		if root != r.Value && (root.Param == nil || root.Param.Name != r.Name) {
			return fmt.Errorf("result %q succeeds %s, wants its name", r.Name, root)
		}
	}
	return nil
}
