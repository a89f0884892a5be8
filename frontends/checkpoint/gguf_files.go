package checkpoint

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// ggufFiles makes, from the metadata, the files that a Hugging Face folder has.
var ggufFiles = map[string]func(*gguf) ([]byte, error){
	"config.json":            (*gguf).config,
	"generation_config.json": (*gguf).generationConfig,
	"tokenizer.json":         (*gguf).tokenizer,
	"tokenizer_config.json":  (*gguf).tokenizerConfig,
}

// configKeys pairs keys of config.json with those of the metadata behind the
// architecture's name.
var configKeys = []struct {
	config, meta string
	optional     bool
}{
	{"num_hidden_layers", "block_count", false},
	{"max_position_embeddings", "context_length", false},
	{"hidden_size", "embedding_length", false},
	{"intermediate_size", "feed_forward_length", false},
	{"num_attention_heads", "attention.head_count", false},
	{"num_key_value_heads", "attention.head_count_kv", true}, // as many as heads
	{"head_dim", "attention.key_length", true},
	{"rms_norm_eps", "attention.layer_norm_rms_epsilon", false},
	{"rope_theta", "rope.freq_base", true},
}

func (f *gguf) config() ([]byte, error) {
	arch, ok := f.meta["general.architecture"].(string)
	if !ok {
		return nil, fmt.Errorf("metadata \"general.architecture\" is missing or no string")
	}
	_, head := f.tensors["output.weight"]
	out := map[string]any{
		"model_type":          arch,
		"tie_word_embeddings": !head,
		"rope_theta":          json.Number("10000"), // GGUF's default
	}
	for _, k := range configKeys {
		key := arch + "." + k.meta
		v, given := f.meta[key]
		if !given && k.optional {
			continue
		}
		n, err := jsonNumber(v)
		if err != nil {
			return nil, fmt.Errorf("metadata %q %w", key, err)
		}
		out[k.config] = n
	}
	if _, given := out["num_key_value_heads"]; !given {
		out["num_key_value_heads"] = out["num_attention_heads"]
	}
	if _, given := out["head_dim"]; !given {
		if d := headDim(out); d != nil { // a config.json without one may mean another length
			out["head_dim"] = d
		}
	}
	if t, ok := f.tensors["token_embd.weight"]; ok && len(t.Shape) == 2 {
		out["vocab_size"] = t.Shape[0]
	}
	if err := f.checkRules(arch, out); err != nil {
		return nil, err
	}
	if err := f.ropeScaling(arch, out); err != nil {
		return nil, err
	}
	for _, token := range []string{"bos", "eos"} {
		if id, ok := f.meta["tokenizer.ggml."+token+"_token_id"].(uint64); ok {
			out[token+"_token_id"] = id
		}
	}
	return json.Marshal(out)
}

// jsonNumber writes a metadata number so that an f32 reads as it was meant:
// 1e-06, not its nearest float64.
func jsonNumber(v any) (json.Number, error) {
	switch v := v.(type) {
	case nil:
		return "", fmt.Errorf("is missing")
	case uint64:
		return json.Number(strconv.FormatUint(v, 10)), nil
	case int64:
		return json.Number(strconv.FormatInt(v, 10)), nil
	case float32:
		return finite(float64(v), 32)
	case float64:
		return finite(v, 64)
	}
	return "", fmt.Errorf("is no number")
}

func finite(v float64, bits int) (json.Number, error) {
	n := json.Number(strconv.FormatFloat(v, 'g', -1, bits))
	if v-v != 0 {
		return "", fmt.Errorf("is %s", n)
	}
	return n, nil
}

