package checkpoint

import (
	"encoding/json"
	"io/fs"
	"maps"
	"testing"

	"github.com/stretchr/testify/require"
)

// texts is a checkpoint of files alone.
type texts map[string]string

func (s texts) Label() string               { return "m" }
func (s texts) Names() []string             { return nil }
func (s texts) Info(string) (Info, bool)    { return Info{}, false }
func (s texts) Read(string) ([]byte, error) { return nil, fs.ErrNotExist }
func (s texts) Close() error                { return nil }
func (s texts) File(name string) ([]byte, error) {
	text, ok := s[name]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return []byte(text), nil
}

// ggufMeta writes the metadata of a small model with other files; an empty text removes
// one.
func ggufMeta(t *testing.T, change texts) (map[string]any, error) {
	t.Helper()
	files := texts{
		"config.json": `{"model_type":"qwen2","num_hidden_layers":1,"max_position_embeddings":1000,"hidden_size":8,"intermediate_size":8,
			"num_attention_heads":1,"rms_norm_eps":1e-6,"rope_theta":10000,"vocab_size":8,"bos_token_id":1,"eos_token_id":2}`,
		"tokenizer.json": tokenizerText(t, nil),
	}
	maps.Copy(files, change)
	maps.DeleteFunc(files, func(_, text string) bool { return text == "" })
	entries, err := ggufMetadata(files, 0, false)
	out := map[string]any{}
	for _, e := range entries {
		out[e.key] = e.value
	}
	return out, err
}

// tokenizerText is a tokenizer.json with parts replaced.
func tokenizerText(t *testing.T, parts map[string]any) string {
	t.Helper()
	all := map[string]any{
		"added_tokens": []any{map[string]any{"id": 1, "content": "<a>", "special": true}, map[string]any{"id": 2, "content": "<b>", "special": true}, map[string]any{"id": 3, "content": "<c>"}},
		"pre_tokenizer": map[string]any{"type": "Sequence", "pretokenizers": []any{
			map[string]any{"type": "Split", "pattern": map[string]any{"Regex": splitPatterns["qwen2"]}, "behavior": "Isolated"},
			map[string]any{"type": "ByteLevel", "add_prefix_space": false, "use_regex": false},
		}},
		"model": map[string]any{"type": "BPE", "vocab": map[string]any{"x": 0}},
	}
	maps.Copy(all, parts)
	raw, err := json.Marshal(all)
	require.NoError(t, err)
	return string(raw)
}

func around(before, behind []string, ids map[string]int) map[string]any {
	single, special := []any{}, map[string]any{}
	put := func(tokens []string) {
		for _, token := range tokens {
			single = append(single, map[string]any{"SpecialToken": map[string]any{"id": token}})
			special[token] = map[string]any{"ids": []int{ids[token]}}
		}
	}
	put(before)
	single = append(single, map[string]any{"Sequence": map[string]any{"id": "A"}})
	put(behind)
	return map[string]any{"type": "TemplateProcessing", "single": single, "special_tokens": special}
}

// What begins and ends a text, and which tokens templates know by name, is written as the
// tokenizer's files say, not as config.json does.
func TestGGUFSpecialTokens(t *testing.T) {
	ids := map[string]int{"<a>": 1, "<b>": 2, "<c>": 3}
	const key = "tokenizer.ggml."
	meta, err := ggufMeta(t, nil)
	require.NoError(t, err)
	require.EqualValues(t, 1, meta[key+"bos_token_id"])
	require.EqualValues(t, 2, meta[key+"eos_token_id"])
	require.Equal(t, false, meta[key+"add_bos_token"])
	require.NotContains(t, meta, key+"add_eos_token")

	meta, err = ggufMeta(t, texts{
		"tokenizer_config.json": `{"bos_token":{"content":"<c>"},"eos_token":"<b>"}`,
		"tokenizer.json":        tokenizerText(t, map[string]any{"post_processor": map[string]any{"type": "Sequence", "processors": []any{map[string]any{"type": "ByteLevel"}, around([]string{"<c>"}, []string{"<b>"}, ids)}}}),
	})
	require.NoError(t, err)
	require.EqualValues(t, 3, meta[key+"bos_token_id"])
	require.Equal(t, true, meta[key+"add_bos_token"])
	require.Equal(t, true, meta[key+"add_eos_token"])
}

