package cost

import (
	"fmt"
	"iter"
	"math"
	"math/bits"
	"slices"

	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/kernel"
	"foundry/ir/sym"
	"foundry/ir/target"
	"foundry/ir/task"
)

// runsMain is results by element with the sums of the squares of runs of them.
var runsMain = way[kernel.Runs]{
	words:      []kernel.Runs{{}},
	candidates: runCandidates,
	fits:       fitsRuns,
	groups:     threadsAlone[kernel.Runs],
	deal: func(m *model, k Kernel, as kernel.Runs) []Kernel {
		k.Threads = float64(as.Threads())
		if g, err := RunsElements(m.region).Grid(kernel.RunsWidth); err == nil {
			k.Groups = math.Ceil(float64(g.Columns.Eval(m.Env))/k.Threads) * float64(g.Rows.Eval(m.Env))
		}
		k.Exchanges += float64(bits.Len(uint(as.Lanes())) - 1)
		return m.single(k)
	},
}.main()

// RunsElements is what is computed by element where runs of it are summed up: the results
// that are no sums of squares.
func RunsElements(r *task.Region) *task.Elements {
	p := &task.Elements{}
	for j, res := range r.Graph.Results {
		if v := res.Value; v.Def != nil && v.Def.Op == ir.OpSumSquares {
			p.Space = v.Def.Args[0].Type.Shape
		} else {
			p.Results = append(p.Results, j)
		}
	}
	return p
}

// runCandidates yields runs where all results are of one space, or sums of runs of one size.
func runCandidates(r *task.Region, _ *target.Target) iter.Seq[kernel.Runs] {
	p, size := RunsElements(r), int64(0)
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

// fitsRuns says why results are not made in runs.
func fitsRuns(r *task.Region, k kernel.Runs) error {
	p := RunsElements(r)
	n, ok := p.Space.At(-1).Const()
	if !ok || n%int64(k.Size) != 0 {
		return fmt.Errorf("rows of %s do not split into runs of %d", p.Space, k.Size)
	}
	g, err := p.Grid(kernel.RunsWidth)
	if err != nil {
		return err
	}
	w := task.NewWalk(r, kernel.RunsWidth, nil)
	ix := w.Cell(p, g, "position.x", "group.y")
	for _, j := range p.Results {
		w.Reach(r.Stored(j), ix)
		w.Target(j, ix)
	}
	for j, res := range r.Graph.Results {
		if !slices.Contains(p.Results, j) {
			w.Reach(res.Value.Def.Args[0], ix)
		}
	}
	w.Width = 1
	at := slices.Clone(ix)
	at[len(at)-1], _ = w.Split(ix[len(ix)-1], sym.Const(int64(k.Size)), "run")
	for j := range r.Graph.Results {
		if !slices.Contains(p.Results, j) {
			w.Target(j, at)
		}
	}
	return w.Err
}
