package compile

import (
	"fmt"

	"foundry/frontends/decoder"
	"foundry/frontends/model"
	"foundry/lower/metal"
	"foundry/lower/plan"
	"foundry/shaders"
)

// Compiled is a model's plan, and the graphs that it was lowered from.
type Compiled struct {
	*Graphs
	Plan *plan.Plan // verified; Save writes it as a bundle
}

// Model turns a model into a plan: the frontend's graphs, passes, kernels,
// memory, schedule. No weight is read, so synthetic models of any size compile in
// milliseconds.
func Model(m *model.Model, o Options) (*Compiled, error) {
	g, err := Fuse(m, o)
	if err != nil {
		return nil, err
	}
	return g.Lower()
}

// Lower turns the graphs into a plan.
func (g *Graphs) Lower() (*Compiled, error) {
	o := g.Options
	var entries []metal.Entry
	for _, e := range g.Entries {
		in := metal.Entry{Name: e.Name, Graph: e}
		if g.Model.Graph == nil {
			in.Role = plan.EntryRole(e.Name)
		}
		entries = append(entries, in)
	}
	short, err := g.short()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", g.Model.Name, err)
	}
	entries = append(entries, short...)
	if o.Sampler && g.Model.Graph == nil && !o.AllLogits {
		sampler, err := decoder.Sampler(g.Model.Config, o.Context)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", g.Model.Name, err)
		}
		entries = append(entries, metal.Entry{Name: sampler.Name, Role: plan.Sample, Graph: sampler})
	}
	tokens, notes, err := g.Model.Tokens()
	if err != nil {
		return nil, err
	}
	g.Notes = append(g.Notes, notes...)
	p, err := g.lower(entries, tokens)
	if err != nil {
		return nil, err
	}
	return &Compiled{Graphs: g, Plan: p}, nil
}

// LowerEntries turns any entries into a verified plan with the graphs' options.
func (g *Graphs) LowerEntries(entries []metal.Entry) (*plan.Plan, error) {
	return g.lower(entries, nil)
}

func (g *Graphs) lower(entries []metal.Entry, tokens *plan.Tokens) (*plan.Plan, error) {
	o := g.Options
	meta := plan.Options{
		Target: o.Target, Variant: o.Variant, Passes: o.Passes, PrefillPasses: o.PrefillPasses, Weights: o.Weights, Cache: o.Cache,
		Attention: o.Attention, AttentionChosen: o.AttentionChosen, AllLogits: o.AllLogits,
	}
	stages := o.Shaders
	if stages != nil {
		meta.ShadersFrom = "outside"
		stages = shaders.Overlay(stages)
	}
	p, err := metal.Compile(entries, metal.Options{
		Target: g.Target, Choices: g.Choices, Compiler: Version, Model: g.planModel(entries), Tokens: tokens, Meta: meta,
		Shaders: stages, CommandBuffers: o.CommandBuffers, Chain: o.Chain, Decisions: g.Decisions,
		Stored: g.Model.Stored,
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", g.Model.Name, err)
	}
	if err := p.Check(); err != nil {
		return nil, fmt.Errorf("%s: the compiler made a plan that is not valid: %w", g.Model.Name, err)
	}
	return p, nil
}

// planModel is what a plan of these entries records of its model.
func (g *Graphs) planModel(entries []metal.Entry) plan.Model {
	c := g.Model.Config
	m := plan.Model{Name: g.Model.BaseName(), Layers: c.Layers, Hidden: c.Hidden, Vocab: c.Vocab, Context: g.Options.Context, Chunk: g.Options.Chunk}
	if graph := g.Model.Graph; graph != nil {
		m.Context, m.Chunk = int(graph.Bounds.SMax), int(graph.Bounds.TMax)
		m.Layers = graph.Layers()
	}
	most := 1 // tokens of an entry: decode alone has no chunk of prefill
	for _, e := range entries {
		most = max(most, int(e.Graph.Bounds.TMax))
	}
	m.Chunk = min(m.Chunk, most)
	return m
}