// splitPatterns are the published split patterns, by the name that GGUF has for
// the pre-tokenizer.
var splitPatterns = map[string]string{
	"qwen2": `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
}

// samePattern are pre-tokenizers that GGUF names otherwise and that split as another does.
var samePattern = map[string]string{"deepseek-r1-qwen": "qwen2", "kormo": "qwen2", "megrez": "qwen2"}

// The types of tokens, by the format's numbers.
const (
	tokenNormal      = 1
	tokenControl     = 3
	tokenUserDefined = 4
	tokenUnused      = 5 // padding of the vocabulary: no token
)

// tokenizer makes a tokenizer.json from the token lists.
func (f *gguf) tokenizer() ([]byte, error) {
	const keys = "tokenizer.ggml."
	if f.meta[keys+"model"] == "none" {
		return nil, fmt.Errorf("the file has no tokenizer: %w", fs.ErrNotExist)
	}
	if model := f.meta[keys+"model"]; model != "gpt2" {
		return nil, fmt.Errorf("metadata %q is %s: only gpt2, byte-level pairs, is supported", keys+"model", shown(model))
	}
	pre, _ := f.meta[keys+"pre"].(string)
	if other, ok := samePattern[pre]; ok {
		pre = other
	}
	pattern, ok := splitPatterns[pre]
	if !ok {
		return nil, fmt.Errorf("metadata %q is %q: only qwen2 and %s, which split alike, are supported",
			keys+"pre", pre, strings.Join(slices.Sorted(maps.Keys(samePattern)), ", "))
	}
	tokens, ok := f.meta[keys+"tokens"].([]string)
	if !ok {
		return nil, fmt.Errorf("metadata %q is missing or no array of strings", keys+"tokens")
	}
	types, ok := f.meta[keys+"token_type"].(numbers)
	if !ok || types.len() != len(tokens) {
		return nil, fmt.Errorf("metadata %q is not one number for each of the %d tokens", keys+"token_type", len(tokens))
	}
	merges, _ := f.meta[keys+"merges"].([]string)
	vocab := make(map[string]int, len(tokens))
	added := []any{}
	for id, token := range tokens {
		switch kind := types.at(id); kind {
		case int64(tokenNormal):
			if other, twice := vocab[token]; twice {
				return nil, fmt.Errorf("tokens %d and %d are both %q", other, id, token)
			}
			vocab[token] = id
		case int64(tokenControl), int64(tokenUserDefined):
			added = append(added, map[string]any{"id": id, "content": token, "special": kind == int64(tokenControl)})
		case int64(tokenUnused):
		default:
			return nil, fmt.Errorf("token %d, %q, has the type %v, which is not supported", id, token, kind)
		}
	}
	byteLevel := map[string]any{"type": "ByteLevel", "add_prefix_space": false, "use_regex": false}
	split := map[string]any{"type": "Split", "pattern": map[string]any{"Regex": pattern}, "behavior": "Isolated", "invert": false}
	out := map[string]any{
		"added_tokens":  added,
		"normalizer":    map[string]any{"type": "NFC"},
		"pre_tokenizer": map[string]any{"type": "Sequence", "pretokenizers": []any{split, byteLevel}},
		"decoder":       byteLevel,
		"model":         map[string]any{"type": "BPE", "vocab": vocab, "merges": merges},
	}
	if err := f.addEndTokens(tokens, out); err != nil {
		return nil, err
	}
	return json.Marshal(out)
}

// The keys of chat templates: the model's own, and behind a dot the names of others, of
// which the one for conversations with tools counts.
const (
	chatTemplateKey  = "tokenizer.chat_template"
	toolTemplate     = "tool_use"
	toolTemplateFile = "additional_chat_templates/" + toolTemplate + ".jinja"
)

// namedTemplate is an element of chat_template where a model has several.
type namedTemplate struct {
	Name     string `json:"name"`
	Template string `json:"template"`
}

func (f *gguf) tokenizerConfig() ([]byte, error) {
	out := map[string]any{}
	if template, ok := f.meta[chatTemplateKey].(string); ok {
		out["chat_template"] = template
		if tools, ok := f.meta[chatTemplateKey+"."+toolTemplate].(string); ok {
			out["chat_template"] = []namedTemplate{{"default", template}, {toolTemplate, tools}}
		}
	}
	tokens, _ := f.meta["tokenizer.ggml.tokens"].([]string)
	for key, token := range map[string]string{"eos_token": "eos", "bos_token": "bos", "pad_token": "padding"} {
		if id, ok := f.meta["tokenizer.ggml."+token+"_token_id"].(uint64); ok && id < uint64(len(tokens)) {
			out[key] = tokens[id]
		}
	}
	return json.Marshal(out)
}
