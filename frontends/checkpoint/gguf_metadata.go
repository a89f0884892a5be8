package checkpoint

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"slices"
	"strings"
)

// ggufMetadata makes a GGUF file's metadata from the files of a checkpoint.
func ggufMetadata(s Source, fileType uint32, quantised bool) ([]ggufEntry, error) {
	raw, err := s.File("config.json")
	if err != nil {
		return nil, err
	}
	var config map[string]any
	if err := json.Unmarshal(raw, &config); err != nil {
		return nil, fmt.Errorf("config.json is not readable: %w", err)
	}
	arch, _ := config["model_type"].(string)
	if !slices.Contains(ggufArchitectures, arch) {
		return nil, fmt.Errorf("config.json: model_type is %v, only %s can be written", config["model_type"], strings.Join(ggufArchitectures, " and "))
	}
	// The newer form keeps the base in an object of its own.
	if rope, ok := config["rope_parameters"].(map[string]any); ok && config["rope_theta"] == nil {
		config["rope_theta"] = rope["rope_theta"]
	}
	meta := []ggufEntry{
		{"general.architecture", arch},
		{"general.name", filepath.Base(s.Label())},
		{"general.file_type", fileType},
	}
	if quantised {
		meta = append(meta, ggufEntry{"general.quantization_version", uint32(2)})
	}
	for _, k := range configKeys {
		v, given := config[k.config].(float64)
		whole := k.config != "rms_norm_eps" && k.config != "rope_theta"
		switch {
		case !given && k.optional:
		case !given:
			return nil, fmt.Errorf("config.json: %s is missing or no number", k.config)
		case whole && (v != math.Trunc(v) || v < 0 || v > math.MaxUint32):
			return nil, fmt.Errorf("config.json: %s is %v, which is no count", k.config, v)
		case whole:
			meta = append(meta, ggufEntry{arch + "." + k.meta, uint32(v)})
		default:
			meta = append(meta, ggufEntry{arch + "." + k.meta, float32(v)})
		}
	}
	scaling, err := ggufScaling(arch, config)
	if err != nil {
		return nil, err
	}
	meta = append(meta, scaling...)
	raw, err = s.File("tokenizer.json")
	if errors.Is(err, fs.ErrNotExist) { // llama.cpp wants both of a model without one
		rows, _ := config["vocab_size"].(float64)
		return append(meta, ggufEntry{"tokenizer.ggml.model", "none"}, ggufEntry{arch + ".vocab_size", uint32(rows)}), nil
	}
	if err != nil {
		return nil, err
	}
	vocab, _ := config["vocab_size"].(float64)
	tokens, err := ggufTokens(raw, int(min(vocab, 1<<24)))
	if err != nil {
		return nil, fmt.Errorf("tokenizer.json: %w", err)
	}
	meta = append(meta, tokens...)
	for _, token := range []string{"bos", "eos"} {
		if id, ok := config[token+"_token_id"].(float64); ok && id >= 0 && id < vocab {
			meta = append(meta, ggufEntry{"tokenizer.ggml." + token + "_token_id", uint32(id)})
		}
	}
	if meta, err = appendTurnEnd(meta, s, config["eos_token_id"], vocab); err != nil {
		return nil, err
	}
	meta = append(meta, ggufEntry{"tokenizer.ggml.add_bos_token", false})
	return appendChatTemplate(meta, s)
}

// ggufTokens turns a tokenizer.json into the token lists; the vocabulary is
// padded to size with tokens that are marked unused.
func ggufTokens(raw []byte, size int) ([]ggufEntry, error) {
	var f struct {
		Added []struct {
			ID      int
			Content string
			Special bool
		} `json:"added_tokens"`
		PreTokenizer json.RawMessage `json:"pre_tokenizer"`
		Model        struct {
			Vocab  map[string]int
			Merges []json.RawMessage
		}
	}
	if err := json.Unmarshal(raw, &f); err != nil {
		return nil, fmt.Errorf("not readable: %w", err)
	}
	pre, err := preTokenizerName(f.PreTokenizer)
	if err != nil {
		return nil, err
	}
	tokens, types := make([]string, size), make([]int32, size)
	for id := range tokens {
		tokens[id], types[id] = fmt.Sprintf("[PAD%d]", id), tokenUnused
	}
	set := func(id int, token string, kind int32) error {
		if id < 0 || id >= size {
			return fmt.Errorf("token %q has id %d, but config.json's vocab_size is %d", token, id, size)
		}
		tokens[id], types[id] = token, kind
		return nil
	}
	for token, id := range f.Model.Vocab {
		if err := set(id, token, tokenNormal); err != nil {
			return nil, err
		}
	}
	for _, a := range f.Added {
		kind := int32(tokenUserDefined)
		if a.Special {
			kind = tokenControl
		}
		if err := set(a.ID, a.Content, kind); err != nil {
			return nil, err
		}
	}
	merges := make([]string, len(f.Model.Merges))
	for i, m := range f.Model.Merges {
		if merges[i], err = joinedMerge(m); err != nil {
			return nil, fmt.Errorf("merge %d: %w", i, err)
		}
	}
	return []ggufEntry{
		{"tokenizer.ggml.model", "gpt2"},
		{"tokenizer.ggml.pre", pre},
		{"tokenizer.ggml.tokens", tokens},
		{"tokenizer.ggml.token_type", types},
		{"tokenizer.ggml.merges", merges},
	}, nil
}

