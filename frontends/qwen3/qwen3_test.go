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
