package cost

import (
	"slices"

	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/sym"
	"foundry/ir/task"
)

// Storage is how the values of a graph lie in memory where that is not what their types
// say.
type Storage struct {
	halves    map[*ir.Value]bool
	narrowed  map[*ir.Value]bool
	unbounded Unbounded // nil: all values have a bound
}

// StorageOf decides for the f32 values of g that only tiled products read, as the rows of
// their left operand. Tiles multiply halves, so each reader would narrow every element of
// them, once for each block of weights that meets it. Their maker does so instead:
// the same halves, in half the bytes, which go to threadgroup memory as they are. Of a
// value without a bound it knows too little: its rows span threadgroups. Where tiles
// must narrow the rows after all, since their weights come expanded, the maker scales them
// by their range. Which kernels read a value, c says. unbounded says which values have no bound; nil: none.
func StorageOf(g *ir.Graph, c *Choices, unbounded Unbounded) *Storage {
	s := &Storage{halves: map[*ir.Value]bool{}, narrowed: map[*ir.Value]bool{}, unbounded: unbounded}
	d := storing{Storage: s, graph: g, choices: c, returned: map[*ir.Value]bool{}}
	for _, r := range g.Results {
		d.returned[r.Value] = true
	}
	for _, n := range g.Nodes() {
		if n.Op.Is(ir.View) || softmaxAlone(n) {
			continue // a view lies as what it shows does, that kernel writes f32
		}
		for _, v := range n.Results {
			if v.Type.DType != dtype.F32 || ir.StateRoot(v) != v || unbounded != nil && unbounded(v, nil) {
				continue
			}
			switch {
			case d.onlyTiles(v, true):
				mark(s.halves, v)
			case d.onlyTiles(v, false):
				mark(s.narrowed, v)
			}
		}
	}
	return s
}

// Halves reports whether v, f32 in the graph, is kept as halves.
func (s *Storage) Halves(v *ir.Value) bool { return s != nil && s.halves[v] }

// Narrowed reports whether v is kept as f32 that tiles narrow, scaled by its range.
func (s *Storage) Narrowed(v *ir.Value) bool { return s != nil && s.narrowed[v] }

// within returns which values of n's region have no bound, nil where all have one.
func (s *Storage) within(n *ir.Node) func(*ir.Value) bool {
	if s == nil || s.unbounded == nil {
		return nil
	}
	return func(v *ir.Value) bool { return s.unbounded(v, n) }
}

// Saved returns how many bytes fewer v has than its type says, as a number to add.
func (s *Storage) Saved(v *ir.Value) sym.Poly {
	if !s.Halves(v) {
		return sym.Poly{}
	}
	return bytesOf(ir.Type{DType: dtype.F16, Shape: v.Type.Shape}).Add(bytesOf(v.Type).Scale(-1))
}

// Moved returns the bytes that n must read and write where its operands and results lie
// as s says: as the function Moved, but for a view that strides cannot say, which is a
// copy.
func (s *Storage) Moved(n *ir.Node) sym.Poly {
	if n.Op.Is(ir.View) && !task.IsView(n) {
		return written(n).Scale(2)
	}
	sum := Moved(n)
	for _, v := range slices.Concat(n.Args, n.Results) {
		sum = sum.Add(s.Saved(v))
	}
	return sum
}

// storing is a graph whose storage is being decided.
type storing struct {
	*Storage
	graph    *ir.Graph
	choices  *Choices
	returned map[*ir.Value]bool
}

func softmaxAlone(n *ir.Node) bool {
	if n.Region != nil && len(n.Region.Nodes()) == 1 {
		n = n.Region.Nodes()[0]
	}
	return n.Op == ir.OpSoftmax
}

// onlyTiles reports whether all readers of v, and of reshapes of it, bring it to tiles,
// as copies of halves or else narrowed from f32.
func (d *storing) onlyTiles(v *ir.Value, copied bool) bool {
	if d.returned[v] || len(v.Users()) == 0 {
		return false
	}
	return !slices.ContainsFunc(v.Users(), func(n *ir.Node) bool {
		if n.Op == ir.OpReshape {
			return !d.onlyTiles(n.Results[0], copied)
		}
		return !d.brings(n, v, copied)
	})
}

func mark(marked map[*ir.Value]bool, v *ir.Value) {
	marked[v] = true
	for _, n := range v.Users() {
		if n.Op == ir.OpReshape {
			mark(marked, n.Results[0])
		}
	}
}

// brings reports whether n's kernel brings v to tiles, copied or narrowed, and does
// nothing else with it.
func (d *storing) brings(n *ir.Node, v *ir.Value, copied bool) bool {
	if v.Type.Shape.At(0).IsConst() {
		return false
	}
	r, err := task.Of(n, d.graph.Bounds, d.choices.Target)
	if err != nil || !r.Has(ir.OpMatmulNT) || !r.Nodes(ir.OpMatmulNT)[0].Args[1].Type.Shape.At(0).IsConst() {
		return false
	}
	at := slices.Index(n.Args, v)
	x := r.Graph.Params[at]
	if slices.Contains(n.Args[at+1:], v) || slices.ContainsFunc(r.Graph.Results, func(res ir.Result) bool { return res.Value == x }) {
		return false
	}
	for _, u := range x.Users() {
		if u.Op != ir.OpMatmulNT || u.Args[0] != x {
			return false
		}
	}
	r.Operands[at].Halves, r.Unbounded = copied, d.within(n)
	p, err := task.ProductOf(r)
	if err != nil {
		return false
	}
	blocks, ok := blocksOf(d.choices.Of(n, r).Kernel)
	return ok && blocks.Copied == copied && p.Inner == x
}
