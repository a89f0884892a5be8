package metal

import (
	"slices"

	"foundry/ir"
	"foundry/ir/cost"
	"foundry/ir/dtype"
	deal "foundry/ir/kernel"
	"foundry/ir/sym"
	"foundry/ir/work"
)

// findHalves marks the f32 values that only tiled products read, as the rows of their
// left operand. Tiles multiply halves, so each reader would narrow every element of
// them, once for each block of weights that meets it. Their maker does so instead:
// the same halves, in half the bytes, which go to threadgroup memory as they are. Of a
// value without a bound it knows too little: its rows span threadgroups. Where tiles
// must narrow the rows after all, since their weights come expanded, the maker scales them
// by their range.
func (e *entry) findHalves() {
	e.halves, e.narrowed = map[*ir.Value]bool{}, map[*ir.Value]bool{}
	for _, n := range e.g.Nodes() {
		if n.Op.Is(ir.View) || softmaxAlone(n) {
			continue // a view lies as what it shows does, that kernel writes f32
		}
		for _, v := range n.Results {
			if v.Type.DType != dtype.F32 || ir.StateRoot(v) != v || e.bounds.of(v, nil).narrowing() == unbounded {
				continue
			}
			switch {
			case e.onlyTiles(v, true):
				mark(e.halves, v)
			case e.onlyTiles(v, false):
				mark(e.narrowed, v)
			}
		}
	}
}

func softmaxAlone(n *ir.Node) bool {
	if n.Region != nil && len(n.Region.Nodes()) == 1 {
		n = n.Region.Nodes()[0]
	}
	return n.Op == ir.OpSoftmax
}

// onlyTiles reports whether all readers of v, and of reshapes of it, bring it to tiles,
// as copies of halves or else narrowed from f32.
func (e *entry) onlyTiles(v *ir.Value, copied bool) bool {
	if e.outputs[v] != nil || len(v.Users()) == 0 {
		return false
	}
	return !slices.ContainsFunc(v.Users(), func(n *ir.Node) bool {
		if n.Op == ir.OpReshape {
			return !e.onlyTiles(n.Results[0], copied)
		}
		return !e.brings(n, v, copied)
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
func (e *entry) brings(n *ir.Node, v *ir.Value, copied bool) bool {
	r, err := regionOf(n, e.g.Bounds, e.c.o.Target)
	if err != nil || !r.has(ir.OpMatmulNT) || v.Type.Shape.At(0).IsConst() || !r.nodes(ir.OpMatmulNT)[0].Args[1].Type.Shape.At(0).IsConst() {
		return false
	}
	r.tuning = e.c.o.Tuning
	at := slices.Index(n.Args, v)
	x := r.g.Params[at]
	if slices.Contains(n.Args[at+1:], v) || slices.ContainsFunc(r.g.Results, func(res ir.Result) bool { return res.Value == x }) {
		return false
	}
	for _, u := range x.Users() {
		if u.Op != ir.OpMatmulNT || u.Args[0] != x {
			return false
		}
	}
	r.operands[at].Halves = copied
	p, err := work.ProductOf(r.asked)
	if err != nil {
		return false
	}
	tiles, ok := cost.ChooseProduct(p, r.target, r.tuning).(deal.ProductTiles)
	return ok && tiles.Copied == copied && p.Inner == x
}

// saved returns how many bytes fewer v has than its type says, as a number to add.
func (e *entry) saved(v *ir.Value) sym.Poly {
	if !e.halves[v] {
		return sym.Poly{}
	}
	return cost.Bytes(ir.Type{DType: dtype.F16, Shape: v.Type.Shape}).Add(cost.Bytes(v.Type).Scale(-1))
}
