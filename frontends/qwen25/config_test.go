package qwen25

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/frontends/decoder"
)

// edit returns a valid config.json with fields replaced; a nil value removes one.
func edit(t *testing.T, change map[string]any) []byte {
	t.Helper()
	c, err := Family.Preset("0.5b")
	require.NoError(t, err)
	fields := map[string]any{}
	require.NoError(t, json.Unmarshal(c.JSON(), &fields))
	for k, v := range change {
		if v == nil {
			delete(fields, k)
		} else {
			fields[k] = v
		}
	}
	raw, err := json.Marshal(fields)
	require.NoError(t, err)
	return raw
}

func TestPresetsRoundTrip(t *testing.T) {
	require.Len(t, Family.SizeNames(), 7)
	for _, size := range Family.SizeNames() {
		c, err := Family.Preset(size)
		require.NoError(t, err)
		require.Equal(t, c.Hidden, c.Heads*c.HeadDim, size)
		back, err := Family.Parse(c.JSON())
		require.NoError(t, err)
		require.Equal(t, c, back)
	}
	_, err := Family.Preset("0.6b")
	require.EqualError(t, err, `there is no Qwen2.5 of size "0.6b", sizes are 0.5b, 1.5b, 3b, 7b, 14b, 32b, 72b; did you mean "0.5b"?`)
	_, err = Family.Preset("gigantic")
	require.ErrorContains(t, err, "sizes are 0.5b, 1.5b")
}

func TestConfigForms(t *testing.T) {
	c, err := Family.Parse(edit(t, map[string]any{"rope_theta": nil, "rope_parameters": map[string]any{"rope_theta": 5e5, "rope_type": "default"}}))
	require.NoError(t, err)
	require.Equal(t, 5e5, c.RopeTheta)

	c, err = Family.Parse(edit(t, map[string]any{"head_dim": nil, "num_key_value_heads": nil, "tie_word_embeddings": nil}))
	require.NoError(t, err)
	require.Equal(t, 64, c.HeadDim)
	require.Equal(t, 14, c.KVHeads)
	require.False(t, c.Tied)

	c, err = Family.Parse(edit(t, map[string]any{"head_dim": 128, "rope_scaling": map[string]any{"type": "default"}}))
	require.NoError(t, err)
	require.Equal(t, 128, c.HeadDim)
}

// The configurations of the family: right, with what bounds their texts.
func TestFamily(t *testing.T) {
	for name, c := range map[string]struct {
		change    map[string]any
		positions int
	}{
		"rope_scaling of nothing":    {map[string]any{"rope_scaling": map[string]any{}}, 32768},
		"rope_scaling null":          {map[string]any{"rope_scaling": json.RawMessage("null")}, 32768},
		"Instruct, served long":      {map[string]any{"rope_scaling": map[string]any{"type": "yarn", "factor": 4, "original_max_position_embeddings": 32768}}, 131072},
		"the longer of the two":      {map[string]any{"max_position_embeddings": 200000, "rope_scaling": map[string]any{"type": "yarn", "factor": 4, "original_max_position_embeddings": 32768}}, 200000},
		"linear, of the whole":       {map[string]any{"rope_scaling": map[string]any{"type": "linear", "factor": 4}}, 32768},
		"llama3, of the whole":       {map[string]any{"rope_scaling": map[string]any{"rope_type": "llama3", "factor": 4, "low_freq_factor": 1, "high_freq_factor": 4, "original_max_position_embeddings": 8192}}, 32768},
		"linear, of an original":     {map[string]any{"rope_scaling": map[string]any{"type": "linear", "factor": 4, "original_max_position_embeddings": 32768}}, 131072},
		"R1-Distill-Qwen-7B":         {map[string]any{"max_position_embeddings": 131072, "max_window_layers": 28, "rope_theta": 10000, "sliding_window": 4096, "use_mrope": false, "use_sliding_window": false}, 131072},
		"QwQ":                        {map[string]any{"max_position_embeddings": 40960, "sliding_window": 32768, "max_window_layers": 64, "use_sliding_window": false}, 40960},
		"Coder":                      {map[string]any{"sliding_window": 131072, "max_window_layers": 28}, 32768},
		"Math":                       {map[string]any{"max_position_embeddings": 4096, "rope_theta": 10000}, 4096},
		"7B-Instruct-1M":             {map[string]any{"max_position_embeddings": 1010000, "rope_theta": 1e7, "dual_chunk_attention_config": map[string]any{"chunk_size": 262144, "local_size": 8192, "original_max_position_embeddings": 262144}}, 262144},
		"architectures not said":     {map[string]any{"architectures": nil}, 32768},
		"a causal model, as it says": {map[string]any{"is_causal": true}, 32768},
	} {
		got, err := Family.Parse(edit(t, c.change))
		require.NoError(t, err, name)
		require.Equal(t, c.positions, got.MaxPositions, name)
		back, err := Family.Parse(got.JSON())
		require.NoError(t, err, name)
		require.Equal(t, got, back, name)
	}
}

