// Package qwen3 is the family of dense Qwen3 models: an RMSNorm over each head of q and
// of k before RoPE, no biases, and heads whose length does not follow from the hidden size.
//
// Read next: foundry/frontends/decoder, which reads its configurations and emits its
// graphs.
package qwen3

import (
	"errors"

	"foundry/frontends/decoder"
)

// Family says how Qwen3 differs from other families.
var Family = decoder.Family{
	Arch:    decoder.Arch{ModelType: "qwen3", Class: "Qwen3ForCausalLM", HeadNorms: true},
	Name:    "Qwen3",
	Shared:  decoder.Config{MaxPositions: 40960, NormEps: 1e-6, RopeTheta: 1e6},
	HeadDim: headDim,
	Further: further,
	Sizes: []decoder.Preset{
		{Size: "0.6b", Layers: 28, Hidden: 1024, Intermediate: 3072, Heads: 16, KVHeads: 8, HeadDim: headDim, Vocab: vocab, Tied: true},
		{Size: "1.7b", Layers: 28, Hidden: 2048, Intermediate: 6144, Heads: 16, KVHeads: 8, HeadDim: headDim, Vocab: vocab, Tied: true},
		{Size: "4b", Layers: 36, Hidden: 2560, Intermediate: 9728, Heads: 32, KVHeads: 8, HeadDim: headDim, Vocab: vocab, Tied: true},
		{Size: "8b", Layers: 36, Hidden: 4096, Intermediate: 12288, Heads: 32, KVHeads: 8, HeadDim: headDim, Vocab: vocab},
		{Size: "14b", Layers: 40, Hidden: 5120, Intermediate: 17408, Heads: 40, KVHeads: 8, HeadDim: headDim, Vocab: vocab},
		{Size: "32b", Layers: 64, Hidden: 5120, Intermediate: 25600, Heads: 64, KVHeads: 8, HeadDim: headDim, Vocab: vocab},
	},
	Refused: []decoder.Refused{
		{ModelTypes: []string{"qwen2_moe", "qwen2moe", "qwen3_moe", "qwen3moe", "qwen3_vl_moe", "qwen3vlmoe"}, Why: "its layers choose among experts"},
		{ModelTypes: []string{"qwen3_next", "qwen3next", "qwen3_5", "qwen3_5_text", "qwen35", "qwen3_5_moe", "qwen3_5_moe_text", "qwen35moe"},
			Why: "most of its layers have linear attention"},
		{ModelTypes: []string{"qwen2_vl", "qwen2vl", "qwen2_5_vl", "qwen3_vl", "qwen3_vl_text", "qwen3vl", "qwen2_5_omni", "qwen3_omni_moe", "qwen2_audio"},
			Why: "it sees or hears, and turns by places in pictures"},
	},
}

// What all published sizes have.
const (
	headDim = 128
	vocab   = 151936
)

// further refuses the biases that a configuration of the family may ask for, and that no
// published model has.
func further(raw []byte) (most int, err error) {
	var x struct {
		AttentionBias bool  `json:"attention_bias"`
		Causal        *bool `json:"is_causal"`
	}
	if err := decoder.ReadJSON(raw, &x); err != nil {
		return 0, err
	}
	switch {
	case x.AttentionBias:
		return 0, errors.New("attention_bias is true; foundry compiles Qwen3 without biases, as it is published")
	case x.Causal != nil && !*x.Causal:
		return 0, errors.New("is_causal is false: the model attends to what follows too; foundry compiles causal attention only")
	}
	return 0, nil
}
