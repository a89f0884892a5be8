package passes_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/frontends/decoder"
	"foundry/frontends/qwen25"
	"foundry/frontends/qwen3"
	"foundry/ir"
	"foundry/ir/cost"
	"foundry/ir/dtype"
	"foundry/passes"
)

// Where no product takes a norm's scaling, default leaves sums and scaling apart only where
// that is predicted to be faster: with join-norm it is never slower and never has more
// dispatches than without, and the first norm is one dispatch with the embedding.
func TestNoScalingIsLeftAlone(t *testing.T) {
	p, err := passes.Variant("default")
	require.NoError(t, err)
	at := slices.IndexFunc(p, func(c passes.Call) bool { return c.Pass.Name == "join-norm" })
	require.Positive(t, at)
	without := slices.Delete(slices.Clone(p), at, at+1)
	fewer := 0 // pairs of a target and a graph with fewer dispatches for it
	for _, m := range []struct {
		family  *decoder.Family
		size    string
		weights dtype.Type
	}{
		{&qwen25.Family, "0.5b", dtype.F16}, {&qwen25.Family, "7b", dtype.Q4_0}, {&qwen25.Family, "7b", dtype.Q4_K}, {&qwen3.Family, "8b", dtype.F16},
	} {
		c, err := m.family.Preset(m.size)
		require.NoError(t, err)
		c.Layers = 2
		prefill, err := decoder.Build(c, decoder.BuildOptions{Context: 4096, Chunk: 512, Weights: m.weights, Cache: dtype.F16})
		require.NoError(t, err)
		decode, err := prefill.Specialise(1)
		require.NoError(t, err)
		for _, name := range []string{"apple-m1", "apple-m3-pro", "apple-m4", "apple-m5-max", "h100", "cpu"} {
			tgt := machine(t, name)
			for phase, g := range map[string]*ir.Graph{"prefill": prefill, "decode": decode} {
				choices := cost.NewChoices(tgt, nil)
				run := func(p passes.Pipeline) (*ir.Graph, cost.Summary) {
					out := g.Clone()
					require.NoError(t, p.Run(out, &passes.Context{Target: tgt, Choices: choices, Lowerable: choices.Lowerable}))
					return out, cost.Summarise(out, choices, cost.Typical(out.Bounds))
				}
				joined, s := run(p)
				_, apart := run(without)
				what := []any{"%s %s for %s, %s", m.size, m.weights, name, phase}
				require.LessOrEqual(t, s.Us, apart.Us*(1+1e-12), what...)
				require.LessOrEqual(t, s.Dispatches, apart.Dispatches, what...)
				if s.Dispatches < apart.Dispatches {
					fewer++
				}
				for _, n := range joined.Nodes() {
					if n.Op == ir.OpRMSScale {
						require.NotEqual(t, "embedding-norm", n.Args[1].Def.Attr.Pattern, what...)
					}
				}
			}
		}
	}
	require.Positive(t, fewer)
}
