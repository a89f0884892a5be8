package search

import (
	"context"
	"slices"

	"foundry/frontends/model"
	"foundry/lower/compile"
	"foundry/runtime/bench"
	"foundry/runtime/engine"
)

// Start is engine.Start, behind a search where the passes ask for one.
func Start(ctx context.Context, m *model.Model, o engine.Options) (*engine.Engine, error) {
	s, err := engine.Prepare(ctx, m, o)
	if err != nil {
		return nil, err
	}
	if s.PlanDir == "" && s.Compile.Passes == compile.SearchPasses {
		found, err := Run(ctx, m, Options{Device: s.Device, Compile: s.Compile, CPU: s.CPU, Progress: s.Progress, Say: s.Say})
		if err != nil {
			return nil, err
		}
		found.Apply(&s.Compile)
	}
	return s.Start(ctx)
}

// Bench is bench.Run, with what is found in place of the variants that ask for a
// search.
func Bench(ctx context.Context, m *model.Model, o bench.Options) ([]bench.Row, error) {
	if err := o.Check(m); err != nil {
		return nil, err
	}
	o.Variants = slices.Clone(o.Variants)
	for i, v := range o.Variants {
		if v.Passes != compile.SearchPasses {
			continue
		}
		found, err := Run(ctx, m, Options{Device: o.Device, Compile: o.Compile, CPU: o.CPU, Phase: o.Phase, Progress: o.Progress, Say: o.Say})
		if err != nil {
			return nil, err
		}
		c := compile.Options{PrefillPasses: v.PrefillPasses}
		found.Apply(&c)
		o.Variants[i].Passes, o.Variants[i].PrefillPasses = c.Passes, c.PrefillPasses
	}
	return bench.Run(ctx, m, o)
}
