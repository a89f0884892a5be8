package task

import (
	"fmt"

	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/sym"
)

// Product is a region around matrix products of one operand: the prologue makes the
// operand, each part owns some of the weights and what happens to their rows.
type Product struct {
	Region *Region
	X      *ir.Value // the products' first operand
	Norm   *ir.Node  // rms_norm or rms_scale that makes it, or nil
	Inner  *ir.Value // the value that the prologue computes by element: X, or the norm's operand
	Length int64     // elements of a row: K
	Tokens sym.Dim   // rows of the operand: T
	Parts  []*Part
	Extra  []int // results that the prologue makes
	Merges bool  // the prologue merges the parts of attention, whole rows at a time
}

// ProductOf finds prologue, parts and extra results, or says what has no place.
func ProductOf(r *Region) (*Product, error) {
	products := r.Nodes(ir.OpMatmulNT)
	g := &Product{Region: r, X: products[0].Args[0], Merges: r.Has(ir.OpBmmNT)}
	for i, p := range products {
		if p.Args[0] != g.X {
			return nil, fmt.Errorf("matrix products of different operands do not share a kernel")
		}
		if p.Args[1].Param == nil {
			return nil, fmt.Errorf("the weight of a matrix product is made in the region")
		}
		if !r.Operands[p.Args[1].Index].Layout.IsContiguous(p.Args[1].Type.Shape) {
			return nil, fmt.Errorf("the weight of a matrix product is a view that is not row-major")
		}
		for _, q := range products[:i] {
			a, b := p.Args[1], q.Args[1]
			if a.Type.DType == b.Type.DType && r.Operands[a.Index].Planes != r.Operands[b.Index].Planes {
				return nil, fmt.Errorf("weights of %s in planes and in blocks do not share a kernel", a.Type.DType)
			}
		}
	}
	var ok bool
	if g.Length, ok = g.X.Type.Shape.At(1).Const(); !ok {
		return nil, fmt.Errorf("rows of %s have no constant length", g.X.Type)
	}
	g.Tokens, g.Inner = g.X.Type.Shape.At(0), g.X
	if g.X.Def != nil && (g.X.Def.Op == ir.OpRMSNorm || g.X.Def.Op == ir.OpRMSScale) {
		g.Norm, g.Inner = g.X.Def, g.X.Def.Args[0]
	}
	if err := g.formParts(products); err != nil {
		return nil, err
	}
	return g, nil
}

// WeightRows returns the rows of all weights, and how many of them a thread must end up with
// at once.
func (g *Product) WeightRows() (rows int64, unit int) {
	unit = 1
	for _, p := range g.Parts {
		rows += p.Units() * int64(p.RowsPerUnit())
		unit = max(unit, p.RowsPerUnit())
	}
	return rows, unit
}

// Run returns the longest run of rows that an epilogue sums up, 1 without any.
func (g *Product) Run() int {
	run := 1
	for _, p := range g.Parts {
		for _, j := range p.Sums {
			run = max(run, int(g.Region.Graph.Results[j].Value.Def.Attr.Size.C))
		}
	}
	return run
}

// Weights visits the weights of all parts.
func (g *Product) Weights(visit func(w *ir.Value)) {
	for _, p := range g.Parts {
		for _, q := range p.Products {
			visit(q.Args[1])
		}
	}
}

// SameFormat returns the dtype in which all weights lie; false where they differ.
func (g *Product) SameFormat() (t dtype.Type, same bool) {
	t, same = g.Region.Lies(g.Parts[0].Products[0].Args[1]), true
	g.Weights(func(w *ir.Value) { same = same && g.Region.Lies(w) == t })
	return t, same
}

// ReadsDirectly reports whether the operand lies as rows at a constant stride, and is
// read as it lies.
func (g *Product) ReadsDirectly() bool {
	if g.Norm != nil || g.Inner.Param == nil || g.Inner.Type.DType != dtype.F32 || g.Region.Operands[g.Inner.Index].Halves {
		return false
	}
	l := g.Region.Operands[g.Inner.Index].Layout
	return l.Stride[0].IsConst() && l.Stride[0].C%4 == 0 && l.Off.IsConst() && l.Off.C%4 == 0 &&
		(l.Stride[1] == sym.Poly{C: 1} || g.Length == 1)
}

// HalfRows reports whether the operand is kept as halves, and is all that the prologue
// reads.
func (g *Product) HalfRows() bool {
	return g.Norm == nil && len(g.Extra) == 0 && g.Inner.Param != nil && g.Region.Operands[g.Inner.Index].Halves
}

// TakesTiles reports whether the product can be made of tiles.
func (g *Product) TakesTiles() bool {
	switch {
	case g.Merges:
		return false
	case g.Norm != nil && g.Region.unbounded(g.X):
		return false // a norm whose weight may be anything
	}
	for _, part := range g.Parts {
		if len(part.Best) > 0 {
			return false // argmax wants one row
		}
		if n := part.HeadNorm; n != nil && n.Args[0].Def.Args[0] != part.Products[0].Results[0] {
			return false // what is normed is not the product itself, in heads
		}
		for _, j := range part.Sums {
			if 16%g.Region.Graph.Results[j].Value.Def.Attr.Size.C != 0 {
				return false // a run of squares would cross tiles
			}
		}
		first := part.Products[0].Args[1].Type.DType
		for _, q := range part.Products {
			w := q.Args[1]
			if t := w.Type.DType; t == dtype.F32 || t != first || t != dtype.F16 && g.Region.unbounded(w) {
				return false // one stage holds the rows of all products of a unit, as halves
			}
		}
	}
	return true
}
