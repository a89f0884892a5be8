package foundry

import (
	"fmt"

	"foundry/ir/sym"
	"foundry/lower/plan"
	"foundry/passes"
)

// Difference is what two plans have not in common.
type Difference struct {
	A, B    string // the plans' names
	Numbers []DiffNumber
	// Decisions that only one of the plans has, sites that differ in their layer
	// only counted together.
	OnlyA, OnlyB []passes.Group
}

// DiffNumber is one count of both plans.
type DiffNumber struct {
	Entry string // empty: of the whole plan
	What  string
	A, B  int64
}

// Diff compares two plans: dispatches, waves, bytes and decisions.
func Diff(nameA string, a *plan.Plan, nameB string, b *plan.Plan) (*Difference, error) {
	d := &Difference{A: nameA, B: nameB}
	whole := func(what string, f func(p *plan.Plan) int64) {
		d.Numbers = append(d.Numbers, DiffNumber{What: what, A: f(a), B: f(b)})
	}
	whole("kernels", func(p *plan.Plan) int64 { return int64(len(p.Kernels)) })
	whole("weight bytes", func(p *plan.Plan) int64 { return p.ClassBytes(plan.Weight) })
	whole("state bytes", func(p *plan.Plan) int64 { return p.ClassBytes(plan.State) })
	whole("arena bytes", func(p *plan.Plan) int64 { return p.ArenaBytes })
	for i := range a.Entries {
		ea := &a.Entries[i]
		eb, err := b.Entry(ea.Name)
		if err != nil {
			return nil, fmt.Errorf("%s and %s cannot be compared: %w", nameA, nameB, err)
		}
		// Both at the same T and P, as large as both allow.
		env := sym.Env{T: min(ea.TMax, eb.TMax)}
		if env.T == 1 {
			env.P = int64(min(a.Model.Context, b.Model.Context) / 2)
		}
		sa, sb := a.Stats(ea, env), b.Stats(eb, env)
		for _, n := range []struct {
			what string
			a, b int64
		}{
			{"dispatches", int64(sa.Dispatches), int64(sb.Dispatches)}, {"waves", int64(sa.Waves), int64(sb.Waves)},
			{"barriers", int64(sa.Barriers), int64(sb.Barriers)}, {"command buffers", int64(sa.CommandBuffers), int64(sb.CommandBuffers)},
			{"bytes moved", sa.MovedBytes, sb.MovedBytes}, {"flops", sa.Flops, sb.Flops},
		} {
			d.Numbers = append(d.Numbers, DiffNumber{ea.Name, n.what, n.a, n.b})
		}
	}
	d.OnlyA = grouped(without(a.Decisions, b.Decisions))
	d.OnlyB = grouped(without(b.Decisions, a.Decisions))
	return d, nil
}

// without returns the decisions of a that b lacks. Passes and reasons of the same
// decision may differ; pattern, node and outcome say which it is.
func without(a, b []plan.Decision) []plan.Decision {
	type key struct{ entry, pattern, node, outcome string }
	of := func(d plan.Decision) key { return key{d.Entry, d.Pattern, d.Node, d.Outcome} }
	have := make(map[key]bool, len(b))
	for _, d := range b {
		have[of(d)] = true
	}
	var out []plan.Decision
	for _, d := range a {
		if !have[of(d)] {
			out = append(out, d)
		}
	}
	return out
}

// grouped groups the decisions of each entry on their own.
func grouped(ds []plan.Decision) []passes.Group {
	var out []passes.Group
	for len(ds) > 0 {
		n := 0
		for n < len(ds) && ds[n].Entry == ds[0].Entry {
			n++
		}
		out = append(out, passes.Groups(ds[:n])...)
		ds = ds[n:]
	}
	return out
}
