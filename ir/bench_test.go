package ir_test

import (
	"fmt"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/frontends/decoder"
	"foundry/frontends/qwen25"
	"foundry/ir"
	"foundry/ir/dtype"
)

// model builds the published 72b with the given number of layers.
func model(b *testing.B, layers int) *ir.Graph {
	b.Helper()
	c, err := qwen25.Family.Preset("72b")
	require.NoError(b, err)
	c.Layers = layers
	g, err := decoder.Build(c, decoder.BuildOptions{Context: 4096, Chunk: 512, Weights: dtype.F16, Cache: dtype.F16})
	require.NoError(b, err)
	return g
}

// perLayer runs f at 24 and at 80 layers and reports the time a layer, which
// stays the same where the cost is linear.
func perLayer(b *testing.B, f func(b *testing.B, g *ir.Graph)) {
	for _, layers := range []int{24, 80} {
		b.Run(fmt.Sprintf("layers=%d", layers), func(b *testing.B) {
			g := model(b, layers)
			for b.Loop() {
				f(b, g)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*layers), "ns/layer")
		})
	}
}

func BenchmarkVerify(b *testing.B) {
	perLayer(b, func(b *testing.B, g *ir.Graph) { require.NoError(b, ir.Verify(g)) })
}

func BenchmarkPrint(b *testing.B) {
	perLayer(b, func(b *testing.B, g *ir.Graph) { require.NoError(b, g.Print(io.Discard)) })
}

func BenchmarkParse(b *testing.B) {
	for _, layers := range []int{24, 80} {
		b.Run(fmt.Sprintf("layers=%d", layers), func(b *testing.B) {
			text := model(b, layers).String()
			for b.Loop() {
				_, err := ir.Parse("g.fir", text)
				require.NoError(b, err)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*layers), "ns/layer")
		})
	}
}

func BenchmarkClone(b *testing.B) {
	perLayer(b, func(_ *testing.B, g *ir.Graph) { g.Clone() })
}

// BenchmarkOutline clones the graph, outlines the attention and the SwiGLU of
// each layer and inlines them again.
func BenchmarkOutline(b *testing.B) {
	perLayer(b, func(b *testing.B, g *ir.Graph) {
		c := g.Clone()
		for _, n := range c.Nodes() {
			switch n.Op {
			case ir.OpSoftmax:
				pv := n.Result().Users()[0]
				_, err := c.Outline([]*ir.Node{n.Args[0].Def, n, pv}, "attention", n.Label)
				require.NoError(b, err)
			case ir.OpSilu:
				_, err := c.Outline([]*ir.Node{n, n.Result().Users()[0]}, "swiglu", n.Label)
				require.NoError(b, err)
			}
		}
		c.InlineAll()
	})
}