// What GGUF has no form for is refused, not left out.
func TestGGUFRefusesToLeaveOut(t *testing.T) {
	ids := map[string]int{"<a>": 1, "<c>": 3}
	split := map[string]any{"type": "Split", "pattern": map[string]any{"Regex": splitPatterns["qwen2"]}, "behavior": "Isolated"}
	level := map[string]any{"type": "ByteLevel", "add_prefix_space": false, "use_regex": false}
	sequence := func(parts ...any) texts {
		return texts{"tokenizer.json": tokenizerText(t, map[string]any{"pre_tokenizer": map[string]any{"type": "Sequence", "pretokenizers": parts}})}
	}
	for want, change := range map[string]texts{
		"tokenizer.json: post_processor: the tokens [3] around a text are not the bos token":   {"tokenizer.json": tokenizerText(t, map[string]any{"post_processor": around([]string{"<c>"}, nil, ids)})},
		"tokenizer.json: post_processor: the tokens [1 3] around a text are not the bos token": {"tokenizer.json": tokenizerText(t, map[string]any{"post_processor": around([]string{"<a>", "<c>"}, nil, ids)})},
		"tokenizer.json: post_processor: the tokens [1] around a text are not the eos token":   {"tokenizer.json": tokenizerText(t, map[string]any{"post_processor": around(nil, []string{"<a>"}, ids)})},
		`tokenizer.json: post_processor "RobertaProcessing" has no form in GGUF`:               {"tokenizer.json": tokenizerText(t, map[string]any{"post_processor": map[string]any{"type": "RobertaProcessing"}})},
		`tokenizer.json: post_processor: special token "<e>" has no ids`:                       {"tokenizer.json": tokenizerText(t, map[string]any{"post_processor": map[string]any{"type": "TemplateProcessing", "single": []any{map[string]any{"SpecialToken": map[string]any{"id": "<e>"}}}}})},
		"tokenizer.json: ignore_merges has no form in GGUF":                                    {"tokenizer.json": tokenizerText(t, map[string]any{"model": map[string]any{"ignore_merges": true}})},
		`tokenizer_config.json: bos_token, "<d>", is no token`:                                 {"tokenizer_config.json": `{"bos_token":"<d>"}`},
		"tokenizer_config.json: bos_token is neither a text nor an object":                     {"tokenizer_config.json": `{"bos_token":7}`},
		"chat_template.json: chat_template is neither a text nor a list of named templates":    {"chat_template.json": `{"chat_template":7}`},
		"its tokenizer lies in vocab.json and merges.txt, which have no form in GGUF: save it": {"tokenizer.json": "", "vocab.json": "{}"},
		"config.json: dual_chunk_attention_config without chunk_size":                          {"config.json": `{"model_type":"qwen2","max_position_embeddings":5,"dual_chunk_attention_config":{}}`},
		"tokenizer.json: its split pattern has no name in GGUF":                                sequence(map[string]any{"type": "Digits", "individual_digits": true}, split, level),
	} {
		_, err := ggufMeta(t, change)
		require.ErrorContains(t, err, want)
	}
	for _, other := range []texts{sequence(nil, nil), sequence(split), sequence(level, split), sequence(split, map[string]any{"type": "ByteLevel"}), sequence(map[string]any{"type": "Split", "pattern": split["pattern"], "behavior": "Removed"}, level)} {
		_, err := ggufMeta(t, other)
		require.EqualError(t, err, "tokenizer.json: its split pattern has no name in GGUF")
	}
}

