package compile

import (
	"errors"
	"fmt"
	"slices"

	"foundry/frontends/decoder"
	"foundry/frontends/model"
	"foundry/ir"
	"foundry/ir/cost"
	"foundry/ir/dtype"
	"foundry/ir/target"
	"foundry/lower/metal"
	"foundry/lower/plan"
	"foundry/passes"

	"golang.org/x/sync/errgroup"
)

// Graphs are a model's graphs after passes: what fused kernels are made of, and
// what the reference runs.
type Graphs struct {
	Model     *model.Model
	Options   Options // the options with every choice made; Passes, and PrefillPasses where it is another, are the pipelines that ran
	Target    *target.Target
	Entries   []*ir.Graph     // "prefill" with T = 1..Chunk and "decode" with T = 1, or a .fir file's graph
	Decisions []plan.Decision // one a site where a pattern matched or nearly did
	Rewrites  int             // the number of rewrites that passes applied, where Options.Fuel bounds them
	// LastRewrite is the last of them: pass and node.
	LastRewrite string
	Notes       []string      // notes for the user, a line each
	Choices     *cost.Choices // choices of kernels for the target that were made so far
	shorter     []*ir.Graph   // entries decode for short contexts, once they were lowered
	decode      *ir.Graph     // decode as the frontend makes it, of which entries for short contexts are made; nil for none
}

// Fuse builds the model's graphs and runs the passes over them. No weight is
// read. Where a pass fails, the graphs as far as they came are returned beside the
// error: their decisions say what was refused on the way.
func Fuse(m *model.Model, o Options) (*Graphs, error) {
	if o.Passes == SearchPasses || o.PrefillPasses == SearchPasses {
		return nil, errors.New("passes \"search\" is no pipeline yet: --passes search makes compile, dot, bench and what runs a model look for one for each phase")
	}
	g, err := Build(m, o)
	if err != nil {
		return nil, err
	}
	if err := g.runPasses(); err != nil {
		return g, fmt.Errorf("%s: %w", m.Name, err)
	}
	return g, nil
}

// Build makes the model's graphs as its frontend emits them: no pass has run. No
// weight is read.
func Build(m *model.Model, o Options) (*Graphs, error) {
	asked := o.Weights
	o, t, err := o.Resolve(m)
	if err != nil {
		return nil, err
	}
	g := &Graphs{Model: m, Options: o, Target: t, Choices: metal.NewChoices(t)}
	if err := g.build(asked); err != nil {
		return nil, fmt.Errorf("%s: %w", m.Name, err)
	}
	return g, nil
}

// Entry returns the graph of that name.
func (g *Graphs) Entry(name string) (*ir.Graph, error) {
	var names []string
	for _, e := range slices.Concat(g.Entries, g.shorter) {
		if e.Name == name {
			return e, nil
		}
		names = append(names, e.Name)
	}
	return nil, fmt.Errorf("%s has no entry %q, it has %v", g.Model.Name, name, names)
}

// EntryOf names the entry that a run of t tokens takes.
func EntryOf(t int) string {
	if t == 1 {
		return "decode"
	}
	return "prefill"
}

// build makes the graphs as the frontend emits them, with matrices of the dtype
// that was asked for.
func (g *Graphs) build(asked dtype.Type) error {
	if g.Model.Graph != nil {
		g.Entries = []*ir.Graph{g.Model.Graph.Clone()}
		return nil
	}
	o := g.Options
	types, _, note := g.Model.MatrixTypes(asked, o.Floats)
	if note != "" {
		g.Notes = append(g.Notes, note)
	}
	prefill, err := decoder.Build(g.Model.Config, decoder.BuildOptions{
		Context: o.Context, Chunk: o.Chunk, Weights: o.Weights, Cache: o.Cache, AllLogits: o.AllLogits,
		WeightType: func(name string) dtype.Type { return types[name] },
	})
	if err != nil {
		return err
	}
	decode, err := prefill.Specialise(1)
	if err != nil {
		return err
	}
	decode.Name = "decode"
	g.Entries = []*ir.Graph{prefill, decode}
	// Fuel counts the rewrites of what is looked at; a forced backend leaves nothing to weigh.
	if len(o.Short) > 0 || o.Short == nil && o.Fuel == nil && o.Attention == "auto" && o.Context >= shortShare*shortContexts[0] {
		g.decode = decode.Clone()
	}
	return nil
}

// pipelines returns the passes of each entry and notes them in the options.
func (g *Graphs) pipelines() ([]passes.Pipeline, error) {
	out := make([]passes.Pipeline, len(g.Entries))
	for i, e := range g.Entries {
		var err error
		if out[i], err = g.Options.PipelineOf(e.Name); err != nil {
			return nil, err
		}
	}
	first, last := out[0].String(), out[len(out)-1].String()
	g.Options.Passes, g.Options.PrefillPasses = last, ""
	if first != last {
		g.Options.PrefillPasses = first
	}
	return out, nil
}

// runPasses runs the entries' pipelines. Each has its own goroutine, unless
// somebody watches or fuel is to be spent: then decode comes first.
func (g *Graphs) runPasses() error {
	pipelines, err := g.pipelines()
	if err != nil {
		return err
	}
	cx := passes.Context{Target: g.Target, Choices: g.Choices, Lowerable: g.Choices.Lowerable}
	if g.Options.Fuel != nil {
		cx.Fuel = &passes.Fuel{Left: *g.Options.Fuel}
	}
	if see := g.Options.AfterPass; see != nil {
		cx.After = func(pass string, e *ir.Graph) error {
			see(pass, e)
			return nil
		}
	}
	logs := make([]passes.Log, len(g.Entries))
	var group errgroup.Group
	if cx.Fuel != nil || cx.After != nil {
		group.SetLimit(1)
	}
	for i := range slices.Backward(g.Entries) {
		group.Go(func() error {
			own := cx
			own.Log = &logs[i]
			if own.After != nil {
				_ = own.After("input", g.Entries[i]) // never fails
			}
			if err := pipelines[i].Run(g.Entries[i], &own); err != nil {
				return fmt.Errorf("%s: %w", g.Entries[i].Name, err)
			}
			return nil
		})
	}
	failed := group.Wait()
	count := 0
	for i := range logs {
		count += len(logs[i].Decisions)
	}
	g.Decisions = slices.Grow(g.Decisions, count)
	for i := range slices.Backward(logs) {
		for _, d := range logs[i].Decisions {
			d.Entry = g.Entries[i].Name
			g.Decisions = append(g.Decisions, d)
		}
	}
	if failed != nil {
		return failed
	}
	if cx.Fuel != nil {
		g.Rewrites, g.LastRewrite = cx.Fuel.Used, cx.Fuel.Last
	}
	if err := g.checkForced(); err != nil {
		return err
	}
	return g.checkPins(logs)
}
