package cost

import (
	"foundry/ir"
	"foundry/ir/sym"
)

// Flops returns the floating-point operations of a node, a region's summed.
func Flops(n *ir.Node) sym.Poly {
	if n.Region != nil {
		var sum sym.Poly
		for _, m := range n.Region.Nodes() {
			sum = sum.Add(Flops(m))
		}
		return sum
	}
	out := n.Results[0].Type
	switch {
	case n.Op.Is(ir.Contraction):
		var dims [ir.MaxRank + 1]sym.Dim
		m := copy(dims[:], out.Shape.Dims[:out.Shape.Rank])
		dims[m] = n.Args[0].Type.Shape.At(-1)
		return product(dims[:m+1]).Scale(2)
	case n.Op == ir.OpSumSquares || n.Op == ir.OpArgmax || n.Op == ir.OpSample:
		out = n.Args[0].Type
	}
	return product(out.Shape.Dims[:out.Shape.Rank]).Scale(n.Op.Info().Flops)
}

// Moved returns the bytes that a node must read and write: each operand and each
// result once, of an embedding's table and of a cache only the rows touched. A
// view moves nothing.
func Moved(n *ir.Node) sym.Poly {
	if isView(n) {
		return sym.Poly{}
	}
	sum := written(n)
	for i := range n.Args {
		sum = sum.Add(readOf(n, i))
	}
	return sum
}

// ReadOf returns the bytes of operand i that n must read.
func ReadOf(n *ir.Node, i int) sym.Poly { return readOf(n, i) }

// Written returns the bytes of result i that n stores; of a view, those that a copy
// of it would.
func Written(n *ir.Node, i int) sym.Poly {
	if n.Region == nil {
		return written(n)
	}
	if v := n.Region.Results[i].Value; v.Def != nil {
		return written(v.Def)
	}
	return sym.Poly{}
}

// Bytes returns the bytes of a tensor.
func Bytes(t ir.Type) sym.Poly { return bytesOf(t) }

// isView reports whether n is no dispatch: a view by nature, or a region of them.
func isView(n *ir.Node) bool {
	if n.Region == nil {
		return n.Op.Is(ir.View) && !n.Op.Is(ir.AsMain)
	}
	for _, m := range n.Region.Nodes() {
		if !isView(m) {
			return false
		}
	}
	return true
}

// readOf returns the bytes of operand i that n reads.
func readOf(n *ir.Node, i int) sym.Poly {
	if n.Region != nil {
		return readOfParam(n.Region.Params[i])
	}
	switch {
	case n.Op.Is(ir.WritesState) && i == 0:
		return sym.Poly{}
	case n.Op == ir.OpEmbedding && i == 1:
		return bytesOf(ir.Type{DType: n.Args[1].Type.DType, Shape: n.Results[0].Type.Shape})
	}
	return bytesOf(n.Args[i].Type)
}

// readOfParam returns what a region reads of one param: the most that one of its
// users does.
func readOfParam(p *ir.Value) sym.Poly {
	var most sym.Poly
	for _, u := range p.Users() {
		for i, a := range u.Args {
			if a == p {
				most = larger(most, readOf(u, i))
			}
		}
	}
	return most
}

// larger returns the polynomial that is larger at T = P = 64.
func larger(a, b sym.Poly) sym.Poly {
	e := sym.Env{T: 64, P: 64}
	if b.Eval(e) > a.Eval(e) {
		return b
	}
	return a
}

// written returns the bytes of n's results that n stores.
func written(n *ir.Node) sym.Poly {
	if n.Region == nil {
		if n.Op.Is(ir.WritesState) {
			x := n.Args[1].Type
			return bytesOf(ir.Type{DType: n.Args[0].Type.DType, Shape: x.Shape})
		}
		return bytesOf(n.Results[0].Type)
	}
	var sum sym.Poly
	for _, r := range n.Region.Results {
		if r.Value.Def != nil {
			sum = sum.Add(written(r.Value.Def))
		}
	}
	return sum
}

func bytesOf(t ir.Type) sym.Poly {
	elems, bytes := t.DType.Block()
	s := t.Shape
	if elems > 1 && s.Rank > 0 {
		row, _ := s.At(-1).Div(int64(elems))
		s = s.With(-1, row)
	}
	return product(s.Dims[:s.Rank]).Scale(int64(bytes))
}

// product is sym.Product; where the degree is beyond what a Poly can hold, which
// no model reaches, the dims that do not fit are left out.
func product(dims []sym.Dim) sym.Poly {
	for n := len(dims); n > 0; n-- {
		if p, ok := sym.Product(dims[:n]...); ok {
			return p
		}
	}
	return sym.Poly{C: 1}
}
