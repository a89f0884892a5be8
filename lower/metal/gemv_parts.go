package metal

import (
	"fmt"

	"foundry/ir"
	"foundry/ir/sym"
)

// gemvPart is a set of results that need the same rows: one thread ends up with
// row n of each of its products, or with a rotary pair of one.
type gemvPart struct {
	products []*ir.Node
	results  []int
	n        int64 // rows of each product
	heads    int64 // of a kv_rearrange in the epilogue, or 0
	pair     bool
	sums     []int // results that are sum_squares of a result of the part
	best     []int // results that are argmax of one
}

func (p *gemvPart) rowsPerUnit() int {
	n := len(p.products)
	if p.pair {
		n *= 2
	}
	return n
}

func (p *gemvPart) units() int64 {
	if p.pair {
		return p.n / 2
	}
	return p.n
}

func (p *gemvPart) headDim() int64 {
	if p.heads == 0 {
		return 2
	}
	return p.n / p.heads
}

func (g *gemv) formParts(products []*ir.Node) error {
	owner := map[*ir.Node]*gemvPart{}
	for i, res := range g.r.g.Results {
		var mine []*ir.Node
		for _, p := range products {
			if dependsOn(res.Value, func(n *ir.Node) bool { return n == p }) {
				mine = append(mine, p)
			}
		}
		if len(mine) == 0 {
			if dependsOn(res.Value, func(n *ir.Node) bool { return n == g.norm }) && g.norm != nil {
				return fmt.Errorf("the norm is used outside the region")
			}
			g.extra = append(g.extra, i)
			continue
		}
		var part *gemvPart
		for _, p := range mine {
			if owner[p] != nil {
				part = owner[p]
			}
		}
		if part == nil {
			part = &gemvPart{}
			g.parts = append(g.parts, part)
		}
		part.results = append(part.results, i)
		for _, p := range mine {
			if owner[p] != nil && owner[p] != part {
				return fmt.Errorf("results share matrix products in a way that no part can own")
			}
			if owner[p] == nil {
				owner[p] = part
				part.products = append(part.products, p)
			}
		}
	}
	for _, p := range products {
		if owner[p] == nil {
			return fmt.Errorf("a matrix product has no result")
		}
	}
	for _, p := range g.parts {
		if err := g.shapePart(p); err != nil {
			return err
		}
	}
	return nil
}

// shapePart settles how a part's thread counts rows.
func (g *gemv) shapePart(p *gemvPart) error {
	n, ok := p.products[0].Args[1].Type.Shape.At(0).Const()
	if !ok {
		return fmt.Errorf("a weight has no constant number of rows")
	}
	p.n = n
	for _, q := range p.products {
		if q.Args[1].Type.Shape.At(0) != sym.Const(n) {
			return fmt.Errorf("matrix products that meet have different numbers of rows")
		}
	}
	all := p.results
	p.results = nil
	for _, i := range all {
		switch n := g.r.g.Results[i].Value.Def; n.Op {
		case ir.OpSumSquares:
			p.sums = append(p.sums, i)
		case ir.OpArgmax:
			p.best = append(p.best, i)
		default:
			p.results = append(p.results, i)
		}
	}
	if err := g.checkReductions(p); err != nil {
		return err
	}
	for _, i := range p.results {
		v := g.r.g.Results[i].Value
		s := core(v)
		heads := int64(0)
		if s.Rank == 3 {
			heads = s.Dims[0].C
		} else if s != ir.ShapeOf(g.rows, sym.Const(n)) {
			return fmt.Errorf("a result of %s is not what rows of a matrix product become", v.Type)
		}
		if i != p.results[0] && heads != p.heads {
			return fmt.Errorf("results of one matrix product have different layouts")
		}
		p.heads = heads
		p.pair = p.pair || dependsOn(v, func(n *ir.Node) bool { return n.Op == ir.OpRope })
	}
	if p.pair && p.heads == 0 {
		return fmt.Errorf("rope without kv_rearrange behind a matrix product")
	}
	return nil
}

// checkReductions refuses sums and maxima that the epilogue cannot leave.
func (g *gemv) checkReductions(p *gemvPart) error {
	if len(p.best) > 1 || len(p.best) == 1 && (len(g.r.nodes(ir.OpMatmulNT)) > 1 || g.rows != sym.Const(1)) {
		return fmt.Errorf("argmax behind a product wants one product of one row")
	}
	for _, j := range append(append([]int(nil), p.sums...), p.best...) {
		x := g.r.g.Results[j].Value.Def.Args[0]
		if x.Type.Shape != ir.ShapeOf(g.rows, sym.Const(p.n)) {
			return fmt.Errorf("%s of %s is not of the product's rows", g.r.g.Results[j].Value.Def.Op, x.Type)
		}
		if dependsOn(x, func(n *ir.Node) bool { return n.Op == ir.OpSumSquares || n.Op == ir.OpArgmax }) {
			return fmt.Errorf("a reduction of a reduction")
		}
	}
	return nil
}
