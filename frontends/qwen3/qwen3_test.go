package qwen3_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/frontends/decoder"
	"foundry/frontends/qwen3"
	"foundry/ir"
	"foundry/ir/dtype"
)

// edit returns the config.json of the 0.6b with fields replaced; a nil value removes one.
func edit(t *testing.T, change map[string]any) []byte {
	t.Helper()
	c, err := qwen3.Family.Preset("0.6b")
	require.NoError(t, err)
	fields := map[string]any{}
	require.NoError(t, json.Unmarshal(c.JSON(), &fields))
	for k, v := range change {
		fields[k] = v
		if v == nil {
			delete(fields, k)
		}
	}
	raw, err := json.Marshal(fields)
	require.NoError(t, err)
	return raw
}

func TestPresets(t *testing.T) {
	require.Equal(t, []string{"0.6b", "1.7b", "4b", "8b", "14b", "32b"}, qwen3.Family.SizeNames())
	for _, size := range qwen3.Family.SizeNames() {
		c, err := qwen3.Family.Preset(size)
		require.NoError(t, err)
		back, err := qwen3.Family.Parse(c.JSON())
		require.NoError(t, err)
		require.Equal(t, c, back)
		g, err := decoder.Build(c, decoder.BuildOptions{Context: 4096, Chunk: 512, Weights: dtype.F16, Cache: dtype.F16})
		require.NoError(t, err)
		require.NoError(t, ir.Verify(g))
	}
	_, err := qwen3.Family.Preset("0.5b")
	require.EqualError(t, err, `there is no Qwen3 of size "0.5b", sizes are 0.6b, 1.7b, 4b, 8b, 14b, 32b; did you mean "0.6b"?`)
}

// A decode layer has the operations of Qwen2.5's but the three biases, and two norms more.
func TestLayerOps(t *testing.T) {
	c, err := qwen3.Family.Preset("8b")
	require.NoError(t, err)
	g, err := decoder.Build(c, decoder.BuildOptions{Context: 4096, Chunk: 512, Weights: dtype.F16, Cache: dtype.F16})
	require.NoError(t, err)
	counts, work := map[ir.Op]int{}, 0
	for _, n := range g.Nodes() {
		if n.Layer() == 7 {
			counts[n.Op]++
			if !n.Op.Is(ir.View) {
				work++
			}
		}
	}
	require.Equal(t, 27, work)
	require.Equal(t, 4, counts[ir.OpRMSNorm])
	require.Equal(t, 2, counts[ir.OpAdd]) // residuals, no biases
	require.Contains(t, g.String(), `"model.layers.7.self_attn.k_norm.weight" : f32[128]`)
}

func TestConfig(t *testing.T) {
	c, err := qwen3.Family.Parse(edit(t, map[string]any{"head_dim": nil}))
	require.NoError(t, err)
	require.Equal(t, 128, c.HeadDim) // whatever the hidden size and the heads are
	c, err = qwen3.Family.Parse(edit(t, map[string]any{"attention_bias": false, "sliding_window": nil, "max_window_layers": 28, "rope_scaling": nil}))
	require.NoError(t, err)
	require.Zero(t, c.Window)
	for want, change := range map[string]map[string]any{
		"config.json: attention_bias is true; foundry compiles Qwen3 without biases":               {"attention_bias": true},
		"config.json: is_causal is false":                                                          {"is_causal": false},
		"config.json: this is a Qwen3ForSequenceClassification; foundry compiles Qwen3ForCausalLM": {"architectures": []string{"Qwen3ForSequenceClassification"}},
		"config.json: attention_bias is string, want true or false":                                {"attention_bias": "no"},
	} {
		_, err := qwen3.Family.Parse(edit(t, change))
		require.ErrorContains(t, err, want)
	}
}

// The sizes are those of the published configurations, and have the parameters, in billions
// with and without the embedding, that the technical report names.
func TestPublishedSizes(t *testing.T) {
	for size, want := range map[string]struct {
		numbers    []int // layers, hidden size, intermediate size, heads, heads of keys, length of a head, vocabulary, positions
		tied       bool
		all, inner float64
	}{
		"0.6b": {[]int{28, 1024, 3072, 16, 8, 128, 151936, 40960}, true, 0.6, 0.44},
		"1.7b": {[]int{28, 2048, 6144, 16, 8, 128, 151936, 40960}, true, 1.7, 1.4},
		"4b":   {[]int{36, 2560, 9728, 32, 8, 128, 151936, 40960}, true, 4.0, 3.6},
		"8b":   {[]int{36, 4096, 12288, 32, 8, 128, 151936, 40960}, false, 8.2, 6.95},
		"14b":  {[]int{40, 5120, 17408, 40, 8, 128, 151936, 40960}, false, 14.8, 13.2},
		"32b":  {[]int{64, 5120, 25600, 64, 8, 128, 151936, 40960}, false, 32.8, 31.2},
	} {
		c, err := qwen3.Family.Preset(size)
		require.NoError(t, err)
		require.Equal(t, want.numbers, []int{c.Layers, c.Hidden, c.Intermediate, c.Heads, c.KVHeads, c.HeadDim, c.Vocab, c.MaxPositions}, size)
		require.Equal(t, want.tied, c.Tied, size)
		all := 0.0
		for _, w := range decoder.Weights(c) {
			n := 1e-9
			for _, d := range w.Shape {
				n *= float64(d)
			}
			all += n
		}
		embedding := float64(c.Vocab) * float64(c.Hidden) / 1e9
		if !c.Tied {
			embedding *= 2
		}
		require.InDelta(t, want.all, all, 0.015*want.all, size)
		require.InDelta(t, want.inner, all-embedding, 0.015*want.inner, size)
	}
}
