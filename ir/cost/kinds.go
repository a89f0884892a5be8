package cost

import (
	"errors"
	"iter"
	"math"
	"slices"

	"foundry/ir"
	"foundry/ir/kernel"
	"foundry/ir/target"
	"foundry/ir/task"
)

// kindOfRegion returns the kind of r.
func kindOfRegion(r *task.Region) kind {
	nodes := r.Graph.Nodes()
	if n := nodes[0]; len(nodes) == 1 && n.Op == ir.OpMatmulNT && !n.Args[1].Type.Shape.At(0).IsConst() {
		return batchedKind // a product of two activations
	}
	return kindOf(r.Has)
}

// kindOf returns the kind of a region by its operations.
func kindOf(has func(...ir.Op) bool) kind {
	switch {
	case has(ir.OpMatmulNT):
		return productKind
	case has(ir.OpBmmNT) && has(ir.OpBmmNN):
		return attentionKind
	case has(ir.OpBmmNT, ir.OpBmmNN):
		return batchedKind
	case has(ir.OpSoftmax):
		return softmaxKind
	case has(ir.OpArgmax):
		return argmaxKind
	case has(ir.OpSample):
		return sampleKind
	case has(ir.OpArange, ir.OpOnes, ir.OpRandomUniform):
		return createKind
	case has(ir.OpRMSNorm) && has(ir.OpRope):
		return headsKind
	case has(ir.OpRMSNorm, ir.OpRMSScale):
		return normKind
	}
	return elementsKind
}

// mains lists those of all kinds.
func mains() []main {
	return slices.Concat(productMains, attentionMains, batchedMains, elementsKind.mains, normKind.mains, softmaxKind.mains, argmaxKind.mains)
}

