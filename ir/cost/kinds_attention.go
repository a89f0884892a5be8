package cost

import (
	"iter"
	"math"
	"slices"

	"foundry/ir"
	"foundry/ir/kernel"
	"foundry/ir/target"
	"foundry/ir/task"
)

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