// Windows by count and by name; one that is off is none.
func TestWindows(t *testing.T) {
	for name, c := range map[string]struct {
		change map[string]any
		window int
		layers int // with it, the last ones
	}{
		"from a layer on":    {map[string]any{"use_sliding_window": true, "sliding_window": 32, "max_window_layers": 20}, 32, 4},
		"in no layer":        {map[string]any{"use_sliding_window": true, "sliding_window": 32, "max_window_layers": 24}, 0, 0},
		"by default":         {map[string]any{"use_sliding_window": true, "max_window_layers": 23}, 4096, 1},
		"the longest":        {map[string]any{"use_sliding_window": true, "sliding_window": 1 << 22, "max_window_layers": 23}, 1 << 22, 1},
		"off":                {map[string]any{"use_sliding_window": false, "sliding_window": 32, "max_window_layers": 0}, 0, 0},
		"by name":            {map[string]any{"use_sliding_window": true, "sliding_window": 32, "max_window_layers": 0, "layer_types": append(slices.Repeat([]string{"full_attention"}, 22), "sliding_attention", "sliding_attention")}, 32, 2},
		"all full, by names": {map[string]any{"use_sliding_window": true, "sliding_window": 32, "max_window_layers": 0, "layer_types": slices.Repeat([]string{"full_attention"}, 24)}, 0, 0},
	} {
		got, err := Family.Parse(edit(t, c.change))
		require.NoError(t, err, name)
		require.Equal(t, c.window, got.Window, name)
		for i := range got.Layers {
			want := 0
			if i >= got.Layers-c.layers {
				want = c.window
			}
			require.Equal(t, want > 0, got.Window > 0 && got.Sliding[i], name)
		}
		back, err := Family.Parse(got.JSON())
		require.NoError(t, err, name)
		require.Equal(t, got, back, name)
	}
}

func TestParseScaling(t *testing.T) {
	c, err := Family.Preset("0.5b")
	require.NoError(t, err)
	s, err := decoder.ParseScaling("linear:2.5")
	require.NoError(t, err)
	scaled, err := c.Scaled(s)
	require.NoError(t, err)
	require.Equal(t, 81920, scaled.MaxPositions)
	require.InEpsilon(t, c.InvFreq()[3]/2.5, scaled.InvFreq()[3], 1e-7)
	back, err := Family.Parse(scaled.JSON())
	require.NoError(t, err)
	require.Equal(t, scaled, back)
	_, err = scaled.Scaled(s)
	require.EqualError(t, err, "config.json scales RoPE already: linear by 2.5")
	for _, bad := range []string{"", "yarn", "yarn:", "yarn:0.5", "yarn:NaN", "ntk:2", "yarn:4x", "linear:1e9"} {
		_, err := decoder.ParseScaling(bad)
		require.ErrorContains(t, err, "want yarn:FACTOR or linear:FACTOR with a factor of 1 to 1024, such as yarn:4")
	}
}

