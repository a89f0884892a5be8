package verify

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"foundry/ir"
	"foundry/ir/interp"
	"foundry/passes"
)

// Pipeline is a list of passes, of any table, with a name.
type Pipeline struct {
	Name   string
	Passes passes.Pipeline
}

// RunGraph verifies one graph in place of the table: behind each pipeline, at the
// sizes of the checklist that its bounds allow and at the most tokens they allow. A
// row is a pipeline, whose uses are the kernels that it dispatches; where it fuses,
// the unfused graph runs beside it.
func RunGraph(ctx context.Context, o Options, g *ir.Graph, pipelines []Pipeline) (*Report, error) {
	r := newReport(o)
	var all []*trial
	for i, p := range pipelines {
		k := &kernelKind{name: fmt.Sprintf("@%s %s", g.Name, p.Name)}
		f := probe{bounds: g.Bounds, pipeline: p.Passes, everywhere: true}
		s, err := newTrial(fmt.Sprintf("g%d", i), k, formatsIn(g), f, g.Clone(), o.Target)
		if err != nil {
			return nil, fmt.Errorf("verify: %s: %w", p.Name, err)
		}
		if o.Device != nil {
			if err := r.dispatches(o, s, p); err != nil {
				return nil, fmt.Errorf("verify: %s: %w", p.Name, err)
			}
		}
		all = append(all, s)
	}
	if err := r.runAll(ctx, o, all); err != nil {
		return nil, fmt.Errorf("verify: %w", err)
	}
	return r, nil
}

// dispatches notes the kernels of a trial as its row's uses.
func (r *Report) dispatches(o Options, s *trial, p Pipeline) error {
	lowered, err := lower([]*ir.Graph{s.fused}, o.Target, o.Shaders)
	if err != nil {
		return err
	}
	if r.uses == nil {
		r.uses = map[string][]Use{}
	}
	for _, step := range lowered.Entries[0].Steps {
		if d := step.Dispatch; d != nil {
			r.uses[s.kernel.name] = addUse(r.uses[s.kernel.name], p.Name, lowered.Kernels[d.Kernel].Name)
		}
	}
	return nil
}

// formatsIn names the types of a graph's matrices, f32 where there are none.
func formatsIn(g *ir.Graph) string {
	var names []string
	for _, p := range g.Params {
		if p.Param.Kind == ir.Weight && p.Type.Shape.Rank > 1 && !slices.Contains(names, p.Type.DType.String()) {
			names = append(names, p.Type.DType.String())
		}
	}
	if len(names) == 0 {
		return "f32"
	}
	return strings.Join(names, " ")
}

// longGraph is how many nodes make a graph that is held to the bounds of whole
// models: errors of many nodes meet.
const longGraph = 16

// boundsOf returns the bound of each result of g, which has no regions: that of all
// that the result depends on.
func boundsOf(g *ir.Graph) map[string]interp.Bound {
	out := map[string]interp.Bound{}
	for i, r := range g.Results {
		alone := g.ForResult(i)
		b := interp.GraphBound(alone)
		if model := modelBound(b); len(alone.Nodes()) > longGraph && b.NMSE > 0 && model > b.NMSE {
			b.NMSE, b.Why = model, "errors of many nodes meet, as in a whole model"
		}
		out[r.Name] = b
	}
	return out
}

// modelBound is the bound of whole models of the width that b is for.
func modelBound(b interp.Bound) float64 {
	if b.NMSE >= 1e-6 {
		return interp.ModelF16
	}
	return interp.ModelF32
}
