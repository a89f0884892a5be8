package passes_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

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
	c, err := qwen25.Preset(name)
	require.NoError(t, err)
	g, err := qwen25.Build(c, qwen25.BuildOptions{Context: 4096, Chunk: 512, Weights: dtype.F16, Cache: dtype.F16})
	require.NoError(t, err)
	return g
}

func decode(t testing.TB, name string) *ir.Graph {
	t.Helper()
	g, err := model(t, name).Specialise(1)
	require.NoError(t, err)
	return g
}

func TestVariantsOfModels(t *testing.T) {
	tgt, err := target.Find(target.Default)
	require.NoError(t, err)
	for _, name := range []string{"0.5b", "7b"} {
		for _, v := range passes.Variants() {
			p, err := passes.Variant(v)
			require.NoError(t, err)
			g := decode(t, name)
			var log passes.Log
			require.NoError(t, p.Run(g, &passes.Context{Log: &log}), v)
			s := cost.Of(g, tgt, cost.Typical(g.Bounds))
			fmt.Printf("%-5s %-24s %4d dispatches %4d waves %8.1f us %6.1f MB\n", name, v, s.Dispatches, s.Waves, s.Us, float64(s.Moved)/1e6)
			if v == "default" || v == "floor" {
				passes.Explain(os.Stdout, log.Decisions)
			}
		}
	}
}

func BenchmarkPipeline(b *testing.B) {
	for _, layers := range []int{24, 48, 80} {
		for _, v := range []string{"default", "floor"} {
			b.Run(fmt.Sprintf("%s/%d", v, layers), func(b *testing.B) {
				c, err := qwen25.Preset("7b")
				require.NoError(b, err)
				c.Layers = layers
				g, err := qwen25.Build(c, qwen25.BuildOptions{Context: 4096, Chunk: 512, Weights: dtype.F16, Cache: dtype.F16})
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