func TestConfigErrors(t *testing.T) {
	for want, change := range map[string]map[string]any{
		`num_attention_heads is missing`:                                                       {"num_attention_heads": nil},
		`rms_norm_eps is 0, want 1e-30 to 1`:                                                   {"rms_norm_eps": 0},
		`rms_norm_eps is -1e-06, want 1e-30 to 1`:                                              {"rms_norm_eps": -1e-6},
		`rms_norm_eps is 1e+300, want 1e-30 to 1`:                                              {"rms_norm_eps": 1e300},
		`rms_norm_eps is 1e-300, want 1e-30 to 1`:                                              {"rms_norm_eps": 1e-300},
		`rope_theta is 1e-200, want 1 to 1e+30`:                                                {"rope_theta": 1e-200},
		`rope_theta is -10000, want 1 to 1e+30`:                                                {"rope_theta": -1e4},
		`rope_theta is 1e+300, want 1 to 1e+30`:                                                {"rope_theta": 1e300},
		`rms_norm_eps is string, want a number`:                                                {"rms_norm_eps": "NaN"},
		`num_hidden_layers is 2000000000, want 1 to 1024`:                                      {"num_hidden_layers": 2000000000},
		`hidden_size 896 is not divisible by num_attention_heads 13, and there is no head_dim`: {"num_attention_heads": 13, "head_dim": nil},
		`num_attention_heads 14 is not divisible by num_key_value_heads 4`:                     {"num_key_value_heads": 4},
		`head_dim is 63, want an even number of at most 4096`:                                  {"head_dim": 63},
		`head_dim is 1000000, want 1 to 4096`:                                                  {"head_dim": 1000000},
		`this is a two\nlines model; foundry compiles qwen2`:                                   {"model_type": "two\nlines"},
		`this is a two\nlines; foundry compiles Qwen2ForCausalLM`:                              {"architectures": []string{"two\nlines"}},
		`this is a llama model; foundry compiles qwen2`:                                        {"model_type": "llama"},
		`model_type is missing`:                                                                {"model_type": nil},
		`hidden_act is "gelu", want "silu"`:                                                    {"hidden_act": "gelu"},
		`vocab_size is -1, want 1 to 4194304`:                                                  {"vocab_size": -1},
		`rope_scaling: the type "dynamic" is not supported (linear, yarn and llama3 are)`:      {"rope_scaling": map[string]any{"type": "dynamic", "factor": 4}},
		`rope_parameters: the type "longrope" is not supported`:                                {"rope_parameters": map[string]any{"rope_type": "longrope"}},
		`rope_parameters: the factor is 0, want 1 to 1024`:                                     {"rope_parameters": map[string]any{"rope_type": "linear"}},
		`rope_scaling: the factor is 0.5, want 1 to 1024`:                                      {"rope_scaling": map[string]any{"rope_type": "yarn", "factor": 0.5}},
		`rope_scaling: there is a factor of 2, but no rope_type`:                               {"rope_scaling": map[string]any{"factor": 2}},
		`rope_scaling: beta_fast is 1 and beta_slow 2, want beta_fast >= beta_slow > 0`:        {"rope_scaling": map[string]any{"rope_type": "yarn", "factor": 2, "beta_fast": 1, "beta_slow": 2}},
		`rope_scaling: the attention factor is -1, want above 0, up to 100`:                    {"rope_scaling": map[string]any{"rope_type": "yarn", "factor": 2, "attention_factor": -1}},
		`rope_scaling: llama3 wants high_freq_factor > low_freq_factor > 0`:                    {"rope_scaling": map[string]any{"rope_type": "llama3", "factor": 2, "low_freq_factor": 1, "high_freq_factor": 1}},
		`rope_scaling: original_max_position_embeddings is missing or not`:                     {"rope_scaling": map[string]any{"rope_type": "yarn", "factor": 2, "original_max_position_embeddings": 0}},
		`rope_scaling: partial_rotary_factor is 0.5`:                                           {"rope_scaling": map[string]any{"rope_type": "default", "partial_rotary_factor": 0.5}},
		`rope_parameters: each kind of layer has its own`:                                      {"rope_parameters": map[string]any{"full_attention": map[string]any{}}},
		`yarn needs a rope_theta above 1`:                                                      {"rope_theta": 1, "rope_scaling": map[string]any{"rope_type": "yarn", "factor": 2}},
		`this is a Qwen2Model; foundry compiles Qwen2ForCausalLM`:                              {"architectures": []string{"Qwen2Model"}},
		`this is a Qwen2ForRewardModel; foundry compiles Qwen2ForCausalLM`:                     {"architectures": []string{"Qwen2ForRewardModel"}},
		`is_causal is false`:                                                                   {"is_causal": false},
		`use_mrope is true`:                                                                    {"use_mrope": true},
		`config.json: dual_chunk_attention_config: chunk_size is 5 and local_size 6, want 0 <= local_size < chunk_size <= 2147483647`:          {"dual_chunk_attention_config": map[string]any{"chunk_size": 5, "local_size": 6}},
		`config.json: dual_chunk_attention_config: chunk_size is 5 and local_size 5, want`:                                                     {"dual_chunk_attention_config": map[string]any{"chunk_size": 5, "local_size": 5}},
		`config.json: dual_chunk_attention_config: chunk_size is 5 and local_size -1, want`:                                                    {"dual_chunk_attention_config": map[string]any{"chunk_size": 5, "local_size": -1}},
		`config.json: dual_chunk_attention_config: chunk_size is 2147483648 and local_size 0, want 0 <= local_size < chunk_size <= 2147483647`: {"dual_chunk_attention_config": map[string]any{"chunk_size": 1 << 31}},
		`dual_chunk_attention_config: original_max_position_embeddings is 0, want 1 and more`:                                                  {"dual_chunk_attention_config": map[string]any{"chunk_size": 5, "local_size": 1, "original_max_position_embeddings": 0}},
		`sparse attention is not supported`:                                      {"dual_chunk_attention_config": map[string]any{"chunk_size": 5, "local_size": 1, "sparse_attention_enabled": true}},
		`rope_theta is missing`:                                                  {"rope_theta": nil},
		`layer_types has 2 entries, want one for each of the 24 layers`:          {"layer_types": []string{"full_attention", "sliding_attention"}},
		`layer_types[23] is "chunked", want "full_attention" or`:                 {"layer_types": append(slices.Repeat([]string{"full_attention"}, 23), "chunked")},
		`layer_types[0] is "sliding_attention", but use_sliding_window is false`: {"layer_types": slices.Repeat([]string{"sliding_attention"}, 24)},
		`sliding_window is 0, want 1 to 4194304`:                                 {"use_sliding_window": true, "sliding_window": 0, "max_window_layers": 3},
		`config.json: hidden_size is string, want an integer`:                    {"hidden_size": "896"},
		`config.json: hidden_size is number 896.5, want an integer`:              {"hidden_size": 896.5},
	} {
		_, err := Family.Parse(edit(t, change))
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "\n")
	}
	for raw, want := range map[string]string{
		"":                      "config.json: not JSON: unexpected end of JSON input",
		"{":                     "config.json: not JSON",
		"[1, 2]":                "config.json: holds array, want an object",
		"null":                  "config.json: model_type is missing",
		`{"rms_norm_eps": NaN}`: "config.json: not JSON: invalid character 'N'",
		`{"rope_theta": 1e400}`: "config.json: rope_theta is number 1e400, want a number within float64's range",
		`{"vocab_size": 1e30}`:  "config.json: vocab_size is number 1e30, want an integer",
	} {
		_, err := Family.Parse([]byte(raw))
		require.ErrorContains(t, err, want)
	}
}

