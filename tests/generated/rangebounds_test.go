package generated

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"foundry"
	"foundry/frontends/model"
	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/interp"
	"foundry/ir/sym"
	"foundry/tests/goldens"

	"github.com/stretchr/testify/require"
)

// loosest is how many times what occurs a bound may be: halves resolve all values from
// 2^-29 of it on.
const loosest = 1 << 20

// Bounds of what becomes halves hold, and are no more than 2^20 above what occurs.
func TestRangesAreClose(t *testing.T) {
	for _, name := range goldens.Models {
		m, prompts := goldens.Open(t, name)
		bounds := boundsOf(t, m)
		g, err := foundry.Fuse(m, foundry.Defaults(foundry.Ref, foundry.CompileOptions{Variant: "unfused", Context: 512}))
		require.NoError(t, err)
		program, err := interp.New(g.Entries[0], m.Weights().Tensor, interp.Float32)
		require.NoError(t, err)
		ids := prompts[0].IDs(t, "input_ids")
		met := map[string]bool{}
		_, err = program.Run(context.Background(), interp.Run{
			Env: sym.Env{T: int64(len(ids))}, State: program.NewState(),
			Inputs: map[string]interp.Tensor{"ids": interp.Ints(ids, len(ids))},
			Watch: func(n *ir.Node, result interp.Tensor) {
				if bound, ok := bounds[n.Label]; ok {
					met[n.Label] = true
					requireBounds(t, name+" "+n.Label, bound, result.Float32s())
				}
			},
		})
		require.NoError(t, err)
		require.Len(t, met, len(bounds))
	}
}

// requireBounds holds a bound against values.
func requireBounds(t *testing.T, what string, bound float64, values []float32) {
	t.Helper()
	largest, squares := 0.0, 0.0
	for _, v := range values {
		largest, squares = max(largest, math.Abs(float64(v))), squares+float64(v)*float64(v)
	}
	rms := math.Sqrt(squares / float64(len(values)))
	t.Logf("%-28s bound %8.3g, 2^%.1f times the largest element, 2^%.1f times their root mean square",
		what, bound, math.Log2(bound/largest), math.Log2(bound/rms))
	require.LessOrEqual(t, largest, bound, what)
	require.LessOrEqual(t, bound, loosest*rms, what)
}

// boundsOf computes what docs/ranges.md says, by the labels of the values.
func boundsOf(t *testing.T, m *model.Model) map[string]float64 {
	t.Helper()
	read := func(layer int, name string, dims ...int64) []float32 {
		shape := make([]sym.Dim, len(dims))
		for i, d := range dims {
			shape[i] = sym.Const(d)
		}
		x, err := m.Weights().Tensor(fmt.Sprintf("model.layers.%d.%s", layer, name), ir.TypeOf(dtype.F32, shape...))
		require.NoError(t, err)
		return x.Float32s()
	}
	c := m.Config
	h, wide, heads, kv := int64(c.Hidden), int64(c.Intermediate), int64(c.Heads*c.HeadDim), int64(c.KVHeads*c.HeadDim)
	root := math.Sqrt(float64(h))
	out := map[string]float64{}
	for n := range c.Layers {
		first, second := read(n, "input_layernorm.weight", h), read(n, "post_attention_layernorm.weight", h)
		projection := func(name string, rows int64) float64 {
			return root*longestRow(read(n, "self_attn."+name+"_proj.weight", rows, h), first) + largest(read(n, "self_attn."+name+"_proj.bias", rows))
		}
		label := fmt.Sprintf("layers.%d.", n)
		out[label+"input_norm"] = root * largest(first)
		out[label+"q_rope"] = math.Sqrt2 * projection("q", heads)
		out[label+"k_rope"] = math.Sqrt2 * projection("k", kv)
		out[label+"v_bias"] = projection("v", kv)
		out[label+"pv"] = out[label+"v_bias"]
		out[label+"mul"] = root * longestRow(read(n, "mlp.gate_proj.weight", wide, h), second) * root * longestRow(read(n, "mlp.up_proj.weight", wide, h), second)
	}
	return out
}

func longestRow(w, times []float32) float64 {
	longest := 0.0
	for at := 0; at < len(w); at += len(times) {
		squares := 0.0
		for i, g := range times {
			v := float64(w[at+i]) * float64(g)
			squares += v * v
		}
		longest = max(longest, math.Sqrt(squares))
	}
	return longest
}

func largest(w []float32) float64 {
	most := 0.0
	for _, v := range w {
		most = max(most, math.Abs(float64(v)))
	}
	return most
}

// The same of an MLP as published models of 7 billion parameters have: 3,584 columns, a
// norm's weight that spreads over two decades, rows of weights that differ in length,
// hidden rows of which two columns are some hundred times the others.
func TestRangesAreCloseAtSize(t *testing.T) {
	const hidden, rows, tokens = 3584, 512, 16
	r := rand.New(rand.NewPCG(1, 2))
	gamma := make([]float32, hidden)
	for i := range gamma {
		gamma[i] = float32(math.Exp(r.NormFloat64()))
	}
	matrix := func() []float32 {
		w := make([]float32, rows*hidden)
		for at := 0; at < len(w); at += hidden {
			size := 0.02 * math.Exp(0.5*r.NormFloat64())
			for i := range hidden {
				w[at+i] = float32(size * r.NormFloat64())
			}
		}
		return w
	}
	gate, up := matrix(), matrix()
	var product []float32
	for range tokens {
		x := make([]float64, hidden)
		squares := 0.0
		for i := range x {
			x[i] = r.NormFloat64()
			if i < 2 {
				x[i] *= 300
			}
			squares += x[i] * x[i]
		}
		for i := range x {
			x[i] *= float64(gamma[i]) / math.Sqrt(squares/hidden)
		}
		dot := func(row []float32) (sum float64) {
			for i, v := range row {
				sum += float64(v) * x[i]
			}
			return sum
		}
		for at := 0; at < len(gate); at += hidden {
			g, u := dot(gate[at:at+hidden]), dot(up[at:at+hidden])
			product = append(product, float32(g/(1+math.Exp(-g))*u))
		}
	}
	requireBounds(t, "7b, SwiGLU", hidden*longestRow(gate, gamma)*longestRow(up, gamma), product)
}
