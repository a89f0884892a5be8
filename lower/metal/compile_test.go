package metal_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/frontends/qwen25"
	"foundry/ir/dtype"
	"foundry/lower/metal"
)

// BenchmarkCompile is lowering alone, graph to plan: the cost a layer is flat.
func BenchmarkCompile(b *testing.B) {
	c, err := qwen25.Preset("72b")
	require.NoError(b, err)
	for _, layers := range []int{24, 48, 80} {
		c.Layers = layers
		o := qwen25.BuildOptions{Context: 4096, Chunk: 512, Weights: dtype.F16, Cache: dtype.F16}
		in := entries(b, c, o, pipelineDefault, m3Pro(b))
		b.Run(fmt.Sprint(layers), func(b *testing.B) {
			for b.Loop() {
				_, err := metal.Compile(in, options(c, o, m3Pro(b)))
				require.NoError(b, err)
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*layers), "us/layer")
		})
	}
}

// TestCompileIsDeterministic compiles one model three times.
func TestCompileIsDeterministic(t *testing.T) {
	c, err := qwen25.Preset("0.5b")
	require.NoError(t, err)
	o := qwen25.BuildOptions{Context: 4096, Chunk: 512, Weights: dtype.F16, Cache: dtype.F16}
	hash := ""
	for range 3 {
		p, err := metal.Compile(entries(t, c, o, pipelineFloor, m3Pro(t)), options(c, o, m3Pro(t)))
		require.NoError(t, err)
		require.True(t, hash == "" || p.Hash == hash, "another hash")
		hash = p.Hash
	}
}
