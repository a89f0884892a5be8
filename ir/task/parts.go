package task

import (
	"fmt"

	"foundry/ir"
	"foundry/ir/sym"
)

// Part is a set of results that need the same rows of weights: one thread ends up
// with row n of each of its products, or with a rotary pair of one.
type Part struct {
	Products []*ir.Node
	Results  []int
	Each     int64 // rows of each product
	Heads    int64 // heads of a kv_rearrange in the epilogue, or 0
	Pair     bool
	Sums     []int    // results that are sum_squares of a result of the part
	Best     []int    // results that are argmax of one
	HeadNorm *ir.Node // the norm of each head before it is turned, or nil
}

// RowsPerUnit returns how many rows of weights make one unit: what one thread ends up with.
func (p *Part) RowsPerUnit() int {
	n := len(p.Products)
	if p.Pair {
		n *= 2
	}
	return n
}

// Units returns how many units the part has.
func (p *Part) Units() int64 {
	if p.Pair {
		return p.Each / 2
	}
	return p.Each
}

// HeadDim returns the rows of a head, 2 without heads.
func (p *Part) HeadDim() int64 {
	if p.Heads == 0 {
		return 2
	}
	return p.Each / p.Heads
}

func (g *Product) formParts(products []*ir.Node) error {
	owner := map[*ir.Node]*Part{}
	for i, res := range g.Region.Graph.Results {
		var mine []*ir.Node
		for _, p := range products {
			if DependsOn(res.Value, func(n *ir.Node) bool { return n == p }) {
				mine = append(mine, p)
			}
		}
		if len(mine) == 0 {
			if DependsOn(res.Value, func(n *ir.Node) bool { return n == g.Norm }) && g.Norm != nil {
				return fmt.Errorf("the norm is used outside the region")
			}
			g.Extra = append(g.Extra, i)
			continue
		}
		var part *Part
		for _, p := range mine {
			if owner[p] != nil {
				part = owner[p]
			}
		}
		if part == nil {
			part = &Part{}
			g.Parts = append(g.Parts, part)
		}
		part.Results = append(part.Results, i)
		for _, p := range mine {
			if owner[p] != nil && owner[p] != part {
				return fmt.Errorf("results share matrix products in a way that no part can own")
			}
			if owner[p] == nil {
				owner[p] = part
				part.Products = append(part.Products, p)
			}
		}
	}
	for _, p := range products {
		if owner[p] == nil {
			return fmt.Errorf("a matrix product has no result")
		}
	}
	for _, p := range g.Parts {
		if err := g.shapePart(p); err != nil {
			return err
		}
	}
	return nil
}

// shapePart settles how a part's thread counts rows.
func (g *Product) shapePart(p *Part) error {
	n, ok := p.Products[0].Args[1].Type.Shape.At(0).Const()
	if !ok {
		return fmt.Errorf("a weight has no constant number of rows")
	}
	p.Each = n
	for _, q := range p.Products {
		if q.Args[1].Type.Shape.At(0) != sym.Const(n) {
			return fmt.Errorf("matrix products that meet have different numbers of rows")
		}
	}
	all := p.Results
	p.Results = nil
	for _, i := range all {
		switch n := g.Region.Graph.Results[i].Value.Def; n.Op {
		case ir.OpSumSquares:
			p.Sums = append(p.Sums, i)
		case ir.OpArgmax:
			p.Best = append(p.Best, i)
		default:
			p.Results = append(p.Results, i)
		}
	}
	if err := g.checkReductions(p); err != nil {
		return err
	}
	for _, i := range p.Results {
		v := g.Region.Graph.Results[i].Value
		s := Walked(v)
		heads := int64(0)
		if s.Rank == 3 {
			heads = s.Dims[0].C
		} else if s != ir.ShapeOf(g.Tokens, sym.Const(n)) {
			return fmt.Errorf("a result of %s is not what rows of a matrix product become", v.Type)
		}
		if i != p.Results[0] && heads != p.Heads {
			return fmt.Errorf("results of one matrix product have different layouts")
		}
		p.Heads = heads
		p.Pair = p.Pair || DependsOn(v, func(n *ir.Node) bool { return n.Op == ir.OpRope })
	}
	if p.Pair && p.Heads == 0 {
		return fmt.Errorf("rope without kv_rearrange behind a matrix product")
	}
	return g.findHeadNorm(p)
}

// findHeadNorm finds the norm of the part's heads.
func (g *Product) findHeadNorm(p *Part) error {
	for _, n := range g.Region.Nodes(ir.OpRMSNorm) {
		for _, j := range p.Results {
			if n == g.Norm || n == p.HeadNorm || !DependsOn(g.Region.Graph.Results[j].Value, func(m *ir.Node) bool { return m == n }) {
				continue
			}
			if p.HeadNorm != nil || !p.Pair || len(p.Products) > 1 || n.Results[0].Type.Shape.Rank != 3 {
				return fmt.Errorf("a norm behind a matrix product that is not one of each head, before it is turned")
			}
			p.HeadNorm = n
		}
	}
	return nil
}

// Whole returns how many rows of weights must meet in a threadgroup, those of a head that
// is normed; 0 where none is.
func (g *Product) Whole() int64 {
	most := int64(0)
	for _, p := range g.Parts {
		if p.HeadNorm != nil {
			most = max(most, p.HeadDim())
		}
	}
	return most
}

// checkReductions refuses sums and maxima that the epilogue cannot leave.
func (g *Product) checkReductions(p *Part) error {
	if len(p.Best) > 1 || len(p.Best) == 1 && (len(g.Region.Nodes(ir.OpMatmulNT)) > 1 || g.Tokens != sym.Const(1)) {
		return fmt.Errorf("argmax behind a product wants one product of one row")
	}
	for _, j := range append(append([]int(nil), p.Sums...), p.Best...) {
		x := g.Region.Graph.Results[j].Value.Def.Args[0]
		if x.Type.Shape != ir.ShapeOf(g.Tokens, sym.Const(p.Each)) {
			return fmt.Errorf("%s of %s is not of the product's rows", g.Region.Graph.Results[j].Value.Def.Op, x.Type)
		}
		if DependsOn(x, func(n *ir.Node) bool { return n.Op == ir.OpSumSquares || n.Op == ir.OpArgmax }) {
			return fmt.Errorf("a reduction of a reduction")
		}
	}
	return nil
}
