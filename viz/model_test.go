package viz_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/frontends/decoder"
	"foundry/frontends/qwen25"
	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/sym"
)

// model is Qwen2.5 at toy size, as its frontend emits it: two query heads, one
// key-value head. A constant for tokens fixes T to it.
func model(t testing.TB, layers int, tokens sym.Dim) *ir.Graph {
	t.Helper()
	c := decoder.Config{
		Arch:   qwen25.Family.Arch,
		Hidden: 64, Intermediate: 96, Layers: layers, Heads: 2, KVHeads: 1, HeadDim: 32,
		Vocab: 256, MaxPositions: 1024, NormEps: 1e-6, RopeTheta: 1e6,
	}
	g, err := decoder.Build(c, decoder.BuildOptions{Context: 1024, Chunk: 512, Weights: dtype.F16, Cache: dtype.F16})
	require.NoError(t, err)
	if n, ok := tokens.Const(); ok {
		g, err = g.Specialise(n)
		require.NoError(t, err)
		g.Name = "decode"
	}
	require.NoError(t, ir.Verify(g))
	return g
}

// regions are what the default fusions of a layer hold, by pattern.
var regions = []struct {
	pattern, label string
	members        []string
}{
	{"rmsnorm-qkv", "qkv", []string{"input_norm", "q_proj", "k_proj", "v_proj", "q_bias", "k_bias", "v_bias"}},
	{"rope-kv", "rope_kv", []string{"q_heads", "k_heads", "v_heads", "q_rope", "k_rope", "k_write", "v_write"}},
	{"attention", "attention", []string{"scores", "softmax", "pv"}},
	{"residual", "o", []string{"o_proj", "resid_attn"}},
	{"gate-up-swiglu", "gate_up", []string{"post_norm", "gate_proj", "up_proj", "silu", "mul"}},
	{"residual", "down", []string{"down_proj", "resid_mlp"}},
}

// fused is model with the default regions formed in every layer.
func fused(t testing.TB, layers int, tokens sym.Dim) *ir.Graph {
	t.Helper()
	g := model(t, layers, tokens)
	byLabel := map[string]*ir.Node{}
	for _, n := range g.Nodes() {
		byLabel[n.Label] = n
	}
	for l := range layers {
		for _, r := range regions {
			var nodes []*ir.Node
			for _, m := range r.members {
				nodes = append(nodes, byLabel[fmt.Sprintf("layers.%d.%s", l, m)])
			}
			_, err := g.Outline(nodes, r.pattern, fmt.Sprintf("layers.%d.%s", l, r.label))
			require.NoError(t, err)
		}
	}
	require.NoError(t, ir.Verify(g))
	return g
}