// joinedMerge reads a merge in either of its two forms and returns "a b".
func joinedMerge(raw []byte) (string, error) {
	var joined string
	if json.Unmarshal(raw, &joined) == nil {
		return joined, nil
	}
	var pair []string
	if err := json.Unmarshal(raw, &pair); err != nil || len(pair) != 2 {
		return "", fmt.Errorf("neither \"a b\" nor [\"a\", \"b\"]")
	}
	return pair[0] + " " + pair[1], nil
}

// preTokenizerName finds GGUF's name for the split pattern in use.
func preTokenizerName(preTokenizer []byte) (string, error) {
	var sequence struct {
		Pretokenizers []struct {
			Pattern struct{ Regex string }
		}
	}
	if len(preTokenizer) > 0 {
		if err := json.Unmarshal(preTokenizer, &sequence); err != nil {
			return "", fmt.Errorf("pre_tokenizer: %w", err)
		}
	}
	for _, part := range sequence.Pretokenizers {
		for name, pattern := range splitPatterns {
			if part.Pattern.Regex == pattern {
				return name, nil
			}
		}
	}
	return "", fmt.Errorf("its split pattern has no name in GGUF")
}

// appendChatTemplate adds the model's chat template: a file of its own, or the text or
// the named texts of tokenizer_config.json.
func appendChatTemplate(meta []ggufEntry, s Source) ([]ggufEntry, error) {
	raw, err := s.File("chat_template.jinja")
	if err == nil {
		return append(meta, ggufEntry{chatTemplateKey, string(raw)}), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	raw, err = s.File("tokenizer_config.json")
	if errors.Is(err, fs.ErrNotExist) {
		return meta, nil
	}
	if err != nil {
		return nil, err
	}
	var config struct {
		ChatTemplate json.RawMessage `json:"chat_template"`
	}
	if err := json.Unmarshal(raw, &config); err != nil {
		return nil, fmt.Errorf("tokenizer_config.json is not readable: %w", err)
	}
	var text string
	var named []namedTemplate
	switch {
	case len(config.ChatTemplate) == 0:
	case json.Unmarshal(config.ChatTemplate, &text) == nil:
		named = []namedTemplate{{"default", text}}
	case json.Unmarshal(config.ChatTemplate, &named) != nil:
		return nil, errors.New("tokenizer_config.json: chat_template is neither a text nor a list of named templates")
	}
	for _, t := range named {
		switch {
		case t.Template == "":
		case t.Name == "default":
			meta = append(meta, ggufEntry{chatTemplateKey, t.Template})
		default:
			meta = append(meta, ggufEntry{chatTemplateKey + "." + t.Name, t.Template})
		}
	}
	return meta, nil
}

// ggufScaling writes what config.json says of positions beyond those that the model
// was trained on, in either of its spellings.
func ggufScaling(arch string, config map[string]any) ([]ggufEntry, error) {
	if config["use_sliding_window"] == true {
		return nil, errors.New("config.json: use_sliding_window is true, which has no form in a GGUF file of " + arch)
	}
	rope, ok := config["rope_scaling"].(map[string]any)
	if !ok || len(rope) == 0 {
		rope, _ = config["rope_parameters"].(map[string]any)
	}
	kind := rope["rope_type"]
	if kind == nil {
		kind = rope["type"]
	}
	switch kind {
	case nil, "default":
		return nil, nil
	case "linear", "yarn":
	default:
		return nil, fmt.Errorf("config.json: rope_scaling of type %v has no form in GGUF", kind)
	}
	factor, ok := rope["factor"].(float64)
	if !ok || !(factor > 0) {
		return nil, fmt.Errorf("config.json: the factor of rope_scaling is %v, want a positive number", rope["factor"])
	}
	if kind == "yarn" && (rope["truncate"] == false || rope["mscale"] != nil && rope["attention_factor"] == nil) {
		return nil, errors.New("config.json: yarn with truncate false, or with mscale, has no form in GGUF")
	}
	keys := arch + ".rope.scaling."
	out := []ggufEntry{{keys + "type", kind}, {keys + "factor", float32(factor)}}
	if kind == "linear" {
		return out, nil
	}
	if n, ok := rope["original_max_position_embeddings"].(float64); ok && n > 0 && n < math.MaxUint32 {
		out = append(out, ggufEntry{keys + "original_context_length", uint32(n)})
	}
	for _, beta := range []string{"beta_fast", "beta_slow"} {
		if x, ok := rope[beta].(float64); ok {
			out = append(out, ggufEntry{keys + "yarn_" + beta, float32(x)})
		}
	}
	if x, ok := rope["attention_factor"].(float64); ok { // config.json replaces, llama.cpp multiplies
		out = append(out, ggufEntry{keys + "attn_factor", float32(x / (1 + 0.1*math.Log(factor)))})
	}
	return out, nil
}

// appendTurnEnd adds the first token beside eos that generation_config.json says ends
// a text.
func appendTurnEnd(meta []ggufEntry, s Source, eos any, vocab float64) ([]ggufEntry, error) {
	raw, err := s.File("generation_config.json")
	if errors.Is(err, fs.ErrNotExist) {
		return meta, nil
	}
	if err != nil {
		return nil, err
	}
	var config struct {
		EOS any `json:"eos_token_id"`
	}
	if err := json.Unmarshal(raw, &config); err != nil {
		return nil, fmt.Errorf("generation_config.json is not readable: %w", err)
	}
	ends, _ := config.EOS.([]any)
	for _, end := range ends {
		if id, ok := end.(float64); ok && end != eos && id >= 0 && id < vocab && id == math.Trunc(id) {
			return append(meta, ggufEntry{"tokenizer.ggml.eot_token_id", uint32(id)}), nil
		}
	}
	return meta, nil
}
