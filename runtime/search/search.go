// Package search finds the fastest pipeline of passes for a model: by the cost model
// over all legal sets of fusions, and by measuring the best of them where the device
// is at hand.
//
// Read next: passes/subsets.go for which sets are legal, runtime/bench for how they
// are measured.
package search

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"foundry/frontends/model"
	"foundry/ir"
	"foundry/ir/cost"
	"foundry/ir/names"
	"foundry/ir/target"
	"foundry/lower/compile"
	"foundry/passes"
	"foundry/runtime"
	"foundry/runtime/bench"
	"foundry/runtime/cpu"
	"foundry/runtime/engine"
)

// Options say for what a pipeline is sought.
type Options struct {
	Device   string          // the place where it shall run; "": on what Compile.Target is
	Compile  compile.Options // Target is what it is compiled for; of Table, passes of one's own are searched too; Passes and Variant are not used
	CPU      cpu.Options
	Phase    string // the phase whose time counts: "decode", where empty, or "prefill"; the other phase gets the best that is met on the way
	Measure  int    // most of the best candidates that are measured, beside the named variants; 0: 6
	CacheDir string // the folder of results; empty: foundry/search in the user's cache
	Progress runtime.Progress
	Say      func(line string) // a taker of lines on what was found, and how; nil: nobody
}

// Found is the result of a search.
type Found struct {
	Model      string      `json:"model"`
	Phase      string      `json:"phase"`
	Target     string      `json:"target"`                // the machine that kernels are made for
	Costs      string      `json:"costs"`                 // target whose costs ranked
	Device     string      `json:"device,omitempty"`      // the device that measured; empty: the model alone decided
	Unmeasured string      `json:"unmeasured"`            // the reason why nothing was measured
	Layers     int         `json:"layers,omitempty"`      // layers of the model that was measured
	Subsets    int         `json:"subsets"`               // legal sets of fusions that were tried
	Graphs     int         `json:"graphs"`                // distinct graphs that they give
	Winner     Candidate   `json:"winner"`                // the fastest
	OtherPhase string      `json:"other_phase,omitempty"` // the other phase; empty where there is but one
	Other      *Candidate  `json:"other,omitempty"`       // the candidate that is predicted to be the fastest there
	Candidates []Candidate `json:"candidates"`            // the best by prediction in that order, and the named variants
	Seconds    float64     `json:"seconds"`               // time that the search took
	FromCache  string      `json:"-"`                     // the file that it was read from
}

// Candidate is one pipeline of a search.
type Candidate struct {
	Name        string        `json:"name"` // its fusions, or the named variant
	Passes      string        `json:"passes"`
	PredictedUs float64       `json:"predicted_us"`       // predicted time of the whole model
	OtherUs     float64       `json:"other_us,omitempty"` // predicted time of Found.OtherPhase
	Measured    *bench.Spread `json:"measured_us"`        // measured time of Found.Layers layers; null where it was not measured
}

// What a search looks at and how long.
const (
	predicted  = 24              // are predicted on the whole model
	fewLayers  = 3               // layers of the model that is measured, where the whole is large
	smallModel = 256 << 20       // bytes of weights up to which the whole is measured
	measureFor = 3 * time.Second // runs, after compilation
	leastRuns  = 5
)

// alwaysMeasured are variants that a search always measures: it must not do worse.
var alwaysMeasured = [...]string{"default", "fewest"}