// The object for positions counts before rope_theta itself, the original positions beside
// it before those in it, and positions end where attention in chunks is no longer plain.
func TestGGUFPositions(t *testing.T) {
	const rest = `"model_type":"qwen2","num_hidden_layers":1,"hidden_size":8,"intermediate_size":8,"num_attention_heads":1,"rms_norm_eps":1e-6,"vocab_size":8,`
	meta, err := ggufMeta(t, texts{"config.json": `{` + rest + `"max_position_embeddings":1000,"rope_theta":10000,"original_max_position_embeddings":50,
		"rope_parameters":{"rope_theta":500,"rope_type":"yarn","factor":4,"original_max_position_embeddings":100}}`})
	require.NoError(t, err)
	require.EqualValues(t, 500, meta["qwen2.rope.freq_base"])
	require.EqualValues(t, 50, meta["qwen2.rope.scaling.original_context_length"])
	meta, err = ggufMeta(t, texts{"config.json": `{` + rest + `"max_position_embeddings":1000,"rope_theta":10000,"dual_chunk_attention_config":{"chunk_size":300,"local_size":20,"original_max_position_embeddings":200}}`})
	require.NoError(t, err)
	require.EqualValues(t, 200, meta["qwen2.context_length"])
}

// A template in a file of its own, and the one for tools beside it.
func TestGGUFChatTemplates(t *testing.T) {
	meta, err := ggufMeta(t, texts{"chat_template.json": `{"chat_template":"j"}`, "tokenizer_config.json": `{"chat_template":"c"}`})
	require.NoError(t, err)
	require.Equal(t, "j", meta[chatTemplateKey])
	meta, err = ggufMeta(t, texts{"chat_template.jinja": "own", toolTemplateFile: "tools", "chat_template.json": `{"chat_template":"j"}`})
	require.NoError(t, err)
	require.Equal(t, "own", meta[chatTemplateKey])
	require.Equal(t, "tools", meta[chatTemplateKey+".tool_use"])
}

// tensors is a checkpoint whose tensors have names only.
type tensors struct {
	texts
	names []string
}

func (s tensors) Names() []string { return s.names }

func TestModelTensors(t *testing.T) {
	names := []string{"lm_head.weight", "model.layers.0.mlp.up_proj.bias", "model.layers.0.self_attn.q_proj.bias", "model.layers.0.self_attn.rotary_emb.inv_freq", "model.norm.weight"}
	require.Equal(t, []string{"lm_head.weight", "model.layers.0.self_attn.q_proj.bias", "model.norm.weight"},
		modelTensors(tensors{texts{"config.json": `{}`}, append([]string{}, names...)}))
	require.Equal(t, []string{"model.layers.0.self_attn.q_proj.bias", "model.norm.weight"},
		modelTensors(tensors{texts{"config.json": `{"tie_word_embeddings":true}`}, append([]string{}, names...)}))
}

// Whatever the files beside the weights hold, they are written or refused.
func FuzzGGUFMetadata(f *testing.F) {
	f.Add([]byte(`{"pre_tokenizer":{"pretokenizers":[null,null]},"post_processor":{"type":"Sequence","processors":[null,{"type":"TemplateProcessing","single":[{},{"SpecialToken":{"id":"a"}}]}]}}`), []byte(`{"bos_token":{"content":7},"chat_template":[{"name":"a"}]}`))
	f.Add([]byte(`{"added_tokens":[{"id":-1,"content":"a"}],"model":{"vocab":{"a":99},"merges":["a b",["a","b"],7]}}`), []byte(`{"bos_token":null}`))
	f.Fuzz(func(t *testing.T, tokenizer, config []byte) {
		_, _ = ggufMetadata(texts{
			"config.json":           `{"model_type":"qwen2","num_hidden_layers":1,"max_position_embeddings":9,"hidden_size":8,"intermediate_size":8,"num_attention_heads":1,"rms_norm_eps":1e-6,"vocab_size":8}`,
			"tokenizer.json":        string(tokenizer),
			"tokenizer_config.json": string(config),
		}, 0, false)
	})
}
