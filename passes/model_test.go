package passes_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/frontends/decoder"
	"foundry/frontends/qwen25"
	"foundry/ir"
	"foundry/ir/cost"
	"foundry/ir/dtype"
	"foundry/ir/target"
	"foundry/passes"
)

// model returns the prefill graph of a preset with 4,096 positions.
func model(t testing.TB, name string) *ir.Graph {
	t.Helper()
	c, err := qwen25.Family.Preset(name)
	require.NoError(t, err)
	g, err := decoder.Build(c, decoder.BuildOptions{Context: 4096, Chunk: 512, Weights: dtype.F16, Cache: dtype.F16})
	require.NoError(t, err)
	return g
}

func decode(t testing.TB, name string) *ir.Graph {
	t.Helper()
	g, err := model(t, name).Specialise(1)
	require.NoError(t, err)
	return g
}

// figures are the dispatches and waves of a decode step, and how many more a
// layer costs.
func figures(t *testing.T, name, variant string) (dispatches, waves, aLayer int) {
	t.Helper()
	tgt, err := target.Find(target.Default)
	require.NoError(t, err)
	p, err := passes.Variant(variant)
	require.NoError(t, err)
	var at [2]cost.Summary
	for i, more := range []int{0, 1} {
		c, err := qwen25.Family.Preset(name)
		require.NoError(t, err)
		c.Layers += more
		g, err := decoder.Build(c, decoder.BuildOptions{Context: 4096, Chunk: 512, Weights: dtype.F16, Cache: dtype.F16})
		require.NoError(t, err)
		g, err = g.Specialise(1)
		require.NoError(t, err)
		require.NoError(t, p.Run(g, &passes.Context{}), variant)
		at[i] = cost.Summarise(g, cost.NewChoices(tgt, nil), cost.Typical(g.Bounds))
	}
	return at[0].Dispatches, at[0].Waves, at[1].Dispatches - at[0].Dispatches
}

func TestDispatchesOfModels(t *testing.T) {
	for _, name := range []string{"0.5b", "1.5b", "3b", "7b"} {
		for variant, want := range map[string]int{"unfused": 28, "per-layer-6": 6, "fewest": 5, "default": 5} {
			d, w, aLayer := figures(t, name, variant)
			require.Equal(t, want, aLayer, "%s %s", name, variant)
			if name != "0.5b" {
				continue
			}
			require.Equal(t, map[string]int{"unfused": 677, "per-layer-6": 149, "fewest": 123, "default": 123}[variant], d, variant)
			if variant != "unfused" {
				require.Equal(t, d, w, variant)
			}
		}
	}
}

// Every variant of the ladder has fewer dispatches than the one before, but for
// the last, which saves recomputation.
func TestLadderFalls(t *testing.T) {
	last := 1 << 30
	for _, v := range passes.Ladder() {
		d, _, _ := figures(t, "0.5b", v)
		if v != "fewest" {
			require.Less(t, d, last, v)
		}
		last = d
	}
	for _, v := range passes.LeaveOneOut() {
		p, err := passes.Variant(v)
		require.NoError(t, err)
		require.NoError(t, p.Run(decode(t, "0.5b"), &passes.Context{}), v)
	}
}

func BenchmarkPipeline(b *testing.B) {
	for _, layers := range []int{24, 48, 80} {
		for _, v := range []string{"default", "fewest"} {
			b.Run(fmt.Sprintf("%s/%d", v, layers), func(b *testing.B) {
				c, err := qwen25.Family.Preset("7b")
				require.NoError(b, err)
				c.Layers = layers
				g, err := decoder.Build(c, decoder.BuildOptions{Context: 4096, Chunk: 512, Weights: dtype.F16, Cache: dtype.F16})
				require.NoError(b, err)
				p, err := passes.Variant(v)
				require.NoError(b, err)
				b.ReportAllocs()
				for b.Loop() {
					b.StopTimer()
					d, err := g.Specialise(1)
					require.NoError(b, err)
					b.StartTimer()
					require.NoError(b, p.Run(d, &passes.Context{}))
				}
			})
		}
	}
}
