package task

import (
	"fmt"
	"slices"

	"foundry/ir/kernel"
	"foundry/ir/sym"
)

// FitsRuns says why results are not made in runs.
func (r *Region) FitsRuns(k kernel.Runs) error {
	p := RunsElements(r)
	n, ok := p.Space.At(-1).Const()
	if !ok || n%int64(k.Size) != 0 {
		return fmt.Errorf("rows of %s do not split into runs of %d", p.Space, k.Size)
	}
	g, err := p.Grid(kernel.RunsWidth)
	if err != nil {
		return err
	}
	w := NewWalk(r, kernel.RunsWidth, nil)
	ix := w.Cell(p, g)
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
