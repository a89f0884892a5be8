package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"foundry/frontends/model"
	"foundry/ir/cost"
	"foundry/lower/compile"
	"foundry/lower/plan"
	"foundry/passes"
	"foundry/runtime/engine"
)

// Fusions is what each fusion of a pipeline is worth, and what became of its sites.
type Fusions struct {
	Whole Row         `json:"pipeline"` // the plan that the savings are parts of
	Each  []FusionRow `json:"fusions"`  // fusions, what saves most first, then those that matched nowhere
}

// FusionRow is one pass of the pipeline.
type FusionRow struct {
	Pass       string         `json:"pass"`
	Sites      map[string]int `json:"sites"`   // counts of sites by outcome
	Saves      *Saving        `json:"saves"`   // the saving; null where it matched nowhere
	SavesAlone *Saving        `json:"alone"`   // the saving where no other fusion runs, but edits do; null of a pass that has no site
	Reasons    []plan.Group   `json:"reasons"` // reasons of all sites, those alike in one group
}

// PerSite is what it saves at one site: measured where it was, otherwise modelled, us.
func (r *FusionRow) PerSite(us float64) float64 { return us / float64(r.Sites[plan.Matched]) }

// OfFusions compiles a model with a pipeline, and with the same less each of its passes
// that matches somewhere, as rows: what a pass saves is the difference of two of them.
// Where a pass is missing, those that it took sites from may take them. What it saves
// alone is modelled too. o.Variants is not used; o.Reps above 0 measures the rows.
func OfFusions(ctx context.Context, m *model.Model, o Options) (*Fusions, error) {
	if o.Say == nil {
		o.Say = func(string) {}
	}
	if err := o.Check(m); err != nil {
		return nil, err
	}
	if o.PlanDir != "" {
		return nil, errors.New("what a fusion saves is found by compiling without it: a plan from disk has one pipeline")
	}
	o.Compile = engine.Defaults(o.Device, o.Compile)
	g, err := compile.Fuse(m, o.Compile)
	if err != nil {
		return nil, err
	}
	entry := o.Phase
	if m.Graph != nil {
		entry = m.Graph.Name
	}
	pipeline, err := g.Options.PipelineOf(entry)
	if err != nil {
		return nil, err
	}
	graph, err := g.Entry(entry)
	if err != nil {
		return nil, err
	}
	groups := map[string][]plan.Group{}
	for _, d := range plan.Groups(slices.DeleteFunc(slices.Clone(g.Decisions), func(d plan.Decision) bool { return d.Entry != entry })) {
		groups[d.Pass] = append(groups[d.Pass], d)
	}
	whole := Variant{Name: cmp.Or(g.Options.Variant, "passes"), Passes: pipeline.String()}
	alone := o
	alone.Reps, alone.targetOnly, o.targetOnly = 0, true, o.Reps == 0
	edits := pipelineWithout(pipeline, func(c passes.Call) bool { return strings.HasPrefix(c.Pass.Name, "fuse-") })
	o.Variants, alone.Variants = []Variant{whole}, []Variant{{Name: "edits", Passes: edits.String()}}
	f := &Fusions{}
	for _, c := range pipeline {
		row := FusionRow{Pass: c.String(), Sites: map[string]int{}, Reasons: groups[c.String()]}
		if row.Reasons == nil {
			continue
		}
		for _, d := range row.Reasons {
			row.Sites[d.Outcome] += d.Count
		}
		f.Each = append(f.Each, row)
		this := func(d passes.Call) bool { return d.String() == row.Pass }
		if row.Sites[plan.Matched] > 0 {
			o.Variants = append(o.Variants, Variant{Name: row.Pass, Passes: pipelineWithout(pipeline, this).String(), rival: rival{whole.Name, row.Pass, true}})
		}
		own := Variant{Name: row.Pass, Passes: pipelineWithout(edits, this).String(), rival: rival{"edits", row.Pass, true}}
		if strings.HasPrefix(c.Pass.Name, "fuse-") {
			own.Passes, own.rival.lacks = pipelineWithout(pipeline, func(d passes.Call) bool { return strings.HasPrefix(d.Pass.Name, "fuse-") && !this(d) }).String(), false
		}
		if row.Sites[plan.NoSite] == 0 {
			alone.Variants = append(alone.Variants, own)
		}
	}
	rows, err := o.rows(ctx, m)
	if err != nil {
		return nil, err
	}
	f.Whole = rows[0]
	saves, err := o.savings(m, rows)
	if err != nil {
		return nil, err
	}
	if rows, err = alone.rows(ctx, m); err != nil {
		return nil, err
	}
	saveAlone, err := alone.savings(m, rows)
	if err != nil {
		return nil, err
	}
	typical := cost.Typical(graph.Bounds)
	for i := range f.Each {
		f.Each[i].Saves, f.Each[i].SavesAlone = saves[f.Each[i].Pass], saveAlone[f.Each[i].Pass]
		if s := f.Each[i].Saves; s != nil && s.costsOn() != "" && s.Why == "" {
			s.Why = fmt.Sprintf("taken for T=%d, P=%d: %s", typical.T, typical.P, f.Each[i].matched().Reason)
		}
	}
	slices.SortStableFunc(f.Each, func(a, b FusionRow) int { return cmp.Compare(f.order(&b), f.order(&a)) })
	return f, nil
}

// pipelineWithout is p less the calls that are left out.
func pipelineWithout(p passes.Pipeline, out func(passes.Call) bool) passes.Pipeline {
	return slices.DeleteFunc(slices.Clone(p), out)
}

// matched is the first group of sites that the pass took.
func (r *FusionRow) matched() plan.Group {
	return r.Reasons[slices.IndexFunc(r.Reasons, func(d plan.Group) bool { return d.Outcome == plan.Matched })]
}

// order is what rows are sorted by: what a fusion saves, with those that matched nowhere
// behind all.
func (f *Fusions) order(r *FusionRow) float64 {
	if r.Saves == nil {
		return -1e18
	}
	if r.Saves.Measured != nil {
		return r.Saves.Measured.Mid
	}
	return r.Saves.Modelled[f.Whole.Target]
}
