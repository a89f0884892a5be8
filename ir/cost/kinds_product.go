package cost

import (
	"errors"
	"iter"
	"slices"

	"foundry/ir"
	"foundry/ir/kernel"
	"foundry/ir/target"
	"foundry/ir/task"
)

var productKind = kind{
	mains: productMains,
	best: func(r *task.Region, t *target.Target) kernel.Kernel {
		p, err := task.ProductOf(r)
		if err != nil {
			return nil
		}
		best := bestProduct(p, t)
		if rows, ok := best.(kernel.ProductRows); ok && p.Merges {
			return merging(r, rows, t)
		}
		return best
	},
	wants: func(r *task.Region, t *target.Target) error {
		if r.Has(ir.OpBmmNT) { // attention, whose parts the product merges
			a, err := task.AttentionOf(r)
			if err == nil {
				_, err = partsOf(a, t)
			}
			if err != nil {
				return err
			}
		}
		p, err := task.ProductOf(r)
		if err == nil && p.Merges && slices.ContainsFunc(p.Parts, func(p *task.Part) bool { return len(p.Best) > 0 }) {
			err = errors.New("a product behind attention that takes two kernels itself")
		}
		return err
	},
	deal:  (*model).products,
	first: true,
}

// productMains stand in the order in which they are listed; bestProduct weighs them.
var productMains = []main{
	way[kernel.ProductMatrices]{
		words: []kernel.ProductMatrices{{}, {ProductTiles: kernel.ProductTiles{Copied: true, Expanded: true}, Once: true}},
		candidates: inBlocks(func(p *task.Product, t *target.Target) []kernel.ProductMatrices {
			return slices.Concat(matrixCandidates(p, t), onceCandidates(p, t))
		}),
		fits: ofProduct(func(p *task.Product, k kernel.ProductMatrices) error {
			_, err := p.TilesWidth(k.ProductTiles)
			return err
		}),
		groups: func(r *task.Region, k kernel.ProductMatrices, _ *target.Target) (out []group) {
			p, _ := task.ProductOf(r)
			for _, e := range expansionsOf(p, k) {
				x := e.Kernel()
				out = append(out, group{x.Threads(), x.Bytes()})
			}
			_, unit := p.WeightRows()
			return append(out, group{k.Threads(), k.Bytes(unit, p.Whole() > 0)})
		},
		deal:   (*model).inMatrices,
		halved: factors,
		units:  true,
	}.main(),
	way[kernel.ProductTiles]{
		words:      []kernel.ProductTiles{{}, {Copied: true, Expanded: true}},
		candidates: inBlocks(tileCandidates),
		fits: ofProduct(func(p *task.Product, k kernel.ProductTiles) error {
			_, err := p.TilesWidth(k)
			return err
		}),
		groups: func(r *task.Region, k kernel.ProductTiles, _ *target.Target) []group {
			p, _ := task.ProductOf(r)
			_, unit := p.WeightRows()
			return []group{{k.Threads(), k.Bytes(unit, p.Whole() > 0)}}
		},
		deal:   (*model).inTiles,
		halved: factors,
	}.main(),
	way[kernel.ProductRows]{
		words: []kernel.ProductRows{{}, {Direct: true, Chunked: true}},
		candidates: func(r *task.Region, t *target.Target) iter.Seq[kernel.ProductRows] {
			p, err := task.ProductOf(r)
			if err != nil || p.Merges {
				return none[kernel.ProductRows]
			}
			return slices.Values(rowCandidates(p, t))
		},
		fits:   ofProduct((*task.Product).FitsRows),
		groups: rowGroups,
		deal:   (*model).overRows,
	}.main(),
	way[kernel.MergedRows]{ // whose words are those of rows
		candidates: func(r *task.Region, t *target.Target) iter.Seq[kernel.MergedRows] {
			p, err := task.ProductOf(r)
			if err != nil || !p.Merges {
				return none[kernel.MergedRows]
			}
			return func(yield func(kernel.MergedRows) bool) {
				for _, k := range rowCandidates(p, t) {
					if !yield(merging(r, k, t)) {
						return
					}
				}
			}
		},
		fits: ofProduct(func(p *task.Product, k kernel.MergedRows) error { return p.FitsRows(k.ProductRows) }),
		groups: func(r *task.Region, k kernel.MergedRows, t *target.Target) []group {
			a, _ := task.AttentionOf(r)
			return append(passGroups(a, k.Keys)[:1], rowGroups(r, k.ProductRows, t)...)
		},
		deal: (*model).mergedProduct,
	}.main(),
}

// merging is k behind the parts of the attention that stands in r before the product.
func merging(r *task.Region, k kernel.ProductRows, t *target.Target) kernel.MergedRows {
	a, err := task.AttentionOf(r)
	if err != nil {
		return kernel.MergedRows{ProductRows: k}
	}
	parts, _ := partsOf(a, t)
	return kernel.MergedRows{ProductRows: k, Keys: parts}
}

// inBlocks yields list's kernels for a product that can be made of blocks.
func inBlocks[K kernel.Kernel](list func(*task.Product, *target.Target) []K) func(*task.Region, *target.Target) iter.Seq[K] {
	return func(r *task.Region, t *target.Target) iter.Seq[K] {
		p, err := task.ProductOf(r)
		if err != nil || !p.TakesTiles() {
			return none[K]
		}
		return slices.Values(list(p, t))
	}
}

// ofProduct asks a region's product.
func ofProduct[K kernel.Kernel](fits func(*task.Product, K) error) func(*task.Region, K) error {
	return func(r *task.Region, k K) error {
		p, err := task.ProductOf(r)
		if err != nil {
			return err
		}
		return fits(p, k)
	}
}

// factors lists what products multiply.
func factors(r *task.Region) (out []*ir.Value) {
	for _, n := range r.Nodes(ir.OpMatmulNT) {
		out = append(out, n.Args[0], n.Args[1])
	}
	return out
}
