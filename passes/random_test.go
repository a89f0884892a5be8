package passes_test

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir"
	"foundry/ir/cost"
	"foundry/ir/interp"
	"foundry/ir/irgen"
	"foundry/ir/seeded"
	"foundry/ir/sym"
	"foundry/ir/target"
	"foundry/lower/plan"
	"foundry/passes"
)

// graphs is how many random graphs the tests take; FOUNDRY_COMPLETE=1 asks for all.
func graphs(quick, all int) uint64 {
	if full {
		return uint64(all)
	}
	return uint64(quick)
}

// values runs g on the seeded inputs of origin, the graph that g was made from,
// and returns its results and the caches after.
func values(t *testing.T, g, origin *ir.Graph, seed uint64, e sym.Env) map[string]interp.Tensor {
	t.Helper()
	p, err := interp.New(g, seeded.Weights(origin, seed), interp.Float64)
	require.NoError(t, err)
	state := p.NewState()
	require.NoError(t, seeded.FillState(state, seed))
	out, err := p.Run(context.Background(), interp.Run{Inputs: seeded.Inputs(origin, e, seed), Env: e, State: state})
	require.NoError(t, err)
	for _, name := range state.Names() {
		out["state "+name], err = state.Tensor(name)
		require.NoError(t, err)
	}
	return out
}

func requireSame(t *testing.T, want, have map[string]interp.Tensor, what string) {
	t.Helper()
	require.Len(t, have, len(want), what)
	for name, w := range want {
		h := have[name]
		if w.I32 != nil {
			require.Equal(t, w.I32, h.I32, "%s: %s", what, name)
			continue
		}
		// A norm in two steps adds the same squares in another order.
		d := interp.Compare(h.Float64s(), w.Float64s())
		require.LessOrEqual(t, d.NMSE, 1e-26, "%s: %s: %v", what, name, d)
	}
}

// pipelines are what the properties are tested with: every pass alone behind
// what must stand before it, and the variants that people use.
func pipelines(t *testing.T) []string {
	t.Helper()
	var out []string
	for _, p := range passes.BuiltIn().Passes() {
		switch p.Name {
		case "split-norm":
			out = append(out, "canonicalize,split-norm,fuse-residual,fuse-embedding-norm,fuse-gate-up-swiglu,legalize")
		case "join-norm":
			out = append(out, "canonicalize,split-norm,join-norm,fuse-residual,fuse-embedding-norm,legalize",
				"canonicalize,split-norm,fuse-residual,fuse-gate-up-swiglu,fuse-embedding-norm,join-norm,legalize")
		default:
			out = append(out, p.Name)
		}
	}
	for _, v := range []string{"unfused", "per-layer-6", "default", "fewest", "no-qkv-rope-kv", "swiglu"} {
		p, err := passes.Variant(v)
		require.NoError(t, err)
		out = append(out, p.String())
	}
	return append(out, "fuse-swiglu,fuse-gate-up{norm=true},fuse-swiglu-down{residual=false},fuse-residual-norm,fuse-rope-attention,fuse-elementwise,legalize")
}

func parse(t testing.TB, text string) passes.Pipeline {
	t.Helper()
	p, err := passes.Parse(text)
	require.NoError(t, err)
	return p
}

// chooses is a context with choices for the default target, where all values have bounds.
func chooses(t *testing.T) *passes.Context {
	t.Helper()
	x, err := target.Find(target.Default)
	require.NoError(t, err)
	return &passes.Context{Target: x, Choices: cost.NewChoices(x, nil)}
}

// Any pipeline keeps what a graph computes, and a pass run again changes nothing.
func TestPipelinesKeepResults(t *testing.T) {
	lines, cx := pipelines(t), chooses(t)
	for seed := range graphs(60, 500) {
		g := irgen.Graph(seed)
		e := irgen.Env(g, seed)
		want := values(t, g, g, seed, e)
		for i, text := range lines {
			if (seed+uint64(i))%3 != 0 && !full {
				continue
			}
			p := parse(t, text)
			c := g.Clone()
			require.NoError(t, p.Run(c, cx), "seed %d: %s", seed, text)
			requireSame(t, want, values(t, c, g, seed, e), fmt.Sprintf("seed %d: %s", seed, text))

			if len(p) > 1 {
				continue
			}
			again := c.Clone()
			require.NoError(t, p.Run(again, cx), "seed %d: %s again", seed, text)
			require.Equal(t, c.Canonical(), again.Canonical(), "seed %d: %s twice", seed, text)
		}
	}
}

