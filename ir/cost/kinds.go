package cost

import (
	"iter"
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

// none yields nothing.
func none[K kernel.Kernel](func(K) bool) {}

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
		one:   true,
		wants: func(r *task.Region, _ *target.Target) error { return r.FitsSample() },
		mains: []main{way[kernel.Sample]{
			candidates: theOne(func(r *task.Region, _ *target.Target) kernel.Sample {
				return kernel.Sample{Vocab: r.Graph.Nodes()[0].Args[0].Type.Shape.At(1).C}
			}),
			groups: func(_ *task.Region, k kernel.Sample, _ *target.Target) (out []group) {
				for _, one := range k.Kernels() {
					out = append(out, group{k.Threads(), one.Bytes})
				}
				return out
			},
			deal: (*model).sample,
		}.main()},
	}
	createKind = kind{
		one:   true,
		wants: func(r *task.Region, _ *target.Target) error { return r.FitsCreate() },
		mains: []main{way[kernel.Create]{
			candidates: theOne(func(*task.Region, *target.Target) kernel.Create { return kernel.Create{} }),
			groups:     threadsAlone[kernel.Create],
			deal: func(m *model, k Kernel, as kernel.Create) []Kernel {
				k.Threads = float64(as.Threads())
				k.Groups = m.elems(m.ops[0].Results[0].Type) / kernel.CreateWidth / k.Threads
				return m.single(k)
			},
		}.main()},
	}
	headsKind = kind{
		one:   true,
		wants: func(r *task.Region, _ *target.Target) error { return r.FitsHeads() },
		mains: []main{way[kernel.Heads]{
			candidates: theOne(func(r *task.Region, t *target.Target) kernel.Heads { return headsOf(task.ElementsOf(r), t) }),
			groups: func(r *task.Region, k kernel.Heads, _ *target.Target) []group {
				return []group{{k.Threads(), turnBytes(r, task.ElementsOf(r))}}
			},
			deal: (*model).byHead,
		}.main()},
	}
)

// theOne yields the one kernel of a region.
func theOne[K kernel.Kernel](of func(*task.Region, *target.Target) K) func(*task.Region, *target.Target) iter.Seq[K] {
	return func(r *task.Region, t *target.Target) iter.Seq[K] { return slices.Values([]K{of(r, t)}) }
}
