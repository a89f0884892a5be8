package checkpoint

import (
	"encoding/json"
	"slices"
	"strings"
)

// ggufArchitectures are the values of general.architecture that the names and keys of
// this package serve. config.json has the same as its model_type.
var ggufArchitectures = []string{"qwen2", "qwen3"}

// ggufNames pairs the names of GGUF with those of Hugging Face: whole names
// first, then those within a layer.
var (
	ggufNames = [][2]string{
		{"token_embd.weight", "model.embed_tokens.weight"},
		{"output_norm.weight", "model.norm.weight"},
		{"output.weight", "lm_head.weight"},
	}
	ggufLayerNames = [][2]string{
		{"attn_norm.weight", "input_layernorm.weight"},
		{"attn_q.weight", "self_attn.q_proj.weight"},
		{"attn_q.bias", "self_attn.q_proj.bias"},
		{"attn_k.weight", "self_attn.k_proj.weight"},
		{"attn_k.bias", "self_attn.k_proj.bias"},
		{"attn_v.weight", "self_attn.v_proj.weight"},
		{"attn_v.bias", "self_attn.v_proj.bias"},
		{"attn_q_norm.weight", "self_attn.q_norm.weight"},
		{"attn_k_norm.weight", "self_attn.k_norm.weight"},
		{"attn_output.weight", "self_attn.o_proj.weight"},
		{"ffn_norm.weight", "post_attention_layernorm.weight"},
		{"ffn_gate.weight", "mlp.gate_proj.weight"},
		{"ffn_up.weight", "mlp.up_proj.weight"},
		{"ffn_down.weight", "mlp.down_proj.weight"},
	}
)

const ggufLayer, huggingFaceLayer = "blk.", "model.layers."

// huggingFaceName returns Hugging Face's name for a tensor of a GGUF file; a
// name that is not known stays, so that whoever wants no such tensor sees it.
func huggingFaceName(name string) string {
	return rename(name, 0, 1, ggufLayer, huggingFaceLayer)
}

func ggufName(name string) string {
	return rename(name, 1, 0, huggingFaceLayer, ggufLayer)
}

// modelTensors lists what a model consists of among a checkpoint's tensors, for programs
// that take nothing else: without rotary tables, without the biases of layers that have
// none, which are zero, and without the head of a tied model, which is the embedding.
func modelTensors(s Source) []string {
	var config struct {
		Tied bool `json:"tie_word_embeddings"`
	}
	if raw, err := s.File("config.json"); err == nil {
		_ = json.Unmarshal(raw, &config) // who writes it reads it whole, and says what is wrong
	}
	return slices.DeleteFunc(s.Names(), func(name string) bool {
		switch {
		case strings.HasSuffix(name, "rotary_emb.inv_freq"):
			return true
		case strings.HasSuffix(name, ".bias"):
			return ggufName(name) == name
		}
		return config.Tied && name == "lm_head.weight"
	})
}

func rename(name string, from, to int, fromLayer, toLayer string) string {
	for _, pair := range ggufNames {
		if pair[from] == name {
			return pair[to]
		}
	}
	if rest, ok := strings.CutPrefix(name, fromLayer); ok {
		if layer, part, ok := strings.Cut(rest, "."); ok {
			for _, pair := range ggufLayerNames {
				if pair[from] == part {
					return toLayer + layer + "." + pair[to]
				}
			}
		}
	}
	return name
}
