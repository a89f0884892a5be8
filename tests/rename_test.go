package tests

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry"
	"foundry/ir/cost"
	"foundry/lower/metal"
	"foundry/lower/plan"
)

// A pattern is a name: with others, every node gets the same kernel, text for text, over
// the same grid, and the cost model predicts the same.
func TestPatternsAreNames(t *testing.T) {
	for _, model := range []string{"kjv-2m", "synth:qwen2.5-0.5b", "synth:qwen2.5-7b", "synth:qwen3-4b"} {
		m, err := foundry.Open(model, foundry.Hub{})
		require.NoError(t, err)
		m.Config.Layers = 2 // as good as many
		for _, o := range []foundry.CompileOptions{{Target: "apple-m3-pro"}, {Target: "h100"}, {Target: "h100", Variant: "fewest"},
			{Target: "apple-m3-pro", Passes: "canonicalize,cse,dce,drop-repeat-kv,fuse-attention-split-o,fuse-elementwise,legalize"}} {
			g, err := foundry.Fuse(m, o)
			require.NoError(t, err)
			named, us := lowered(t, g)
			for _, e := range g.Entries {
				for i, n := range e.Nodes() {
					if n.Region != nil {
						n.Attr.Pattern = fmt.Sprintf("p%d", i%7)
					}
				}
			}
			renamed, renamedUs := lowered(t, g)
			require.Equal(t, us, renamedUs, model)
			require.Len(t, renamed.Entries, len(named.Entries))
			for i := range named.Entries {
				require.Equal(t, textsOf(named, i), textsOf(renamed, i), "%s %+v", model, o)
			}
		}
		require.NoError(t, m.Close())
	}
}

// lowered is the plan of g's entries and what the cost model says of them.
func lowered(t *testing.T, g *foundry.Graphs) (*plan.Plan, []float64) {
	t.Helper()
	var in []metal.Entry
	var us []float64
	for _, e := range g.Entries {
		in = append(in, metal.Entry{Name: e.Name, Role: plan.EntryRole(e.Name), Graph: e})
		us = append(us, cost.Predict(e, g.Choices, g.Target, cost.Typical(e.Bounds), 1))
	}
	p, err := g.LowerEntries(in)
	require.NoError(t, err)
	return p, us
}

// textsOf lists the grids and texts of an entry's dispatches, without kernels' names.
func textsOf(p *plan.Plan, entry int) (out []string) {
	for _, s := range p.Entries[entry].Steps {
		if d := s.Dispatch; d != nil {
			k := &p.Kernels[d.Kernel]
			out = append(out, fmt.Sprint(d.Grid, strings.ReplaceAll(k.Source, k.Name, "kernel")))
		}
	}
	return out
}