var productKind = kind{
	mains: productMains,
	best: func(r *task.Region, t *target.Target) kernel.Kernel {
		if p, err := task.ProductOf(r); err == nil {
			return bestProduct(p, t)
		}
		return nil
	},
	wants: func(r *task.Region, t *target.Target) error {
		if r.Has(ir.OpBmmNT) { // attention, whose parts the product merges
			a, err := task.AttentionOf(r)
			if err == nil {
				_, err = PartsOf(a, t)
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
				x := kernel.Expansion{Width: e.Chunk()}
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
			if err != nil {
				return none[kernel.ProductRows]
			}
			return slices.Values(rowCandidates(p, t))
		},
		fits:   ofProduct((*task.Product).FitsRows),
		groups: rowGroups,
		deal:   (*model).overRows,
	}.main(),
}

// none yields nothing.
func none[K kernel.Kernel](func(K) bool) {}

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

var attentionKind = kind{
	mains: attentionMains,
	best: func(r *task.Region, t *target.Target) kernel.Kernel {
		if a, err := task.AttentionOf(r); err == nil {
			return bestAttention(a, t)
		}
		return nil
	},
	wants: func(r *task.Region, _ *target.Target) error {
		_, err := task.AttentionOf(r)
		return err
	},
	deal: (*model).attention,
}

// attentionMains stand in the order in which they are listed; bestAttention weighs them.
var attentionMains = []main{
	way[kernel.AttentionRows]{
		words:      []kernel.AttentionRows{{}, {Parts: 1}},
		candidates: ofAttention(attentionInRows),
		fits: func(r *task.Region, k kernel.AttentionRows) error {
			a, err := task.AttentionOf(r)
			if err != nil {
				return err
			}
			return a.FitsRows(k)
		},
		groups: func(r *task.Region, k kernel.AttentionRows, _ *target.Target) []group {
			a, _ := task.AttentionOf(r)
			return passGroups(a, k)
		},
		deal: func(m *model, k Kernel, as kernel.AttentionRows) []Kernel {
			a, _ := task.AttentionOf(m.region)
			return rowPass(k, a, as, m.Env, m.Target)
		},
	}.main(),
	way[kernel.AttentionTiles]{
		words:      []kernel.AttentionTiles{{}},
		candidates: ofAttention(inQueryBlocks(attentionTiles)),
		fits:       fitsQueryBlocks[kernel.AttentionTiles],
		groups: func(r *task.Region, k kernel.AttentionTiles, _ *target.Target) []group {
			a, _ := task.AttentionOf(r)
			return []group{{k.Threads(), k.Bytes(a.Dim)}}
		},
		deal: func(m *model, k Kernel, as kernel.AttentionTiles) []Kernel {
			a, _ := task.AttentionOf(m.region)
			x := tiledAttention(as, a.Heads, a.Rows.Eval(m.Env), blockSeen(as, a.Keys.Eval(m.Env), a.Window()), a.Dim, m.Target)
			k.Tile, k.Tiled, k.Shared = x.Tile, true, as.Bytes(a.Dim)
			return []Kernel{onePass(k, x, as.Threads())}
		},
		halved: queries,
	}.main(),
	way[kernel.AttentionMatrices]{
		words:      []kernel.AttentionMatrices{{}},
		candidates: ofAttention(inQueryBlocks(attentionMatrices)),
		fits:       fitsQueryBlocks[kernel.AttentionMatrices],
		groups: func(r *task.Region, k kernel.AttentionMatrices, _ *target.Target) []group {
			a, _ := task.AttentionOf(r)
			return []group{{k.Threads(), k.Bytes(a.Dim)}}
		},
		deal: func(m *model, k Kernel, as kernel.AttentionMatrices) []Kernel {
			a, _ := task.AttentionOf(m.region)
			x := attentionInMatrices(as, a.Heads, a.Rows.Eval(m.Env), seenOf(a.Keys.Eval(m.Env), a.Window(), int64(as.Rows+as.Keys)), a.Dim, m.Target)
			k.Matrix, k.Tiled, k.Shared = x.Matrix, true, as.Bytes(a.Dim)
			return []Kernel{onePass(k, x, as.Threads())}
		},
		halved: queries,
		units:  true,
	}.main(),
}

// ofAttention yields list's kernels for a region's attention.
func ofAttention[K kernel.Kernel](list func(*task.Attention, *target.Target) iter.Seq[K]) func(*task.Region, *target.Target) iter.Seq[K] {
	return func(r *task.Region, t *target.Target) iter.Seq[K] {
		a, err := task.AttentionOf(r)
		if err != nil {
			return none[K]
		}
		return list(a, t)
	}
}

// inQueryBlocks yields list's kernels, by the elements of a head, where attention can be made
// of blocks of queries; fitsQueryBlocks says why it cannot.
func inQueryBlocks[K kernel.Kernel](list func(dim int64, t *target.Target) iter.Seq[K]) func(*task.Attention, *target.Target) iter.Seq[K] {
	return func(a *task.Attention, t *target.Target) iter.Seq[K] {
		if !a.TakesTiles() {
			return none[K]
		}
		return list(a.Dim, t)
	}
}

func fitsQueryBlocks[K kernel.Kernel](r *task.Region, _ K) error {
	a, err := task.AttentionOf(r)
	if err != nil {
		return err
	}
	return a.FitsTiles()
}

// queries lists what batched products multiply with keys and values, but for weights that a
// softmax made.
func queries(r *task.Region) (out []*ir.Value) {
	for _, n := range append(r.Nodes(ir.OpBmmNT), r.Nodes(ir.OpBmmNN)...) {
		if n.Args[0].Def == nil || n.Args[0].Def.Op != ir.OpSoftmax {
			out = append(out, n.Args[0])
		}
	}
	return out
}

var batchedKind = kind{
	mains: batchedMains,
	best:  bestBatched,
	deal:  (*model).batched,
}

var batchedMains = []main{
	way[kernel.BatchedColumns]{
		words: []kernel.BatchedColumns{{}},
		candidates: func(r *task.Region, _ *target.Target) iter.Seq[kernel.BatchedColumns] {
			if r.Graph.Nodes()[0].Op != ir.OpBmmNN {
				return none[kernel.BatchedColumns]
			}
			return slices.Values([]kernel.BatchedColumns{{}})
		},
		fits: func(r *task.Region, _ kernel.BatchedColumns) error { return r.FitsColumns() },
		groups: func(_ *task.Region, k kernel.BatchedColumns, _ *target.Target) []group {
			return []group{{k.Threads(), k.Bytes()}}
		},
		deal: func(m *model, k Kernel, as kernel.BatchedColumns) []Kernel {
			b, _ := task.BatchedOf(m.region)
			k.Groups, k.Shared = float64(b.Heads*b.Rows.Eval(m.Env))*math.Ceil(float64(b.Dim)/float64(as.Columns())), as.Bytes()
			return []Kernel{halfPass(k, m.byRows(b))}
		},
	}.main(),
	way[kernel.BatchedElements]{
		words: []kernel.BatchedElements{{}},
		candidates: func(r *task.Region, _ *target.Target) iter.Seq[kernel.BatchedElements] {
			n := r.Graph.Nodes()[0]
			if n.Op == ir.OpBmmNN {
				return none[kernel.BatchedElements]
			}
			can := widths[:]
			if depth, constant := n.Args[0].Type.Shape.At(-1).Const(); !constant || depth%int64(widths[0]) != 0 {
				can = widths[1:]
			}
			return eachWidth(can, func(w int) kernel.BatchedElements { return kernel.BatchedElements{Width: w} })
		},
		fits:   func(r *task.Region, k kernel.BatchedElements) error { return r.FitsDots(k.Width) },
		groups: threadsAlone[kernel.BatchedElements],
		deal: func(m *model, k Kernel, as kernel.BatchedElements) []Kernel {
			b, _ := task.BatchedOf(m.region)
			k.Groups = float64(b.Heads*b.Rows.Eval(m.Env)) * math.Ceil(float64(b.Keys.Eval(m.Env))/float64(as.Threads()))
			return []Kernel{halfPass(k, m.byRows(b))}
		},
	}.main(),
	way[kernel.AttentionTiles]{
		words: []kernel.AttentionTiles{{}},
		candidates: func(r *task.Region, t *target.Target) iter.Seq[kernel.AttentionTiles] {
			if b, ok := task.BatchedOf(r); ok {
				if k, can := batchedTiles(b, t); can {
					return slices.Values([]kernel.AttentionTiles{k})
				}
			}
			return none[kernel.AttentionTiles]
		},
		fits: func(r *task.Region, _ kernel.AttentionTiles) error { return r.FitsBatchedTiles() },
		groups: func(r *task.Region, k kernel.AttentionTiles, _ *target.Target) []group {
			b, _ := task.BatchedOf(r)
			return []group{{k.Threads(), batchedBytes(b, k)}}
		},
		deal: func(m *model, k Kernel, as kernel.AttentionTiles) []Kernel {
			b, _ := task.BatchedOf(m.region)
			keys := b.Keys.Eval(m.Env)
			x := tiledAttention(as, b.Heads, b.Rows.Eval(m.Env), keys, b.Dim, m.Target)
			k.Tile, k.Groups, k.Tiled, k.Flops, k.Shared = x.Tile/2, x.Groups, true, 0, batchedBytes(b, as)
			if b.Product.Op == ir.OpBmmNT {
				k.Groups *= math.Ceil(float64(keys) / float64(as.Keys))
			}
			return []Kernel{halfPass(k, x)}
		},
		halved: queries,
	}.main(),
}

// threadsAlone is the group of a kernel without threadgroup memory.
func threadsAlone[K kernel.Kernel](_ *task.Region, k K, _ *target.Target) []group {
	return []group{{threads: k.Threads()}}
}

var softmaxKind = kind{
	best: func(r *task.Region, t *target.Target) kernel.Kernel {
		for k := range softmaxCandidates(r, t) {
			return k
		}
		return nil
	},
	wants: func(r *task.Region, _ *target.Target) error { return r.FitsSoftmax(0) },
	mains: []main{
		way[kernel.SoftmaxRow]{
			words:      []kernel.SoftmaxRow{{}},
			candidates: softmaxOnly[kernel.SoftmaxRow],
			fits:       func(r *task.Region, _ kernel.SoftmaxRow) error { return r.FitsSoftmax(0) },
			groups:     softmaxGroups[kernel.SoftmaxRow],
			deal:       softmaxDeal[kernel.SoftmaxRow],
		}.main(),
		way[kernel.SoftmaxSegments]{
			words:      []kernel.SoftmaxSegments{{}},
			candidates: softmaxOnly[kernel.SoftmaxSegments],
			fits:       func(r *task.Region, k kernel.SoftmaxSegments) error { return r.FitsSoftmax(k.Segments) },
			groups:     softmaxGroups[kernel.SoftmaxSegments],
			deal:       softmaxDeal[kernel.SoftmaxSegments],
		}.main(),
	},
}

func softmaxOnly[K kernel.Kernel](r *task.Region, t *target.Target) iter.Seq[K] {
	return func(yield func(K) bool) {
		for k := range softmaxCandidates(r, t) {
			if k, ok := k.(K); ok && !yield(k) {
				return
			}
		}
	}
}

func softmaxGroups[K kernel.Kernel](_ *task.Region, k K, _ *target.Target) []group {
	return []group{{k.Threads(), kernel.SoftmaxBytes(k.Threads())}}
}

func softmaxDeal[K kernel.Kernel](m *model, _ Kernel, as K) []Kernel {
	return softmaxOf(m.ops[0], m.Bounds, m.Env, !transient(m.node.Args[0])).kernels(as, m.Target)
}

var argmaxKind = kind{
	wants: func(r *task.Region, _ *target.Target) error { return r.FitsArgmax() },
	mains: []main{
		way[kernel.ArgmaxParts]{
			words:      []kernel.ArgmaxParts{{}},
			candidates: argmaxOf(func(length int64, _ *target.Target) kernel.ArgmaxParts { return kernel.ArgmaxParts{Length: length} }),
			fits:       func(*task.Region, kernel.ArgmaxParts) error { return nil },
			groups: func(_ *task.Region, k kernel.ArgmaxParts, t *target.Target) []group {
				return []group{{k.Threads(), kernel.BestBytes(k.Threads())}, mergeGroup(k.Parts(), t)}
			},
			deal: func(m *model, k Kernel, as kernel.ArgmaxParts) []Kernel {
				rows := m.ops[0].Args[0].Type.Shape.At(0).Eval(m.Env)
				k.Groups, k.Threads, k.Shared = float64(as.Parts()*rows), float64(as.Threads()), kernel.BestBytes(as.Threads())
				return []Kernel{k, argmaxMerge(as.Parts(), rows, m.Target)}
			},
		}.main(),
		way[kernel.ArgmaxRow]{
			words: []kernel.ArgmaxRow{{}},
			candidates: argmaxOf(func(length int64, t *target.Target) kernel.ArgmaxRow {
				return kernel.ArgmaxRow{Length: length, Largest: t.Limits.Threads}
			}),
			fits: func(*task.Region, kernel.ArgmaxRow) error { return nil },
			groups: func(_ *task.Region, k kernel.ArgmaxRow, _ *target.Target) []group {
				return []group{{k.Threads(), kernel.BestBytes(k.Threads())}}
			},
			deal: func(m *model, k Kernel, as kernel.ArgmaxRow) []Kernel {
				rows := m.ops[0].Args[0].Type.Shape.At(0).Eval(m.Env)
				k.Groups, k.Threads, k.Shared = float64(rows), float64(as.Threads()), kernel.BestBytes(as.Threads())
				return []Kernel{k}
			},
		}.main(),
	},
}

// argmaxOf yields the kernel for argmax of rows of a constant length.
func argmaxOf[K kernel.Kernel](of func(length int64, t *target.Target) K) func(*task.Region, *target.Target) iter.Seq[K] {
	return func(r *task.Region, t *target.Target) iter.Seq[K] {
		length, constant := r.Nodes(ir.OpArgmax)[0].Args[0].Type.Shape.At(-1).Const()
		if !constant || len(r.Graph.Nodes()) > 1 {
			return none[K]
		}
		return slices.Values([]K{of(length, t)})
	}
}

var normKind = kind{
	deal: (*model).norm,
	mains: []main{way[kernel.RowNorm]{
		words:      []kernel.RowNorm{{}},
		candidates: normCandidates,
		fits:       func(r *task.Region, k kernel.RowNorm) error { return r.FitsRows(k.Width) },
		groups: func(_ *task.Region, k kernel.RowNorm, _ *target.Target) []group {
			return []group{{k.Threads(), k.Bytes()}}
		},
		deal: (*model).byRow,
	}.main()},
}

// elementsKind is results by element. A threadgroup that makes all of a position, where one
// can, computes its cosines and sines once, which no model here counts.
var elementsKind = kind{
	best: func(r *task.Region, t *target.Target) kernel.Kernel {
		for k := range positionCandidates(r, t) {
			return k
		}
		return nil
	},
	mains: []main{
		way[kernel.Positions]{
			words:      []kernel.Positions{{}},
			candidates: positionCandidates,
			fits:       func(r *task.Region, k kernel.Positions) error { return r.FitsPositions(k.Width) },
			groups: func(r *task.Region, k kernel.Positions, _ *target.Target) []group {
				return []group{{k.Threads(), turnBytes(r, task.ElementsOf(r))}}
			},
			deal: (*model).byPosition,
		}.main(),
		runsMain,
		way[kernel.Elements]{
			words:      []kernel.Elements{{}},
			candidates: elementCandidates,
			fits:       func(r *task.Region, k kernel.Elements) error { return r.FitsElements(k.Width) },
			groups:     threadsAlone[kernel.Elements],
			deal:       (*model).byElement,
		}.main(),
	},
}

// Kinds of which there is one kernel, and nothing to choose.
var (
	sampleKind = kind{
		wants:  func(r *task.Region, _ *target.Target) error { return r.FitsSample() },
		groups: func(*task.Region, *target.Target) []group { return []group{{kernel.EachThreads, sampleBytes}} },
	}
	createKind = kind{
		wants:  func(r *task.Region, _ *target.Target) error { return r.FitsCreate() },
		groups: func(*task.Region, *target.Target) []group { return []group{{threads: kernel.EachThreads}} },
	}
	headsKind = kind{
		wants: func(r *task.Region, _ *target.Target) error { return r.FitsHeads() },
		groups: func(r *task.Region, t *target.Target) []group {
			parts := task.ElementsOf(r)
			return []group{{HeadsOf(parts, t).Threads(), turnBytes(r, parts)}}
		},
		deal: (*model).byHead,
	}
)