// Run finds the fastest pipeline for a model: it runs every legal subset of the
// fusions on a model of one layer, ranks the distinct results by predicted time with
// that layer repeated, predicts the best again on the whole model, measures the best
// of these on the device, where that is at hand, and keeps the result in a file. The
// other phase gets the pipeline that is predicted to be the best of those for it: what
// is fast for one token is often slow for many.
func Run(ctx context.Context, m *model.Model, o Options) (*Found, error) {
	if o.Say == nil {
		o.Say = func(string) {}
	}
	if o.Phase == "" {
		o.Phase = "decode"
	}
	if m.Graph != nil {
		o.Phase = m.Graph.Name
	}
	if o.Measure == 0 {
		o.Measure = 6
	}
	if _, err := o.Compile.Parse(o.Compile.PrefillPasses); err != nil { // which takes the place of what is found
		return nil, fmt.Errorf("prefill %w", err)
	}
	o.Compile.Passes, o.Compile.PrefillPasses, o.Compile.Variant = "", "", ""
	s := search{Options: o, m: m, start: time.Now()}
	if err := s.prepare(ctx); err != nil {
		return nil, err
	}
	defer func() { s.closeDevice() }()
	file := s.file()
	if found := file.read(s.Say); found != nil {
		s.Say(found.String())
		return found, nil
	}
	if err := s.rank(); err != nil {
		return nil, err
	}
	if err := s.rankOther(); err != nil {
		return nil, err
	}
	if s.dev != nil {
		if err := s.measure(ctx); err != nil {
			return nil, err
		}
	}
	s.choose()
	s.found.Seconds = time.Since(s.start).Seconds()
	s.Say(s.found.String())
	file.write(&s.found, s.Say)
	return &s.found, nil
}

// search is a Run under way.
type search struct {
	Options
	m      *model.Model
	start  time.Time
	graphs *compile.Graphs // graphs of the whole model, as the frontend makes them
	costs  *target.Target  // the costs that rank
	dev    runtime.Device  // nil where the device is not at hand
	found  Found
}

// table is that of the passes of which sets are made.
func (s *search) table() *passes.Table {
	if s.Compile.Table != nil {
		return s.Compile.Table
	}
	return passes.BuiltIn()
}

// prepare resolves the options and looks for the device.
func (s *search) prepare(ctx context.Context) error {
	asked := s.Compile.Target
	s.Compile = engine.Defaults(s.Device, s.Compile)
	var err error
	if s.graphs, err = compile.Build(s.m, s.Compile); err != nil {
		return err
	}
	s.costs = s.graphs.Target
	s.found = Found{Model: s.m.BaseName(), Phase: s.Phase, Target: s.graphs.Target.Name}
	s.found.Unmeasured = s.findDevice(ctx, asked)
	s.found.Costs = s.costs.Name
	return nil
}

// findDevice opens the device that the plan is for, or says why it cannot measure.
// A target that was asked for must be the device's own; the default one is what cpu
// runs too.
func (s *search) findDevice(ctx context.Context, asked string) string {
	name := s.Device
	switch {
	case s.m.Graph != nil:
		return "a graph of a file is ranked by the model"
	case name == engine.Ref:
		return "ref interprets graphs and dispatches nothing"
	case name == "":
		name = map[string]string{"apple": engine.Metal, "nvidia": engine.CUDA, "cpu": engine.CPU}[s.graphs.Target.Family]
		asked = s.graphs.Target.Name
	}
	dev, err := engine.OpenDevice(ctx, name, s.CPU)
	if err != nil {
		return "the device is not at hand: " + err.Error()
	}
	info := dev.Info()
	if asked != "" && info.Target != asked {
		_ = dev.Close()
		return fmt.Sprintf("the device at hand is %s, not %s", cmp.Or(info.Target, info.Name), asked)
	}
	s.dev, s.found.Device = dev, name
	if own, err := target.Find(info.Target); err == nil {
		s.costs = own
	}
	return ""
}

func (s *search) closeDevice() {
	if s.dev != nil {
		_ = s.dev.Close()
	}
}

// context is what pipelines run with over graphs of a model.
func (s *search) context(g *compile.Graphs) *passes.Context {
	return &passes.Context{Target: g.Target, Choices: g.Choices, Lowerable: g.Choices.Lowerable}
}

