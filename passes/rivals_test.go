package passes

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/frontends/decoder"
	"foundry/frontends/qwen25"
	"foundry/frontends/qwen3"
	"foundry/ir"
	"foundry/ir/dtype"
)

// Whom a pattern names as a rival can take one of its operations: in a graph of a model,
// as it is or with norms split, or in one whose gate and up have biases. Others that can, default
// need not be told of: with every fusion to come that overlaps, and with those that overlap
// with these, it takes the same of all models that counters are kept of.
func TestNamedRivalsOverlap(t *testing.T) {
	var fusions []parsedChoice
	for _, c := range choices {
		call, err := BuiltIn().parseCall(c.calls)
		require.NoError(t, err)
		if call.Pass.fusion != nil {
			fusions = append(fusions, parsedChoice{c, call})
		}
	}
	overlap := map[[2]string]bool{}
	look := func(g *ir.Graph) {
		for _, edits := range []string{prepare + ",drop-repeat-kv", prepare + ",drop-repeat-kv,split-norm"} {
			p, err := Parse(edits)
			require.NoError(t, err)
			edited := g.Clone()
			require.NoError(t, p.Run(edited, &Context{}))
			r, err := newRun(edited, &Context{})
			require.NoError(t, err)
			claimed := map[int]map[string]bool{} // patterns by operation
			for i, places := range r.claims(fusions).places {
				for _, claim := range slices.Concat(places...) {
					for _, o := range claim {
						if claimed[o] == nil {
							claimed[o] = map[string]bool{}
						}
						claimed[o][fusions[i].call.Pass.fusion.Name] = true
					}
				}
			}
			for _, names := range claimed {
				for a := range names {
					for b := range names {
						overlap[[2]string{a, b}] = true
					}
				}
			}
		}
	}
	small, err := qwen25.Family.Preset("0.5b")
	require.NoError(t, err)
	normed, err := qwen3.Family.Preset("0.6b")
	require.NoError(t, err)
	for _, c := range []decoder.Config{small, normed} {
		c.Layers = 2
		prefill, err := decoder.Build(c, decoder.BuildOptions{Context: 64, Chunk: 8, Weights: dtype.F16, Cache: dtype.F16})
		require.NoError(t, err)
		decode, err := prefill.Specialise(1)
		require.NoError(t, err)
		look(prefill)
		look(decode)
	}
	biased, err := ir.Parse("biased.fir", `graph @biased (T=1..4, P=0..0, S<=4) {
  %x = input "x" : f32[T, 64]
  %wg = weight "wg" : f16[96, 64]
  %wu = weight "wu" : f16[96, 64]
  %bg = weight "bg" : f32[96]
  %bu = weight "bu" : f32[96]
  %p = matmul_nt %x, %wg
  %q = matmul_nt %x, %wu
  %g = add %p, %bg
  %u = add %q, %bu
  %s = silu %g
  %m = mul %s, %u
  return m=%m
}
`)
	require.NoError(t, err)
	look(biased)
	for _, p := range patterns {
		for _, rival := range p.Rivals {
			require.True(t, overlap[[2]string{p.Name, rival}], "%s names %s, which takes nothing of it", p.Name, rival)
		}
	}
}
