package plan

import (
	"fmt"
	"regexp"
	"strings"

	"foundry/ir/names"
	"foundry/ir/sym"
)

// Difference is what two plans have not in common.
type Difference struct {
	A, B    string // the plans' names
	Numbers []DiffNumber
	// What only one of the plans has.
	OnlyA, OnlyB DiffSide
}

// DiffSide is what one plan has and the other lacks; what differs in its layer only
// is counted together.
type DiffSide struct {
	Dispatches []DiffDispatch
	Decisions  []Group
}

// DiffDispatch are dispatches of the same operations in the same place of their layers.
type DiffDispatch struct {
	Entry string
	Label string // the label in the first plan
	Ops   string // "rms_norm, 3 matmul_nt"
	Count int
}

// DiffNumber is one count of both plans.
type DiffNumber struct {
	Entry string // empty: of the whole plan
	What  string
	A, B  int64
}

// Diff compares two plans: dispatches, waves, bytes and decisions.
func Diff(nameA string, a *Plan, nameB string, b *Plan) (*Difference, error) {
	d := &Difference{A: nameA, B: nameB}
	whole := func(what string, f func(p *Plan) int64) {
		d.Numbers = append(d.Numbers, DiffNumber{What: what, A: f(a), B: f(b)})
	}
	whole("kernels", func(p *Plan) int64 { return int64(len(p.Kernels)) })
	whole("weight bytes", func(p *Plan) int64 { return p.ClassBytes(Weight) })
	whole("state bytes", func(p *Plan) int64 { return p.ClassBytes(State) })
	whole("arena bytes", func(p *Plan) int64 { return p.ArenaBytes })
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
	d.OnlyA = DiffSide{dispatchesWithout(a, b), groupByEntry(onlyInFirst(a.Decisions, b.Decisions))}
	d.OnlyB = DiffSide{dispatchesWithout(b, a), groupByEntry(onlyInFirst(b.Decisions, a.Decisions))}
	return d, nil
}

// dispatchesWithout returns the dispatches of a that b lacks.
func dispatchesWithout(a, b *Plan) []DiffDispatch {
	type key struct{ entry, label, ops string }
	each := func(p *Plan, see func(k key)) {
		for _, e := range p.Entries {
			for _, s := range e.Steps {
				if d := s.Dispatch; d != nil {
					see(key{e.Name, d.Label, opsText(d.Nodes)})
				}
			}
		}
	}
	have := map[key]int{}
	each(b, func(k key) { have[k]++ })
	at := map[key]int{} // by the label behind the layer
	var out []DiffDispatch
	each(a, func(k key) {
		if have[k] > 0 {
			have[k]--
			return
		}
		first := DiffDispatch{Entry: k.entry, Label: k.label, Ops: k.ops}
		k.label = names.InLayer(k.label)
		i, met := at[k]
		if !met {
			i = len(out)
			at[k], out = i, append(out, first)
		}
		out[i].Count++
	})
	return out
}

// opsText counts the operations of a dispatch: "rms_norm, 3 matmul_nt".
func opsText(nodes []Node) string {
	var ops []string
	counts := map[string]int{}
	for _, n := range nodes {
		if counts[n.Op] == 0 {
			ops = append(ops, n.Op)
		}
		counts[n.Op]++
	}
	for i, op := range ops {
		if counts[op] > 1 {
			ops[i] = fmt.Sprintf("%d %s", counts[op], op)
		}
	}
	return strings.Join(ops, ", ")
}

// figures are the numbers in a reason, with what they count; KiB and MiB stand in bundles
// of earlier compilers.
var figures = regexp.MustCompile(`\b[0-9]+(\.[0-9]+)?( ([kMGT]?B|KiB|MiB|[mu]?s|dispatch(es)?|waves?|nodes))?\b`)

// onlyInFirst returns the decisions of a that b lacks. Passes and figures of the same
// decision may differ; pattern, node, outcome and the rest of the reason say which it is.
func onlyInFirst(a, b []Decision) []Decision {
	type key struct{ entry, pattern, node, outcome, reason string }
	of := func(d Decision) key {
		return key{d.Entry, d.Pattern, d.Node, d.Outcome, figures.ReplaceAllString(d.Reason, "")}
	}
	have := make(map[key]bool, len(b))
	for _, d := range b {
		have[of(d)] = true
	}
	var out []Decision
	for _, d := range a {
		if !have[of(d)] {
			out = append(out, d)
		}
	}
	return out
}

// groupByEntry groups the decisions of each entry on their own.
func groupByEntry(ds []Decision) []Group {
	var out []Group
	for len(ds) > 0 {
		n := 0
		for n < len(ds) && ds[n].Entry == ds[0].Entry {
			n++
		}
		out = append(out, Groups(ds[:n])...)
		ds = ds[n:]
	}
	return out
}
