// Package qwen25 is the family of Qwen2.5 and what else has the model_type qwen2:
// biases at q, k and v, and heads that divide the hidden size.
//
// Read next: foundry/frontends/decoder, which reads its configurations and emits its
// graphs.
package qwen25

import "foundry/frontends/decoder"

// Family says how Qwen2.5 differs from other families.
var Family = decoder.Family{
	Arch:    decoder.Arch{ModelType: "qwen2", Class: "Qwen2ForCausalLM", QKVBias: true},
	Name:    "Qwen2.5",
	Shared:  decoder.Config{MaxPositions: 32768, NormEps: 1e-6, RopeTheta: 1e6},
	Further: further,
	Sizes: []decoder.Preset{
		{Size: "0.5b", Layers: 24, Hidden: 896, Intermediate: 4864, Heads: 14, KVHeads: 2, HeadDim: 64, Vocab: 151936, Tied: true},
		{Size: "1.5b", Layers: 28, Hidden: 1536, Intermediate: 8960, Heads: 12, KVHeads: 2, HeadDim: 128, Vocab: 151936, Tied: true},
		{Size: "3b", Layers: 36, Hidden: 2048, Intermediate: 11008, Heads: 16, KVHeads: 2, HeadDim: 128, Vocab: 151936, Tied: true},
		{Size: "7b", Layers: 28, Hidden: 3584, Intermediate: 18944, Heads: 28, KVHeads: 4, HeadDim: 128, Vocab: 152064},
		{Size: "14b", Layers: 48, Hidden: 5120, Intermediate: 13824, Heads: 40, KVHeads: 8, HeadDim: 128, Vocab: 152064},
		{Size: "32b", Layers: 64, Hidden: 5120, Intermediate: 27648, Heads: 40, KVHeads: 8, HeadDim: 128, Vocab: 152064},
		{Size: "72b", Layers: 80, Hidden: 8192, Intermediate: 29568, Heads: 64, KVHeads: 8, HeadDim: 128, Vocab: 152064},
	},
}