// predict runs pipelines over a phase's graph of a model and returns what us says of
// the distinct results.
func (s *search) predict(g *compile.Graphs, phase string, subsets []passes.Subset, us func(*ir.Graph) float64) ([]passes.Outcome[float64], error) {
	graph, err := g.Entry(phase)
	if err != nil {
		return nil, err
	}
	out, err := passes.Enumerate(graph, s.context(g), subsets, us)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.m.Name, err)
	}
	return out, nil
}

// pipelines gives each subset the attention backend that is asked for.
func (s *search) pipelines(subsets []passes.Subset) error {
	for i := range subsets {
		c := s.graphs.Options
		c.Variant, c.Passes = "", subsets[i].Pipeline.String()
		p, err := c.Pipeline()
		if err != nil {
			return err
		}
		subsets[i].Pipeline = p
	}
	return nil
}

// rank fills in the candidates.
func (s *search) rank() error {
	one, err := compile.Build(s.m.WithLayers(1), s.Compile)
	if err != nil {
		return err
	}
	graph, err := one.Entry(s.Phase)
	if err != nil {
		return err
	}
	subsets, err := s.table().Subsets(s.context(one), graph)
	if err == nil {
		err = s.pipelines(subsets)
	}
	if err != nil {
		return err
	}
	layers := max(1, s.m.Config.Layers)
	outcomes, err := s.predict(one, s.Phase, subsets, func(g *ir.Graph) float64 {
		return cost.Repeated(g, one.Choices, s.costs, cost.Typical(g.Bounds), layers)
	})
	if err != nil {
		return err
	}
	s.found.Subsets, s.found.Graphs = len(subsets), len(outcomes)
	slices.SortStableFunc(outcomes, func(a, b passes.Outcome[float64]) int { return cmp.Compare(a.Of, b.Of) })

	var best []passes.Subset
	for _, name := range alwaysMeasured {
		p, err := passes.Variant(name)
		if err != nil {
			return err
		}
		best = append(best, passes.Subset{Names: []string{name}, Pipeline: p})
	}
	if err := s.pipelines(best); err != nil {
		return err
	}
	for _, o := range outcomes[:min(predicted, len(outcomes))] {
		best = append(best, o.Subset)
	}
	whole, err := s.predict(s.graphs, s.Phase, best, s.typical)
	if err != nil {
		return err
	}
	for _, o := range whole {
		s.found.Candidates = append(s.found.Candidates, Candidate{Name: o.String(), Passes: o.Pipeline.String(), PredictedUs: o.Of})
	}
	slices.SortStableFunc(s.found.Candidates, func(a, b Candidate) int { return cmp.Compare(a.PredictedUs, b.PredictedUs) })
	return nil
}

// typical predicts the run of a graph that decisions are made for.
func (s *search) typical(g *ir.Graph) float64 {
	return cost.Predict(g, s.graphs.Choices, s.costs, cost.Typical(g.Bounds), s.Compile.CommandBuffers)
}

// rankOther predicts the other phase behind each candidate and takes the fastest.
func (s *search) rankOther() error {
	phase := map[string]string{"decode": "prefill", "prefill": "decode"}[s.Phase]
	if s.m.Graph != nil || s.graphs.Entries[0].Bounds.TMax == 1 { // token by token prefill is decode
		return nil
	}
	pipelines := make([]passes.Subset, len(s.found.Candidates))
	for i, c := range s.found.Candidates {
		p, err := s.table().Parse(c.Passes)
		if err != nil {
			return err
		}
		pipelines[i] = passes.Subset{Names: []string{c.Name}, Pipeline: p}
	}
	outcomes, err := s.predict(s.graphs, phase, pipelines, s.typical)
	if err != nil {
		return err
	}
	for _, o := range outcomes {
		for _, i := range o.Members {
			s.found.Candidates[i].OtherUs = o.Of
		}
	}
	best := slices.MinFunc(s.found.Candidates, func(a, b Candidate) int { return cmp.Compare(a.OtherUs, b.OtherUs) })
	s.found.OtherPhase, s.found.Other = phase, &best
	return nil
}

