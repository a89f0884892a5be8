package viz_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/sym"
)

// model builds a decoder of the given depth with the operations of Qwen2.5: two
// query heads, one key-value head.
func model(t testing.TB, layers int, tokens sym.Dim) *ir.Graph {
	t.Helper()
	const hidden, inner, heads, vocab, context = 64, 96, 2, 256, 1024
	const headDim = hidden / heads
	b := sym.Bounds{TMin: 1, TMax: 512, PMin: 0, PMax: context - 1, SMax: context}
	if n, ok := tokens.Const(); ok {
		b.TMin, b.TMax = n, n
	}
	g := ir.NewGraph("decode", b)
	c := sym.Const
	m := ir.Builder{Graph: g}
	matrix := func(name string, n, k int64) *ir.Value {
		return g.Param(ir.Weight, name, ir.TypeOf(dtype.F16, c(n), c(k)))
	}
	vector := func(name string, n int64) *ir.Value {
		return g.Param(ir.Weight, name, ir.TypeOf(dtype.F32, c(n)))
	}
	ids := g.Param(ir.Input, "ids", ir.TypeOf(dtype.I32, tokens))
	freq := g.ConstParam("rope.inv_freq", ir.TypeOf(dtype.F32, c(headDim/2)), make([]float32, headDim/2))
	x := m.Add(ir.OpEmbedding, "embed", ir.Attr{}, ids, matrix("model.embed_tokens.weight", vocab, hidden))
	var caches []ir.Result
	for l := range layers {
		at := func(name string) string { return fmt.Sprintf("layers.%d.%s", l, name) }
		w := func(name string) string { return fmt.Sprintf("model.layers.%d.%s", l, name) }
		h := m.Add(ir.OpRMSNorm, at("input_norm"), ir.Attr{Eps: 1e-6}, x, vector(w("input_layernorm.weight"), hidden))
		project := func(name string, n int) *ir.Value {
			rows := int64(n) * headDim
			v := m.Add(ir.OpMatmulNT, at(name+"_proj"), ir.Attr{}, h, matrix(w("self_attn."+name+"_proj.weight"), rows, hidden))
			v = m.Add(ir.OpAdd, at(name+"_bias"), ir.Attr{}, v, vector(w("self_attn."+name+"_proj.bias"), rows))
			return m.Add(ir.OpKVRearrange, at(name+"_heads"), ir.Attr{Heads: n}, v)
		}
		q, k, v := project("q", heads), project("k", 1), project("v", 1)
		q = m.Add(ir.OpRope, at("q_rope"), ir.Attr{Start: sym.P}, q, freq)
		k = m.Add(ir.OpRope, at("k_rope"), ir.Attr{Start: sym.P}, k, freq)
		cache := func(name string, x *ir.Value) *ir.Value {
			state := g.Param(ir.State, at(name), ir.TypeOf(dtype.F16, c(1), c(context), c(headDim)))
			next := m.Add(ir.OpKVWrite, at(name+"_write"), ir.Attr{Start: sym.P}, state, x)
			caches = append(caches, ir.Result{Name: at(name), Value: next})
			return m.Add(ir.OpSlice, at(name+"_view"), ir.Attr{Axis: 1, Size: sym.P.Add(tokens)}, next)
		}
		kv, vv := cache("k", k), cache("v", v)
		s := m.Add(ir.OpBmmNT, at("scores"), ir.Attr{Scale: 0.125}, q, kv)
		s = m.Add(ir.OpSoftmax, at("softmax"), ir.Attr{Causal: true, Start: sym.P}, s)
		o := m.Add(ir.OpBmmNN, at("pv"), ir.Attr{}, s, vv)
		o = m.Add(ir.OpTranspose, at("attn_heads"), ir.Attr{Perm: [4]int8{1, 0, 2, 0}}, o)
		o = m.Add(ir.OpReshape, at("attn_rows"), ir.Attr{Shape: ir.ShapeOf(tokens, c(hidden))}, o)
		o = m.Add(ir.OpMatmulNT, at("o_proj"), ir.Attr{}, o, matrix(w("self_attn.o_proj.weight"), hidden, hidden))
		x = m.Add(ir.OpAdd, at("resid_attn"), ir.Attr{}, o, x)
		h = m.Add(ir.OpRMSNorm, at("post_norm"), ir.Attr{Eps: 1e-6}, x, vector(w("post_attention_layernorm.weight"), hidden))
		gate := m.Add(ir.OpMatmulNT, at("gate_proj"), ir.Attr{}, h, matrix(w("mlp.gate_proj.weight"), inner, hidden))
		up := m.Add(ir.OpMatmulNT, at("up_proj"), ir.Attr{}, h, matrix(w("mlp.up_proj.weight"), inner, hidden))
		gate = m.Add(ir.OpSilu, at("silu"), ir.Attr{}, gate)
		up = m.Add(ir.OpMul, at("mul"), ir.Attr{}, gate, up)
		down := m.Add(ir.OpMatmulNT, at("down_proj"), ir.Attr{}, up, matrix(w("mlp.down_proj.weight"), hidden, inner))
		x = m.Add(ir.OpAdd, at("resid_mlp"), ir.Attr{}, down, x)
	}
	x = m.Add(ir.OpRMSNorm, "final_norm", ir.Attr{Eps: 1e-6}, x, vector("model.norm.weight", hidden))
	x = m.Add(ir.OpMatmulNT, "lm_head", ir.Attr{}, x, matrix("lm_head.weight", vocab, hidden))
	g.Return("logits", x)
	g.Return("token", m.Add(ir.OpArgmax, "argmax", ir.Attr{}, x))
	for _, r := range caches {
		g.Return(r.Name, r.Value)
	}
	require.NoError(t, m.Err())
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
