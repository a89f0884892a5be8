package task

import (
	"errors"
	"fmt"

	"foundry/ir/kernel"
	"foundry/ir/sym"
)

// FitsRows says why the product cannot be the kernel k.
func (g *Product) FitsRows(k kernel.ProductRows) error {
	for begin := int64(0); begin < g.Length && !k.Direct; begin += k.Segment {
		if _, err := g.StageWidth(begin, min(k.Segment, g.Length-begin)); err != nil {
			return err
		}
	}
	for _, p := range g.Parts {
		w := g.walk(1)
		t := w.token(g)
		own := w.freshBelow(p.Units())
		w.unit(g, p, t, own)
		for _, j := range p.Best {
			_, row := w.OfUnit(p, t, own)
			w.Reach(g.Region.Graph.Results[j].Value.Def.Args[0], []Index{t, row})
		}
		for _, j := range p.Sums {
			w.Target(j, []Index{w.fresh(), w.fresh()})
		}
		if w.Err != nil {
			return w.Err
		}
	}
	return nil
}

// walk is a walk over the product's region, where attention's parts are merged by element.
func (g *Product) walk(width int) *Walk {
	w := g.Region.walk(width)
	if g.Merges {
		w.Merged, w.Err = AttentionOf(g.Region)
	}
	return w
}

// token returns the row of the operand that is at hand.
func (w *Walk) token(g *Product) Index {
	if g.Tokens == sym.Const(1) {
		return Number(0)
	}
	return w.fresh()
}

// StageWidth returns how many elements of size of the operand, from the one numbered begin
// on, a thread stages at once: four where all that they are made of allows.
func (g *Product) StageWidth(begin, size int64) (width int, err error) {
	for _, width = range [...]int{4, 1} {
		if size%int64(width) != 0 {
			continue
		}
		if err = g.fitsStage(begin, size, width); err == nil {
			return width, nil
		}
	}
	return 0, err
}

func (g *Product) fitsStage(begin, size int64, width int) error {
	w := g.walk(width)
	ix := []Index{w.token(g), w.some(size, int64(width)).Plus(begin)}
	if w.operand(g, ix); w.Err != nil {
		return w.Err
	}
	if g.Norm != nil {
		sums, gamma := NormOperands(g.Norm)
		w.Reach(gamma, ix[1:])
		if sums != nil && begin == 0 {
			w.sums(sums, ix[:1])
		}
	}
	return w.Err
}

// operand walks to element ix of the operand and of what the prologue stores beside it.
func (w *Walk) operand(g *Product, ix []Index) {
	w.Reach(g.Inner, ix)
	for _, j := range g.Extra {
		v := g.Region.Graph.Results[j].Value
		if Walked(v) != g.Inner.Type.Shape {
			w.fail("a result of %s is not what the prologue walks over", v.Type)
			return
		}
		w.Reach(v, ix)
		w.Target(j, ix)
	}
}

// unit walks to what is stored of a unit of p: its results and the squares that are summed.
func (w *Walk) unit(g *Product, p *Part, t, unit Index) {
	ix, row := w.OfUnit(p, t, unit)
	for _, q := range p.Products {
		for _, n := range p.Rows(row) {
			w.Have(q.Results[0], []Index{t, n})
		}
	}
	if n := p.HeadNorm; n != nil {
		for _, at := range [][]Index{ix, p.High(ix)} {
			w.Reach(n.Args[0], at)
			w.Reach(n.Args[1], at[2:])
			w.Have(n.Results[0], at)
		}
	}
	if len(p.Results) > 0 {
		w.results(g.Elements(p), ix)
	}
	for _, j := range p.Sums {
		w.Reach(g.Region.Graph.Results[j].Value.Def.Args[0], []Index{t, row})
	}
}

// TilesWidth returns how many elements of the operand a thread of tiles brings at once:
// four where all that they are made of allows. An error says why there is no such kernel.
func (g *Product) TilesWidth(k kernel.ProductTiles) (width int, err error) {
	for _, width = range [...]int{4, 1} {
		if g.Length%int64(width) != 0 {
			continue
		}
		if err = g.fitsTiles(k, width); err == nil {
			break
		}
	}
	for _, p := range g.Parts {
		if err == nil {
			_, err = g.StoreWidth(p)
		}
	}
	return width, err
}

func (g *Product) fitsTiles(k kernel.ProductTiles, width int) error {
	if k.Copied {
		return nil
	}
	if g.Norm != nil {
		what, each := g.Inner, width
		sums, gamma := NormOperands(g.Norm)
		if sums != nil {
			what, each = sums, 1
		}
		length, ok := what.Type.Shape.At(-1).Const()
		if !ok {
			return fmt.Errorf("sums of %s", what.Type)
		}
		w := g.walk(each)
		w.Reach(what, []Index{w.fresh(), w.some(length, int64(each))})
		if w.Err != nil {
			return w.Err
		}
		w = g.walk(width)
		if w.Reach(gamma, []Index{w.some(g.Length, int64(width))}); w.Err != nil {
			return w.Err
		}
	}
	w := g.walk(width)
	w.operand(g, []Index{w.fresh(), w.some(g.Length, int64(width))})
	return w.Err
}

// StoreWidth returns how many units of p a lane of tiles finishes at once: four where all
// that is stored allows.
func (g *Product) StoreWidth(p *Part) (width int, err error) {
	for _, width = range [...]int{4, 1} {
		if err = g.fitsStore(p, width); err == nil {
			return width, nil
		}
	}
	return 0, err
}

// errWidth is that so many do not divide what is stored, as one does.
var errWidth = errors.New("rows or runs of squares do not split")

func (g *Product) fitsStore(p *Part, width int) error {
	for _, j := range p.Sums {
		if g.Region.Graph.Results[j].Value.Def.Attr.Size.C%int64(width) != 0 {
			return errWidth
		}
	}
	if p.Units()%int64(width) != 0 {
		return errWidth
	}
	w := g.walk(width)
	t := w.fresh()
	w.unit(g, p, t, w.some(p.Units(), int64(width)))
	w.Width = 1
	for _, j := range p.Sums {
		w.Target(j, []Index{t, w.freshBelow(p.Units() / g.Region.Graph.Results[j].Value.Def.Attr.Size.C)})
	}
	return w.Err
}
