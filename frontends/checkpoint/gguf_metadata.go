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
		return nil, fmt.Errorf("config.json: model_type is %s, only %s can be written", shown(config["model_type"]), strings.Join(ggufArchitectures, " and "))
	}
	if theta := ropeObject(config)["rope_theta"]; theta != nil { // the newer form, which counts first
		config["rope_theta"] = theta
	}
	if err := plainPositions(config); err != nil {
		return nil, err
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
	vocab, _ := config["vocab_size"].(float64)
	raw, err = s.File("tokenizer.json")
	if errors.Is(err, fs.ErrNotExist) { // llama.cpp wants both of a model without one
		if _, err := s.File("vocab.json"); err == nil {
			return nil, errors.New("its tokenizer lies in vocab.json and merges.txt, which have no form in GGUF: save it with transformers, which makes a tokenizer.json")
		}
		return append(meta, ggufEntry{"tokenizer.ggml.model", "none"}, ggufEntry{arch + ".vocab_size", uint32(vocab)}), nil
	}
	if err != nil {
		return nil, err
	}
	t, err := parseGGUFTokens(raw)
	if err != nil {
		return nil, fmt.Errorf("tokenizer.json: %w", err)
	}
	if vocab < 0 || vocab > maxTokens { // before there is room for a text of each
		return nil, fmt.Errorf("config.json: vocab_size is %.0f, want 0 to %d", vocab, maxTokens)
	}
	tokens, err := t.lists(int(vocab))
	if err != nil {
		return nil, fmt.Errorf("tokenizer.json: %w", err)
	}
	ids, err := t.special(s, config)
	if err != nil {
		return nil, err
	}
	meta = append(meta, tokens...)
	for _, token := range []string{"bos", "eos"} {
		if id, ok := ids[token]; ok {
			meta = append(meta, ggufEntry{"tokenizer.ggml." + token + "_token_id", uint32(id)})
		}
	}
	if meta, err = appendTurnEnd(meta, s, ids, vocab); err != nil {
		return nil, err
	}
	edges, err := t.edges(ids)
	if err != nil {
		return nil, fmt.Errorf("tokenizer.json: %w", err)
	}
	return appendChatTemplate(append(meta, edges...), s)
}

// maxTokens is far above the largest vocabularies, of some 260,000 tokens.
const maxTokens = 1 << 24

// plainPositions takes max_position_embeddings down to the tokens for which dual chunk
// attention, for which GGUF has no word, is plain attention.
func plainPositions(config map[string]any) error {
	dual, ok := config["dual_chunk_attention_config"].(map[string]any)
	if !ok {
		return nil
	}
	positions, ok := config["max_position_embeddings"].(float64)
	chunk, given := dual["chunk_size"].(float64)
	if !ok || !given {
		return errors.New("config.json: dual_chunk_attention_config without chunk_size, or no max_position_embeddings")
	}
	if original, given := dual["original_max_position_embeddings"].(float64); given {
		chunk = min(chunk, original)
	}
	config["max_position_embeddings"] = min(positions, chunk)
	return nil
}

// ropeObject is the object of config.json that counts for positions: rope_scaling where
// it says anything, otherwise rope_parameters.
func ropeObject(config map[string]any) map[string]any {
	if rope, ok := config["rope_scaling"].(map[string]any); ok && len(rope) > 0 {
		return rope
	}
	rope, _ := config["rope_parameters"].(map[string]any)
	return rope
}

// appendChatTemplate adds the model's chat template: a file of its own, or the text or
// the named texts of chat_template.json or tokenizer_config.json.
func appendChatTemplate(meta []ggufEntry, s Source) ([]ggufEntry, error) {
	raw, err := s.File("chat_template.jinja")
	if err == nil {
		meta = append(meta, ggufEntry{chatTemplateKey, string(raw)})
		if raw, err = s.File(toolTemplateFile); err == nil {
			return append(meta, ggufEntry{chatTemplateKey + "." + toolTemplate, string(raw)}), nil
		}
		if errors.Is(err, fs.ErrNotExist) {
			return meta, nil
		}
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	from := "chat_template.json"
	raw, err = s.File(from)
	if errors.Is(err, fs.ErrNotExist) {
		from = "tokenizer_config.json"
		raw, err = s.File(from)
	}
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
		return nil, fmt.Errorf("%s is not readable: %w", from, err)
	}
	var text string
	var named []namedTemplate
	switch {
	case len(config.ChatTemplate) == 0:
	case json.Unmarshal(config.ChatTemplate, &text) == nil:
		named = []namedTemplate{{"default", text}}
	case json.Unmarshal(config.ChatTemplate, &named) != nil:
		return nil, fmt.Errorf("%s: chat_template is neither a text nor a list of named templates", from)
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
	rope := ropeObject(config)
	kind := rope["rope_type"]
	if kind == nil {
		kind = rope["type"]
	}
	switch kind {
	case nil, "default":
		return nil, nil
	case "linear", "yarn":
	default:
		return nil, fmt.Errorf("config.json: rope_scaling of type %s has no form in GGUF", shown(kind))
	}
	factor, ok := rope["factor"].(float64)
	if !ok || !(factor > 0) {
		return nil, fmt.Errorf("config.json: the factor of rope_scaling is %s, want a positive number", shown(rope["factor"]))
	}
	if kind == "yarn" && (rope["truncate"] == false || rope["mscale"] != nil && rope["attention_factor"] == nil) {
		return nil, errors.New("config.json: yarn with truncate false, or with mscale, has no form in GGUF")
	}
	keys := arch + ".rope.scaling."
	out := []ggufEntry{{keys + "type", kind}, {keys + "factor", float32(factor)}}
	if kind == "linear" {
		return out, nil
	}
	original := rope["original_max_position_embeddings"]
	if outside := config["original_max_position_embeddings"]; outside != nil {
		original = outside
	}
	if n, ok := original.(float64); ok && n > 0 && n < math.MaxUint32 {
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
func appendTurnEnd(meta []ggufEntry, s Source, special map[string]int, vocab float64) ([]ggufEntry, error) {
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
	eos, known := special["eos"]
	for _, end := range ends {
		if id, ok := end.(float64); ok && !(known && int(id) == eos) && id >= 0 && id < vocab && id == math.Trunc(id) {
			return append(meta, ggufEntry{"tokenizer.ggml.eot_token_id", uint32(id)}), nil
		}
	}
	return meta, nil
}