// Fusions and their inlining come back to the graph they started from.
func TestInlineUndoesFusions(t *testing.T) {
	for seed := range graphs(100, 500) {
		g := irgen.Graph(seed)
		require.NoError(t, parse(t, "canonicalize,cse,dce").Run(g, &passes.Context{}))
		want := g.Canonical()
		for _, p := range passes.BuiltIn().Passes() {
			if len(p.Name) > 5 && p.Name[:5] == "fuse-" {
				require.NoError(t, parse(t, p.Name).Run(g, &passes.Context{}), p.Name)
			}
		}
		g.InlineAll()
		require.NoError(t, ir.Verify(g))
		require.Equal(t, want, g.Canonical(), "seed %d", seed)
	}
}

// A pattern finds its site whatever the order of independent operations.
func TestOrderDoesNotMatter(t *testing.T) {
	for seed := range graphs(100, 500) {
		g := irgen.Graph(seed)
		require.NoError(t, parse(t, "canonicalize,cse,dce").Run(g, &passes.Context{}))
		header, _, _ := strings.Cut(g.String(), "\n")
		shuffled, err := ir.Parse("shuffled", header+"\n"+g.Canonical()+"}\n")
		if err != nil {
			require.ErrorContains(t, err, "overwritten") // the order of cache writes matters
			continue
		}
		for _, p := range passes.BuiltIn().Passes() {
			if len(p.Name) < 5 || p.Name[:5] != "fuse-" {
				continue
			}
			counts := [2]int{}
			for i, c := range []*ir.Graph{g.Clone(), shuffled.Clone()} {
				var log passes.Log
				require.NoError(t, parse(t, p.Name).Run(c, &passes.Context{Log: &log}))
				for _, d := range log.Decisions {
					if d.Outcome == plan.Matched {
						counts[i]++
					}
				}
			}
			require.Equal(t, counts[0], counts[1], "seed %d: %s", seed, p.Name)
		}
	}
}

// In 500 random graphs every pattern matches and nearly matches often enough for
// the properties above to mean something. One of operations that no model has is met as
// chance would have it; its text has both.
func TestPatternsMeetRandomGraphs(t *testing.T) {
	const least = 20
	exempt := map[string]string{
		"canonicalize":   "has no sites: it edits wherever it can",
		"cse":            "has no sites: it edits wherever it can",
		"dce":            "has no sites: it edits wherever it can",
		"legalize":       "undoes what other passes have left, and here none has run",
		"choose-kernels": "refuses only what a graph's text pins, and random graphs pin nothing",
	}
	// What undoes another pass stands behind it, and before those that have a say in whether it should.
	among := map[string]string{"join-norm": "split-norm,join-norm,fuse-residual,fuse-gate-up-swiglu,fuse-head"}
	model := opsOfLayers()
	matched, refused := map[string]int{}, map[string]int{}
	for seed := range uint64(500) {
		g := irgen.Graph(seed)
		require.NoError(t, parse(t, "canonicalize,cse,dce").Run(g, &passes.Context{}))
		for _, p := range passes.BuiltIn().Passes() {
			if exempt[p.Name] != "" {
				continue
			}
			var log passes.Log
			require.NoError(t, parse(t, cmp.Or(among[p.Name], p.Name)).Run(g.Clone(), &passes.Context{Log: &log}))
			for _, d := range log.Decisions {
				switch {
				case d.Pass != p.Name:
				case d.Outcome == plan.Matched:
					matched[p.Name]++
				case d.Node != "graph "+g.Name:
					refused[p.Name]++
				}
			}
		}
	}
	for _, p := range passes.BuiltIn().Passes() {
		if why := exempt[p.Name]; why != "" {
			t.Logf("%-24s %s", p.Name, why)
			continue
		}
		t.Logf("%-24s %5d matched %5d nearly", p.Name, matched[p.Name], refused[p.Name])
		if slices.ContainsFunc(passes.OpsOf(p.Name), func(o ir.Op) bool { return !model[o] }) {
			continue
		}
		require.GreaterOrEqual(t, matched[p.Name], least, "%s matched", p.Name)
		require.GreaterOrEqual(t, refused[p.Name], least, "%s nearly matched", p.Name)
	}
}

// The cost model may be asked about any graph.
func TestCostOfRandomGraphs(t *testing.T) {
	for seed := range graphs(200, 500) {
		g := irgen.Graph(seed)
		for _, text := range []string{"canonicalize", "fuse-elementwise"} {
			require.NoError(t, parse(t, text).Run(g, &passes.Context{}))
			for _, n := range g.Nodes() {
				require.GreaterOrEqual(t, cost.Moved(n).Eval(sym.Env{T: 3, P: 5}), int64(0))
				require.GreaterOrEqual(t, cost.Flops(n).Eval(sym.Env{T: 3, P: 5}), int64(0))
			}
		}
	}
}
