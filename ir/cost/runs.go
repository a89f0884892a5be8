package cost

import (
	"iter"
	"math"
	"math/bits"
	"slices"

	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/kernel"
	"foundry/ir/target"
	"foundry/ir/task"
)

// runsMain is results by element with the sums of the squares of runs of them.
var runsMain = way[kernel.Runs]{
	words:      []kernel.Runs{{}},
	candidates: runCandidates,
	fits:       func(r *task.Region, k kernel.Runs) error { return r.FitsRuns(k) },
	groups:     threadsAlone[kernel.Runs],
	deal: func(m *model, k Kernel, as kernel.Runs) []Kernel {
		k.Threads = float64(as.Threads())
		if g, err := task.RunsElements(m.region).Grid(kernel.RunsWidth); err == nil {
			k.Groups = math.Ceil(float64(g.Columns.Eval(m.Env))/k.Threads) * float64(g.Rows.Eval(m.Env))
		}
		k.Exchanges += float64(bits.Len(uint(as.Lanes())) - 1)
		return m.single(k)
	},
}.main()

// runCandidates yields runs where all results are of one space, or sums of runs of one size.
func runCandidates(r *task.Region, _ *target.Target) iter.Seq[kernel.Runs] {
	p, size := task.RunsElements(r), int64(0)
	for j, res := range r.Graph.Results {
		v := res.Value
		if slices.Contains(p.Results, j) {
			if task.Walked(v) != p.Space || v.Type.DType == dtype.I32 {
				return none[kernel.Runs]
			}
			continue
		}
		if n := v.Def.Attr.Size.C; v.Def.Args[0].Type.Shape != p.Space || size > 0 && n != size {
			return none[kernel.Runs]
		}
		size = v.Def.Attr.Size.C
	}
	k, can := kernel.RunsOf(size)
	if !can || r.Has(ir.OpRope) {
		return none[kernel.Runs]
	}
	return slices.Values([]kernel.Runs{k})
}
