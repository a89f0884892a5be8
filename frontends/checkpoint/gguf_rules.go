package checkpoint

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"math"
)

// What llama.cpp reads of a qwen2 or qwen3 file is obeyed, here and in configKeys, or refused.
// Keys that it reads for other architectures only change nothing.

// rules are the keys behind the architecture's name for which config.json has no
// word: the value that they must have, where they are given, and why.
var rules = []struct {
	key  string
	want func(config map[string]any) any // the value that the metadata or config.json holds
	why  string
}{
	{"rope.dimension_count", headDim, "rope turns whole heads"},
	{"attention.value_length", headDim, "values are as long as keys"},
	{"vocab_size", func(c map[string]any) any { return c["vocab_size"] }, "that many rows the embedding has"},
	{"attention.causal", func(map[string]any) any { return true }, "the model is an encoder"},
	{"pooling_type", func(map[string]any) any { return 0 }, "the model makes embeddings"},
	{"expert_count", func(map[string]any) any { return 0 }, "the model has experts"},
	{"rope.scaling.yarn_ext_factor", func(map[string]any) any { return 1 }, "yarn is taken as published"},
	{"rope.scaling.yarn_attn_factor", func(map[string]any) any { return 1 }, "yarn is taken as published"},
}

// headDim is the length of a head: where none is given, the hidden size over the heads,
// and nil where they do not divide it.
func headDim(c map[string]any) any {
	if d, given := c["head_dim"]; given {
		return d
	}
	number := func(key string) int64 {
		n, _ := c[key].(json.Number)
		v, _ := n.Int64()
		return v
	}
	heads := max(1, number("num_attention_heads"))
	if number("hidden_size")%heads != 0 {
		return nil
	}
	return number("hidden_size") / heads
}

func (f *gguf) checkRules(arch string, config map[string]any) error {
	for _, r := range rules {
		key := arch + "." + r.key
		have, given := f.meta[key]
		if !given {
			continue
		}
		if n, err := jsonNumber(have); err == nil {
			have = n
		}
		if want := r.want(config); fmt.Sprint(have) != fmt.Sprint(want) {
			return fmt.Errorf("metadata %q is %s, only %v is supported: %s", key, shown(have), want, r.why)
		}
	}
	return nil
}

// ropeScaling adds rope_scaling to a config.json. A factor without a type is linear,
// and the older key scale_linear is a factor.
func (f *gguf) ropeScaling(arch string, config map[string]any) error {
	read := func(key string) (float64, bool, error) {
		v, given := f.meta[arch+"."+key]
		if !given {
			return 0, false, nil
		}
		n, err := jsonNumber(v)
		if err != nil {
			return 0, true, fmt.Errorf("metadata %q %w", arch+"."+key, err)
		}
		x, err := n.Float64()
		return x, true, err
	}
	factor, given, err := read("rope.scaling.factor")
	if err == nil && !given {
		factor, _, err = read("rope.scale_linear")
	}
	if err != nil {
		return err
	}
	kind := f.meta[arch+".rope.scaling.type"]
	if kind == nil {
		kind = "linear"
	}
	switch {
	case kind == "none", kind == "linear" && (factor == 0 || factor == 1):
		return nil
	case kind != "yarn":
		config["rope_scaling"] = map[string]any{"rope_type": kind, "factor": factor}
		return nil
	}
	out := map[string]any{"rope_type": kind, "factor": factor, "original_max_position_embeddings": config["max_position_embeddings"]}
	config["rope_scaling"] = out
	for key, name := range map[string]string{
		"rope.scaling.original_context_length": "original_max_position_embeddings",
		"rope.scaling.yarn_beta_fast":          "beta_fast",
		"rope.scaling.yarn_beta_slow":          "beta_slow",
	} {
		x, given, err := read(key)
		if err != nil {
			return err
		}
		if given {
			out[name] = x
		}
	}
	attention, given, err := read("rope.scaling.attn_factor")
	if given && attention != 1 { // llama.cpp multiplies, config.json replaces
		out["attention_factor"] = attention * (1 + 0.1*math.Log(factor))
	}
	return err
}

// addEndTokens adds to a tokenizer.json the tokens that stand around every text.
func (f *gguf) addEndTokens(tokens []string, tokenizer map[string]any) error {
	const keys = "tokenizer.ggml."
	text := []any{map[string]any{"Sequence": map[string]any{"id": "A", "type_id": 0}}}
	special := map[string]any{}
	for _, token := range []string{"bos", "eos"} {
		switch add := f.meta[keys+"add_"+token+"_token"]; add {
		case nil, false:
			continue
		case true:
		default:
			return fmt.Errorf("metadata %q is %s, want true or false", keys+"add_"+token+"_token", shown(add))
		}
		id, ok := f.meta[keys+token+"_token_id"].(uint64)
		if !ok || id >= uint64(len(tokens)) {
			return fmt.Errorf("metadata %q is true, but %q is no token", keys+"add_"+token+"_token", keys+token+"_token_id")
		}
		part := map[string]any{"SpecialToken": map[string]any{"id": tokens[id], "type_id": 0}}
		special[tokens[id]] = map[string]any{"id": tokens[id], "ids": []uint64{id}, "tokens": []string{tokens[id]}}
		if token == "bos" {
			text = append([]any{part}, text...)
		} else {
			text = append(text, part)
		}
	}
	if len(special) > 0 {
		tokenizer["post_processor"] = map[string]any{"type": "TemplateProcessing", "single": text, "pair": text, "special_tokens": special}
	}
	return nil
}

// generationConfig lists the tokens that end a text: of the file, of a turn and of a
// message.
func (f *gguf) generationConfig() ([]byte, error) {
	var ends []uint64
	for _, token := range []string{"eos", "eot", "eom"} {
		if id, ok := f.meta["tokenizer.ggml."+token+"_token_id"].(uint64); ok {
			ends = append(ends, id)
		}
	}
	if len(ends) == 0 {
		return nil, fmt.Errorf("the file names no end of text: %w", fs.ErrNotExist)
	}
	return json.Marshal(map[string]any{"eos_token_id": ends})
}
