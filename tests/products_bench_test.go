package tests

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"foundry"
	"foundry/frontends/qwen25"
	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/sym"
	"foundry/ir/target"
	"foundry/lower/metal"
	"foundry/lower/plan"
	"foundry/runtime"
	"foundry/runtime/cpu"

	"github.com/stretchr/testify/require"

	"foundry/runtime/devicetest"
)

// constantWeights fills every weight with one pattern.
type constantWeights struct{}

func (constantWeights) Weight(b *plan.Buffer) ([]byte, error) {
	out := make([]byte, b.Bytes)
	for i := range out {
		out[i] = byte(i*7919>>3) & 0x3b // halves below 1
	}
	return out, nil
}

// BenchmarkProducts times the products of a prefill of 512 tokens on a GPU, alone,
// in the blocks that targets with more or fewer registers and stages would get:
// TFLOP/s by shape and by block. It is how the numbers of target h100 are chosen.
func BenchmarkProducts(b *testing.B) {
	dev, err := foundry.OpenDevice(b.Context(), foundry.CUDA, cpu.Options{})
	devicetest.Need(b, err)
	defer dev.Close()
	const tokens = 512
	for _, preset := range []string{"0.5b", "7b"} {
		c, err := qwen25.Family.Preset(preset)
		require.NoError(b, err)
		heads := (c.Heads + 2*c.KVHeads) * c.HeadDim
		for _, s := range []struct {
			name string
			n, k int
		}{{"qkv", heads, c.Hidden}, {"o", c.Hidden, c.Heads * c.HeadDim}, {"gate-up", 2 * c.Intermediate, c.Hidden}, {"down", c.Hidden, c.Intermediate}} {
			for _, floats := range []int{32, 64, 128} {
				for _, stages := range []int{2, 4} {
					b.Run(fmt.Sprintf("%s/%s/floats=%d/stages=%d", preset, s.name, floats, stages), func(b *testing.B) {
						t, err := target.Find("h100")
						require.NoError(b, err)
						t.TileFloats, t.CopyStages = floats, stages
						in, name := products(b, dev, t, tokens, s.n, s.k)
						defer in.Close()
						best := 0.0
						for b.Loop() {
							times, err := in.KernelTimes(context.Background(), "products", sym.Env{T: tokens}, 4)
							require.NoError(b, err)
							best = max(best, 2*tokens*float64(s.n)*float64(s.k)/times[0].Each.Seconds()/1e12)
						}
						b.ReportMetric(best, "TFLOP/s")
						b.Log(name)
					})
				}
			}
		}
	}
}

// products loads a plan of eight products of x, each with weights of its own, as
// the layers of a model have.
func products(b *testing.B, dev runtime.Device, t *target.Target, tokens, n, k int) (*runtime.Instance, string) {
	b.Helper()
	var text strings.Builder
	fmt.Fprintf(&text, "graph @products (T=1..%d, P=0..0, S<=%d) {\n%%0 = input \"x\" : f32[T, %d]\n", tokens, tokens, k)
	for i := range 8 {
		fmt.Fprintf(&text, "%%%d = weight \"w%d\" : f16[%d, %d]\n", i+1, i, n, k)
	}
	for i := range 8 {
		fmt.Fprintf(&text, "%%%d = matmul_nt %%0, %%%d : f32[T, %d]\n", i+9, i+1, n)
	}
	text.WriteString("return y=%16\n}\n")
	g, err := ir.Parse("products.fir", text.String())
	require.NoError(b, err)
	p, err := metal.Compile([]metal.Entry{{Name: "products", Graph: g}}, metal.Options{
		Target: t, Model: plan.Model{Context: tokens}, Meta: plan.Options{Weights: dtype.F16, Cache: dtype.F16},
	})
	require.NoError(b, err)
	x, err := runtime.New(context.Background(), dev, p, constantWeights{}, nil)
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, x.Close()) })
	in, err := x.NewInstance()
	require.NoError(b, err)
	return in, fmt.Sprint(p.Kernels[0].Name, p.Kernels[0].Params)
}
