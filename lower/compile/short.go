package compile

import (
	"errors"
	"fmt"
	"slices"

	"foundry/frontends/model"
	"foundry/ir"
	"foundry/ir/cost"
	"foundry/lower/metal"
	"foundry/lower/plan"
	"foundry/passes"
)

// shortContexts are the positions of entries decode that the compiler weighs beside the one
// for the whole context: attention is dealt out by the most keys that an entry may see, and a
// deal for many leaves most of its parts without a key where few have run.
var shortContexts = [...]int{512, 4096}

const (
	shortShare = 4    // times longer that the context is at least than that of a short entry
	shortGain  = 0.01 // share of a step's modelled time that a short entry must save
)

// checkShort is an error where entries for short contexts are asked for that there cannot be.
func (o Options) checkShort(m *model.Model) error {
	switch {
	case len(o.Short) == 0:
		return nil
	case m.Graph != nil:
		return fmt.Errorf("%s is one graph, which has no entry decode: leave out those for short contexts", m.Name)
	case o.Fuel != nil:
		return errors.New("fuel and decode entries for short contexts are both given; take one")
	}
	for i, n := range o.Short {
		if n < 2 || n >= o.Context {
			return fmt.Errorf("%s: a decode entry for %d positions, want 2 to %d in a context of %d", m.Name, n, o.Context-1, o.Context)
		}
		if slices.Contains(o.Short[:i], n) {
			return fmt.Errorf("%s: two decode entries for %d positions", m.Name, n)
		}
	}
	return nil
}

// short returns the entries of role decode for short contexts, those asked for or, where
// nobody asked, those that save enough of the step of the next longer one, by the cost model.
func (g *Graphs) short() ([]metal.Entry, error) {
	o := g.Options
	if g.decode == nil {
		return nil, nil
	}
	asked := o.Short != nil
	want := slices.Sorted(slices.Values(o.Short))
	if !asked {
		want = slices.DeleteFunc(slices.Clone(shortContexts[:]), func(n int) bool { return o.Context < shortShare*n })
	}
	longer, err := g.Entry(string(plan.Decode))
	if err != nil {
		return nil, err
	}
	pipeline, err := o.PipelineOf(string(plan.Decode))
	if err != nil {
		return nil, err
	}
	var out []metal.Entry
	g.shorter = nil
	for _, n := range slices.Backward(want) {
		if !asked && !g.inParts(longer) {
			break // few keys are dealt out as many are
		}
		e := g.decode.Within(int64(n))
		e.Name = fmt.Sprintf("%s_%d", plan.Decode, n)
		var log passes.Log
		cx := passes.Context{Target: g.Target, Choices: g.Choices, Lowerable: g.Choices.Lowerable}
		if pipeline.Pins() {
			cx.Log = &log // for the pins: its decisions are decode's
		}
		if err := pipeline.Run(e, &cx); err != nil {
			return nil, fmt.Errorf("%s: %w", e.Name, err)
		}
		if !asked {
			at := cost.Typical(e.Bounds)
			us := func(e *ir.Graph) float64 { return cost.Predict(e, g.Choices, g.Target, at, 1) }
			if us(e) > (1-shortGain)*us(longer) {
				continue
			}
		}
		for _, p := range g.pinned(&log) {
			g.notePin(e.Name, p)
		}
		g.shorter = append(g.shorter, e)
		out, longer = append(out, metal.Entry{Name: e.Name, Role: plan.Decode, Graph: e}), e
	}
	return out, nil
}

// inParts reports whether a node of e deals out the keys of a row's attention to several
// threadgroups.
func (g *Graphs) inParts(e *ir.Graph) bool {
	costs := g.Choices.Finished(e, cost.Typical(e.Bounds))
	return slices.ContainsFunc(e.Nodes(), func(n *ir.Node) bool {
		return n.Region != nil && slices.ContainsFunc(n.Region.Nodes(), func(m *ir.Node) bool { return m.Op == ir.OpSoftmax }) && len(costs.Kernels(n)) > 1
	})
}