// The positions of chunks are those that attend plainly, up to the longest chunk and from an
// empty window on.
func TestPositionsOfChunks(t *testing.T) {
	for _, c := range []struct {
		chunk map[string]any
		want  int
	}{
		{map[string]any{"chunk_size": 5, "local_size": 0}, 5}, {map[string]any{"chunk_size": 5, "local_size": 4}, 5},
		{map[string]any{"chunk_size": 5, "local_size": 1, "original_max_position_embeddings": 3}, 3}, {map[string]any{"chunk_size": 5, "local_size": 1, "original_max_position_embeddings": 1}, 1},
		{map[string]any{"chunk_size": 1<<31 - 1}, 32768}, {map[string]any{"chunk_size": 5, "original_max_position_embeddings": 9}, 5},
	} {
		conf, err := Family.Parse(edit(t, map[string]any{"dual_chunk_attention_config": c.chunk}))
		require.NoError(t, err)
		require.Equal(t, c.want, conf.MaxPositions, "%v", c.chunk)
	}
}

// Whatever the bytes, Parse answers with an error or with a configuration whose
// graph can be built.
func FuzzParse(f *testing.F) {
	c, err := Family.Preset("0.5b")
	require.NoError(f, err)
	f.Add(c.JSON())
	f.Add([]byte(`{"model_type":"qwen2","head_dim":0}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		c, err := Family.Parse(raw)
		if err != nil {
			return
		}
		c.Layers = min(c.Layers, 2) // time, not meaning
		_, err = decoder.Build(c, options(c))
		require.NoError(t, err)
	})
}

// The sizes are those of the published configurations, and have the parameters, in billions with
// and without the embedding, that the model cards name.
func TestPublishedSizes(t *testing.T) {
	for size, want := range map[string]struct {
		numbers    []int // layers, hidden size, intermediate size, heads, heads of keys, vocabulary
		tied       bool
		all, inner float64
	}{
		"0.5b": {[]int{24, 896, 4864, 14, 2, 151936}, true, 0.49, 0.36},
		"1.5b": {[]int{28, 1536, 8960, 12, 2, 151936}, true, 1.54, 1.31},
		"3b":   {[]int{36, 2048, 11008, 16, 2, 151936}, true, 3.09, 2.77},
		"7b":   {[]int{28, 3584, 18944, 28, 4, 152064}, false, 7.61, 6.53},
		"14b":  {[]int{48, 5120, 13824, 40, 8, 152064}, false, 14.7, 13.1},
		"32b":  {[]int{64, 5120, 27648, 40, 8, 152064}, false, 32.5, 31.0},
		"72b":  {[]int{80, 8192, 29568, 64, 8, 152064}, false, 72.7, 70.0},
	} {
		c, err := Family.Preset(size)
		require.NoError(t, err)
		require.Equal(t, want.numbers, []int{c.Layers, c.Hidden, c.Intermediate, c.Heads, c.KVHeads, c.Vocab}, size)
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
		require.InDelta(t, want.all, all, 0.01*want.all, size)
		require.InDelta(t, want.inner, all-embedding, 0.01*want.inner, size)
	}
}
