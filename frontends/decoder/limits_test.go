package decoder_test

import (
	"encoding/json"
	"maps"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/frontends/qwen25"
)

// Each number of a config.json is taken up to its limits and refused beyond them, in words
// that say which it is and what it may be.
func TestLimitsOfConfigs(t *testing.T) {
	type set = map[string]any
	yarn := func(more set) set {
		s := set{"rope_type": "yarn", "factor": 4, "original_max_position_embeddings": 256}
		maps.Copy(s, more)
		return set{"rope_scaling": s}
	}
	llama := func(low, high any) set {
		return set{"rope_scaling": set{"rope_type": "llama3", "factor": 4, "original_max_position_embeddings": 256, "low_freq_factor": low, "high_freq_factor": high}}
	}
	window := func(size any) set {
		return set{"use_sliding_window": true, "max_window_layers": 1, "sliding_window": size}
	}
	for _, c := range []struct {
		set  set
		want string
	}{
		{set{"num_hidden_layers": 1}, ""}, {set{"num_hidden_layers": 1 << 10}, ""},
		{set{"num_hidden_layers": 0}, "num_hidden_layers is 0, want 1 to 1024"}, {set{"num_hidden_layers": 1<<10 + 1}, "num_hidden_layers is 1025, want 1 to 1024"},
		{set{"hidden_size": 1}, ""}, {set{"hidden_size": 1 << 18}, ""}, {set{"hidden_size": 0}, "hidden_size is 0, want 1 to 262144"}, {set{"hidden_size": 1<<18 + 1}, "hidden_size is 262145, want 1 to 262144"},
		{set{"intermediate_size": 1}, ""}, {set{"intermediate_size": 1 << 18}, ""}, {set{"intermediate_size": 0}, "intermediate_size is 0, want 1 to 262144"}, {set{"intermediate_size": 1<<18 + 1}, "intermediate_size is 262145, want 1 to 262144"},
		{set{"num_attention_heads": 1}, ""}, {set{"num_attention_heads": 1 << 12}, ""},
		{set{"num_attention_heads": 0}, "num_attention_heads is 0, want 1 to 4096"}, {set{"num_attention_heads": 1<<12 + 1}, "num_attention_heads is 4097, want 1 to 4096"},
		{set{"num_key_value_heads": 4}, ""}, {set{"num_key_value_heads": 0}, "num_key_value_heads is 0, want 1 to 4096"}, {set{"num_key_value_heads": 1<<12 + 1}, "num_key_value_heads is 4097, want 1 to 4096"},
		{set{"num_key_value_heads": 3}, "num_attention_heads 4 is not divisible by num_key_value_heads 3"},
		{set{"head_dim": 2}, ""}, {set{"head_dim": 1 << 12}, ""}, {set{"head_dim": 1<<12 + 1}, "head_dim is 4097, want 1 to 4096"},
		{set{"head_dim": 3}, "head_dim is 3, want an even number of at most 4096: RoPE turns pairs"}, {set{"head_dim": 0}, "head_dim is 0, want 1 to 4096"},
		{set{"num_attention_heads": 64, "head_dim": 4096}, ""}, {set{"num_attention_heads": 64, "head_dim": 4096 - 2}, ""}, {set{"num_attention_heads": 65, "head_dim": 4096}, "num_attention_heads 65 times head_dim 4096 is above 262144"},
		{set{"head_dim": nil, "hidden_size": 256}, ""}, {set{"head_dim": nil, "hidden_size": 254}, "hidden_size 254 is not divisible by num_attention_heads 4, and there is no head_dim"},
		{set{"vocab_size": 1}, ""}, {set{"vocab_size": 1 << 22}, ""}, {set{"vocab_size": 0}, "vocab_size is 0, want 1 to 4194304"}, {set{"vocab_size": 1<<22 + 1}, "vocab_size is 4194305, want 1 to 4194304"},
		{set{"max_position_embeddings": 1}, ""}, {set{"max_position_embeddings": 1 << 22}, ""},
		{set{"max_position_embeddings": 0}, "max_position_embeddings is 0, want 1 to 4194304"}, {set{"max_position_embeddings": 1<<22 + 1}, "max_position_embeddings is 4194305, want 1 to 4194304"},
		{set{"rms_norm_eps": 1e-30}, ""}, {set{"rms_norm_eps": 1}, ""}, {set{"rms_norm_eps": 0.9e-30}, "rms_norm_eps is 9e-31, want 1e-30 to 1"}, {set{"rms_norm_eps": 1.1}, "rms_norm_eps is 1.1, want 1e-30 to 1"},
		{set{"rope_theta": 1}, ""}, {set{"rope_theta": 1e30}, ""}, {set{"rope_theta": 0.9}, "rope_theta is 0.9, want 1 to 1e+30"}, {set{"rope_theta": 1.1e30}, "rope_theta is 1.1e+30, want 1 to 1e+30"},
		{set{"num_hidden_layers": "x"}, "num_hidden_layers is string, want an integer"}, {set{"rms_norm_eps": "x"}, "rms_norm_eps is string, want a number within float64's range"},
		{set{"tie_word_embeddings": 1}, "tie_word_embeddings is number, want true or false"}, {set{"hidden_act": 1}, "hidden_act is number, want a string"}, {set{"rope_scaling": 1}, "rope_scaling is number, want another kind of value"},
		{set{"vocab_size": nil}, "vocab_size is missing"}, {set{"rms_norm_eps": nil}, "rms_norm_eps is missing"},

		{window(1), ""}, {window(1 << 22), ""}, {window(0), "sliding_window is 0, want 1 to 4194304"}, {window(1<<22 + 1), "sliding_window is 4194305, want 1 to 4194304"},
		{set{"use_sliding_window": true, "max_window_layers": 2, "sliding_window": 0}, ""},
		{set{"layer_types": []string{"full_attention"}}, "layer_types has 1 entries, want one for each of the 2 layers"},
		{set{"layer_types": []string{"full_attention", "other"}}, `layer_types[1] is "other", want "full_attention" or "sliding_attention"`},
		{set{"layer_types": []string{"full_attention", "sliding_attention"}}, `layer_types[1] is "sliding_attention", but use_sliding_window is false`},

		{yarn(nil), ""}, {yarn(set{"factor": 1}), ""}, {yarn(set{"factor": 0.9}), "rope_scaling: the factor is 0.9, want 1 to 1024"}, {yarn(set{"factor": 1024}), ""}, {yarn(set{"factor": 1025}), "rope_scaling: the factor is 1025, want 1 to 1024"},
		{yarn(set{"original_max_position_embeddings": 1}), ""}, {yarn(set{"original_max_position_embeddings": 1 << 22}), ""},
		{yarn(set{"original_max_position_embeddings": 0}), "rope_scaling: original_max_position_embeddings is missing or not 1 to 4194304"},
		{yarn(set{"original_max_position_embeddings": 1<<22 + 1}), "rope_scaling: original_max_position_embeddings is missing or not 1 to 4194304"},
		{yarn(set{"beta_fast": 2, "beta_slow": 2}), ""}, {yarn(set{"beta_fast": 1.9, "beta_slow": 2}), "rope_scaling: beta_fast is 1.9 and beta_slow 2, want beta_fast >= beta_slow > 0"},
		{yarn(set{"beta_fast": 0, "beta_slow": 0}), ""}, {yarn(set{"beta_slow": -1}), "rope_scaling: beta_fast is 32 and beta_slow -1, want beta_fast >= beta_slow > 0"},
		{yarn(set{"beta_fast": 1 << 22}), ""}, {yarn(set{"beta_fast": 1<<22 + 1}), "rope_scaling: beta_fast is 4.194305e+06 and beta_slow 1, want beta_fast >= beta_slow > 0"},
		{yarn(set{"attention_factor": 100}), ""}, {yarn(set{"attention_factor": 101}), "rope_scaling: the attention factor is 101, want above 0, up to 100"}, {yarn(set{"attention_factor": 0}), "rope_scaling: the attention factor is 0, want above 0, up to 100"},
		{yarn(set{"partial_rotary_factor": 1}), ""}, {yarn(set{"partial_rotary_factor": 0.5}), "rope_scaling: partial_rotary_factor is 0.5; foundry turns whole heads only"},
		{llama(1, 4), ""}, {llama(0, 4), "rope_scaling: llama3 wants high_freq_factor > low_freq_factor > 0"}, {llama(4, 4), "rope_scaling: llama3 wants high_freq_factor > low_freq_factor > 0"},
		{llama(1, 1<<22), ""}, {llama(1, 1<<22+1), "rope_scaling: llama3 wants high_freq_factor > low_freq_factor > 0"}, {llama(nil, 4), "rope_scaling: llama3 wants high_freq_factor > low_freq_factor > 0"},
		{set{"rope_scaling": set{"factor": 1, "rope_type": "default"}}, ""},
		{set{"rope_scaling": set{"factor": 2, "rope_type": "default"}}, "rope_scaling: there is a factor of 2, but no rope_type that says what it does (linear or yarn)"},
	} {
		all := set{
			"model_type": "qwen2", "architectures": []string{"Qwen2ForCausalLM"}, "hidden_act": "silu", "num_hidden_layers": 2, "hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4,
			"num_key_value_heads": 1, "head_dim": 64, "vocab_size": 100, "max_position_embeddings": 1024, "rms_norm_eps": 1e-6, "rope_theta": 1e4,
		}
		maps.Copy(all, c.set)
		raw, err := json.Marshal(all)
		require.NoError(t, err)
		read, err := qwen25.Family.Parse(raw)
		if c.want != "" {
			require.EqualError(t, err, "config.json: "+c.want, "%v", c.set)
			continue
		}
		require.NoError(t, err, "%v", c.set)
		again, err := qwen25.Family.Parse(read.JSON())
		require.NoError(t, err, "%v", c.set)
		require.Equal(t, read, again, "%v", c.set)
	}
}