// Apply makes o compile what was found: for each phase its own pipeline, but for
// prefill what o asks for, if it does.
func (f *Found) Apply(o *compile.Options) {
	first, other := f.Winner.Passes, ""
	if f.Other != nil {
		other = f.Other.Passes
	}
	if f.Phase == "prefill" && f.Other != nil {
		first, other = other, first
	}
	o.Variant, o.Passes, o.PrefillPasses = "", first, cmp.Or(o.PrefillPasses, other)
}

// measure times the best candidates and the named ones, interleaved, on the whole
// model or, where that is large, on one of a few layers.
func (s *search) measure(ctx context.Context) error {
	m := s.m
	if types, _, _ := m.MatrixTypes(s.Compile.Weights, s.Compile.Floats); m.MatrixBytes(types) > smallModel {
		m = m.WithLayers(fewLayers)
	}
	s.found.Layers = m.Config.Layers
	graph, err := s.graphs.Entry(s.Phase)
	if err != nil {
		return err
	}
	// In the middle of what the cache can hold, as the prediction is.
	typical := cost.Typical(graph.Bounds)
	b := bench.Options{Device: s.found.Device, Compile: s.Compile, Phase: s.Phase, Prompt: int(typical.P), Progress: s.Progress, Say: s.Say}
	if s.Phase != "decode" {
		b.Prompt = int(typical.T)
	}
	var taken []int // candidates that are measured
	for i, c := range s.found.Candidates {
		if len(taken) < s.Measure || slices.Contains(alwaysMeasured[:], c.Name) {
			taken = append(taken, i)
			b.Variants = append(b.Variants, bench.Variant{Name: c.Name, Passes: c.Passes})
		}
	}
	rows, err := bench.OnDevice(ctx, m, s.dev, b, leastRuns, measureFor)
	if err != nil {
		return err
	}
	for _, r := range rows {
		for i, v := range b.Variants {
			if v.Name == r.Variant || slices.Contains(r.Also, v.Name) {
				s.found.Candidates[taken[i]].Measured = r.Measured
			}
		}
	}
	return nil
}

// choose takes the fastest: as measured, or as predicted where nothing was.
func (s *search) choose() {
	s.found.Winner = slices.MinFunc(s.found.Candidates, func(a, b Candidate) int {
		switch {
		case a.Measured != nil && b.Measured != nil:
			return cmp.Compare(a.Measured.Median, b.Measured.Median)
		case a.Measured != nil:
			return -1
		case b.Measured != nil:
			return 1
		}
		return cmp.Compare(a.PredictedUs, b.PredictedUs)
	})
}

// String is the search in one line.
func (f *Found) String() string {
	how := fmt.Sprintf("the cost model of %s alone decided (%s)", f.Costs, f.Unmeasured)
	if f.Device != "" {
		how = fmt.Sprintf("%s measured on %s", names.Micros(f.Winner.Measured.Median), f.Device)
		if f.Layers > 0 {
			how += fmt.Sprintf(" (%d layers)", f.Layers)
		}
	}
	other := ""
	switch {
	case f.Other == nil:
	case f.Other.Name == f.Winner.Name:
		other = fmt.Sprintf("; %s: the same, predicted %s", f.OtherPhase, names.Micros(f.Other.OtherUs))
	default:
		other = fmt.Sprintf("; %s: %s, predicted %s, behind the pipeline for %s %s", f.OtherPhase, f.Other.Name, names.Micros(f.Other.OtherUs), f.Phase, names.Micros(f.Winner.OtherUs))
	}
	where := fmt.Sprintf("%d legal sets of fusions, %d graphs, %s", f.Subsets, f.Graphs, names.Duration(time.Duration(f.Seconds*float64(time.Second))))
	if f.FromCache != "" {
		where = "from " + f.FromCache
	}
	return fmt.Sprintf("search: %s of %s: %s, predicted %s, %s%s; %s", f.Phase, f.Model, f.Winner.Name, names.Micros(f.Winner.PredictedUs), how, other, where)
}
