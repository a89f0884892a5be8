package task

import (
	"errors"

	"foundry/ir"
	"foundry/ir/kernel"
	"foundry/ir/sym"
)

// FitsRows says why attention cannot be the kernel k.
func (a *Attention) FitsRows(k kernel.AttentionRows) error {
	if err := a.usedWithin(); err != nil {
		return err
	}
	if err := a.FitsPass(k); err != nil {
		return err
	}
	return a.fitsResult()
}

// usedWithin is an error of an attention of which more than the result is wanted.
func (a *Attention) usedWithin() error {
	if len(a.Region.Graph.Results) != 1 {
		return errors.New("scores or weights of attention are used outside the region")
	}
	return nil
}

// FitsPass says why a pass over the keys row by row, or over a part of them, is not the
// kernel k.
func (a *Attention) FitsPass(k kernel.AttentionRows) error {
	w := a.Region.walk(k.Width)
	h, t := w.below(GroupX, a.Heads), Number(0)
	if a.Rows != sym.Const(1) {
		t = w.unknown(GroupY)
	}
	for _, b := range [...]*ir.Value{a.Scores.Args[1], a.Weighted.Args[1]} {
		if w.KeysOf(b, a.Heads, h, int64(k.Width)); w.Err != nil {
			return w.Err
		}
	}
	first := w.some(int64(k.Lanes*k.Width), int64(k.Width))
	for j := 0; j < int(a.Dim)/k.Lanes; j += k.Width {
		w.Reach(a.Scores.Args[0], []Index{h, t, first.Plus(int64(j * k.Lanes))})
	}
	return w.Err
}

// fitsResult looks where the result is stored, an element at a time.
func (a *Attention) fitsResult() error {
	l, err := a.ResultLayout()
	if err != nil {
		return err
	}
	w := a.Region.ones()
	w.Place(l, []Index{w.below(GroupX, a.Heads), w.unknown(GroupY), w.freshBelow(a.Dim)})
	return w.Err
}

// FitsTiles says why attention cannot be made of blocks of queries and keys.
func (a *Attention) FitsTiles() error {
	if err := a.usedWithin(); err != nil {
		return err
	}
	if _, err := RowsWidth(a.Region, a.Scores.Args[0], a.Heads, a.Dim); err != nil {
		return err
	}
	w := a.Region.ones()
	h := w.below(GroupX, a.Heads)
	for _, b := range [...]*ir.Value{a.Scores.Args[1], a.Weighted.Args[1]} {
		if w.KeysOf(b, a.Heads, h, kernel.KeysWidth); w.Err != nil {
			return w.Err
		}
	}
	return a.fitsResult()
}

// RowsWidth returns how many elements of rows [head, t, dim] of x are brought to tiles at
// once, four where all that they are made of allows. An unbounded one is looked at before,
// an element at a time.
func RowsWidth(r *Region, x *ir.Value, heads, dim int64) (width int, err error) {
	for _, width = range [...]int{4, 1} {
		w := r.walk(width)
		d := w.some(dim, int64(width))
		w.Reach(x, []Index{w.freshBelow(heads), w.fresh(), d})
		if err = w.Err; err == nil {
			break
		}
	}
	if err == nil && r.unbounded(x) {
		err = r.fitsOnes(x, heads)
	}
	return width, err
}

// fitsOnes looks at rows of x an element at a time.
func (r *Region) fitsOnes(x *ir.Value, heads int64) error {
	w := r.ones()
	w.Reach(x, []Index{w.freshBelow(heads), w.fresh(), w.fresh()})
	return w.Err
}

// FitsBatchedTiles says why a batched product cannot be made of blocks.
func (r *Region) FitsBatchedTiles() error {
	if err := r.alone(); err != nil {
		return err
	}
	b, _ := BatchedOf(r)
	w := r.ones()
	h := w.freshBelow(b.Heads)
	if w.KeysOf(b.Product.Args[1], b.Heads, h, kernel.KeysWidth); w.Err != nil {
		return w.Err
	}
	if b.Product.Op == ir.OpBmmNT {
		if _, err := RowsWidth(r, b.Product.Args[0], b.Heads, b.Dim); err != nil {
			return err
		}
	} else if err := r.fitsOnes(b.Product.Args[0], b.Heads); err != nil {
		return err
	}
	w.Target(0, []Index{h, w.fresh(), w.fresh()})
	return w.Err
}
