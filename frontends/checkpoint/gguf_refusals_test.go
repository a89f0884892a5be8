package checkpoint

import (
	"encoding/json"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir/dtype"
)

// unreadable is a checkpoint one of whose files cannot be read.
type unreadable struct {
	texts
	name string
}

func (s unreadable) File(name string) ([]byte, error) {
	if name == s.name {
		return nil, fs.ErrPermission
	}
	return s.texts.File(name)
}

// smallModel is what ggufMeta writes.
func smallModel(t *testing.T) texts {
	return texts{
		"config.json": `{"model_type":"qwen2","num_hidden_layers":1,"max_position_embeddings":1000,"hidden_size":8,"intermediate_size":8,
			"num_attention_heads":1,"rms_norm_eps":1e-6,"vocab_size":8,"bos_token_id":1,"eos_token_id":2}`,
		"tokenizer.json": tokenizerText(t, nil), "tokenizer_config.json": `{}`, "generation_config.json": `{}`,
	}
}

// A file that is there and cannot be read is an error, not one that is missing.
func TestGGUFOfUnreadableFiles(t *testing.T) {
	all := smallModel(t)
	_, err := ggufMetadata(all, 0, false)
	require.NoError(t, err)
	for _, name := range []string{"config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json", "chat_template.jinja", "chat_template.json"} {
		_, err := ggufMetadata(unreadable{all, name}, 0, false)
		require.ErrorIs(t, err, fs.ErrPermission, name)
	}
	all["chat_template.jinja"] = "own"
	_, err = ggufMetadata(unreadable{all, toolTemplateFile}, 0, false)
	require.ErrorIs(t, err, fs.ErrPermission)
	_, err = appendChatTemplate(nil, unreadable{texts{}, "tokenizer_config.json"})
	require.ErrorIs(t, err, fs.ErrPermission)
}

// What the files of a checkpoint say wrong is said in these words.
func TestGGUFSaysWhatIsWrong(t *testing.T) {
	tokenizer := func(parts map[string]any) texts { return texts{"tokenizer.json": tokenizerText(t, parts)} }
	vocab := func(id int) texts {
		return tokenizer(map[string]any{"model": map[string]any{"vocab": map[string]any{"x": id}}})
	}
	added := func(id int) texts {
		return tokenizer(map[string]any{"added_tokens": []any{map[string]any{"id": id, "content": "<a>"}}})
	}
	merges := func(m any) texts {
		return tokenizer(map[string]any{"model": map[string]any{"merges": []any{"a b", m}}})
	}
	config := func(more string) texts {
		return texts{"config.json": strings.Replace(smallModel(t)["config.json"], "{", "{"+more+",", 1)}
	}
	for want, change := range map[string]texts{
		"tokenizer.json: not readable: invalid character 'x' looking for beginning of value":                                 {"tokenizer.json": "x"},
		`tokenizer.json: token "x" has id 8, but config.json's vocab_size is 8`:                                              vocab(8),
		`tokenizer.json: token "x" has id -1, but config.json's vocab_size is 8`:                                             vocab(-1),
		`tokenizer.json: token "<a>" has id 9, but config.json's vocab_size is 8`:                                            added(9),
		`tokenizer.json: merge 1: neither "a b" nor ["a", "b"]`:                                                              merges([]string{"a", "b", "c"}),
		"tokenizer_config.json is not readable: invalid character 'x' looking for beginning of value":                        {"tokenizer_config.json": "x"},
		"generation_config.json is not readable: invalid character 'x' looking for beginning of value":                       {"generation_config.json": "x"},
		"chat_template.json is not readable: invalid character 'x' looking for beginning of value":                           {"chat_template.json": "x"},
		"tokenizer_config.json: chat_template is neither a text nor a list of named templates":                               {"tokenizer_config.json": `{"chat_template":7}`},
		"config.json: the factor of rope_scaling is 0, want a positive number":                                               config(`"rope_scaling":{"type":"linear","factor":0}`),
		"config.json: the factor of rope_scaling is -2, want a positive number":                                              config(`"rope_scaling":{"type":"yarn","factor":-2}`),
		"config.json: the factor of rope_scaling is missing, want a positive number":                                         config(`"rope_scaling":{"rope_type":"linear"}`),
		`config.json: the factor of rope_scaling is "2", want a positive number`:                                             config(`"rope_parameters":{"rope_type":"linear","factor":"2"}`),
		`config.json: rope_scaling of type "llama3" has no form in GGUF`:                                                     config(`"rope_scaling":{"type":"llama3","factor":2}`),
		"config.json: head_dim is 4.294967296e+09, which is no count":                                                        config(`"head_dim":4294967296`),
		"config.json: vocab_size is 16777217, want 0 to 16777216":                                                            {"config.json": strings.Replace(smallModel(t)["config.json"], `"vocab_size":8`, `"vocab_size":16777217`, 1)},
		"config.json: head_dim is -1, which is no count":                                                                     config(`"head_dim":-1`),
		"config.json: dual_chunk_attention_config without chunk_size, or no max_position_embeddings":                         config(`"dual_chunk_attention_config":{"chunk_size":"7"}`),
		`tokenizer.json: post_processor "X" has no form in GGUF`:                                                             tokenizer(map[string]any{"post_processor": map[string]any{"type": "Sequence", "processors": []any{map[string]any{"type": "X"}}}}),
		`tokenizer.json: post_processor: special token "<a>" has no ids`:                                                     tokenizer(map[string]any{"post_processor": map[string]any{"type": "TemplateProcessing", "single": []any{map[string]any{"SpecialToken": map[string]any{"id": "<a>"}}}, "special_tokens": map[string]any{"<a>": map[string]any{"ids": []int{}}}}}),
		"tokenizer.json: post_processor: the tokens [1] around a text are not the eos token, which alone has a form in GGUF": tokenizer(map[string]any{"post_processor": around(nil, []string{"<a>"}, map[string]int{"<a>": 1})}),
	} {
		_, err := ggufMeta(t, change)
		require.EqualError(t, err, want)
	}
	meta, err := ggufMeta(t, config(`"head_dim":4294967295`))
	require.NoError(t, err)
	require.EqualValues(t, 1<<32-1, meta["qwen2.attention.key_length"])
	meta, err = ggufMeta(t, merges([]string{"c", "d"}))
	require.NoError(t, err)
	require.Equal(t, []string{"a b", "c d"}, meta["tokenizer.ggml.merges"])
	meta, err = ggufMeta(t, vocab(7))
	require.NoError(t, err)
	require.Equal(t, []string{"[PAD0]", "<a>", "<b>", "<c>", "[PAD4]", "[PAD5]", "[PAD6]", "x"}, meta["tokenizer.ggml.tokens"])
	require.Equal(t, []int32{tokenUnused, tokenControl, tokenControl, tokenUserDefined, tokenUnused, tokenUnused, tokenUnused, tokenNormal}, meta["tokenizer.ggml.token_type"])
}

// The end of a turn is the first id beside eos that is a token's.
func TestGGUFEndOfATurn(t *testing.T) {
	const key = "tokenizer.ggml.eot_token_id"
	for ends, want := range map[string]any{
		`[2,5]`: uint32(5), `[5,2]`: uint32(5), `[2]`: nil, `2`: nil, `5`: nil, `[]`: nil, `[2,8]`: nil, `[2,7]`: uint32(7), `[2,-1]`: nil, `[2,0]`: uint32(0),
		`[2,1.5]`: nil, `[2,"5"]`: nil, `["2",2,8,6,5]`: uint32(6), `null`: nil,
	} {
		meta, err := ggufMeta(t, texts{"generation_config.json": `{"eos_token_id":` + ends + `}`})
		require.NoError(t, err)
		require.Equal(t, want, meta[key], ends)
	}
	config := smallModel(t)["config.json"]
	meta, err := ggufMeta(t, texts{"config.json": strings.Replace(config, `,"eos_token_id":2`, "", 1), "generation_config.json": `{"eos_token_id":[0]}`})
	require.NoError(t, err)
	require.Equal(t, uint32(0), meta[key], "beside none")
	for id, want := range map[string]any{"7": uint32(7), "8": nil, "-1": nil, "0": uint32(0), `"7"`: nil} {
		meta, err := ggufMeta(t, texts{"config.json": strings.Replace(config, `"bos_token_id":1`, `"bos_token_id":`+id, 1)})
		require.NoError(t, err)
		require.Equal(t, want, meta["tokenizer.ggml.bos_token_id"], id)
	}
}

// Of named templates the default is the model's own; those without a text are none.
func TestGGUFNamedTemplates(t *testing.T) {
	for _, from := range []string{"chat_template.json", "tokenizer_config.json"} {
		meta, err := ggufMeta(t, texts{from: `{"chat_template":[{"name":"default","template":"d"},{"name":"tool_use","template":"t"},{"name":"rag","template":""}]}`})
		require.NoError(t, err)
		require.Equal(t, "d", meta[chatTemplateKey])
		require.Equal(t, "t", meta[chatTemplateKey+".tool_use"])
		require.NotContains(t, meta, chatTemplateKey+".rag")
	}
	meta, err := ggufMeta(t, texts{"chat_template.json": `{}`})
	require.NoError(t, err)
	require.NotContains(t, meta, chatTemplateKey)
}

// What GGUF cannot hold is refused by name, a failing disk is told, and no model is two files'.
func TestGGUFIsNotWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.gguf")
	require.EqualError(t, WriteGGUF(t.Context(), path, unpacked(t, "testdata/quantised/awq"), dtype.Invalid, nil, nil),
		"cannot write "+path+`: tensor "model.layers.0.mlp.down_proj.weight" is affine4_g64_f16_zero, which GGUF does not hold; give --weights`)
	config := []byte(smallModel(t)["config.json"])
	s, err := Synth("s", []Shape{{"w.weight", []int64{1, 1, 1, 1, 2}}}, map[string][]byte{"config.json": config})
	require.NoError(t, err)
	require.EqualError(t, WriteGGUF(t.Context(), path, s, dtype.F16, nil, nil), "cannot write "+path+`: tensor "w.weight": GGUF holds at most 4 dimensions, not [1 1 1 1 2]`)
	require.EqualError(t, WriteMix(t.Context(), path, texts{}, nil, nil), "cannot write "+path+": m: file does not exist")

	s, err = Synth("s", []Shape{{"a.weight", []int64{3, 5}}, {"b.weight", []int64{7}}}, map[string][]byte{"config.json": config})
	require.NoError(t, err)
	whole := &full{left: 1 << 20}
	wide := func(string, Info) dtype.Type { return dtype.F32 }
	var told []int
	require.NoError(t, encodeGGUF(whole, s, nil, wide, nil, func(done, of int) { told = append(told, done, of) }))
	require.Equal(t, []int{1, 2, 2, 2}, told)
	require.Zero(t, whole.written%ggufAlignment)
	for n := range whole.written {
		require.ErrorIs(t, encodeGGUF(&full{left: n}, s, nil, wide, nil, nil), os.ErrClosed, n)
	}
	require.PanicsWithValue(t, `checkpoint: metadata "k" has a value of type int`, func() { new(ggufBuilder).entry(ggufEntry{"k", 7}) })

	_, err = (&gguf{tensors: map[string]stored{"token_embd.weight": {}, "model.embed_tokens.weight": {}}}).model("p")
	require.EqualError(t, err, "p: two tensors mean the same part of the model")
}

// full is a disk with so many bytes left.
type full struct{ left, written int }

func (f *full) Write(b []byte) (int, error) {
	n := min(len(b), f.left)
	f.left, f.written = f.left-n, f.written+n
	if n < len(b) {
		return n, os.ErrClosed
	}
	return n, nil
}

// A count that cannot fit what follows is refused before anything is made of it, one that can is
// read on: a tensor takes 32 bytes, an entry of metadata 13.
func TestSmallestGGUFEntries(t *testing.T) {
	header := func(tensors, entries uint64, more int) []byte {
		h := ggufBuilder(ggufMagic)
		h.u32(3)
		h.u64(tensors)
		h.u64(entries)
		return append(h, make([]byte, more)...)
	}
	_, err := parseGGUF(header(1, 0, 23)) // and eight of the other count
	require.EqualError(t, err, "the header says there are 1 tensors, which do not fit the 31 bytes that follow")
	_, err = parseGGUF(header(1, 0, 24))
	require.NotContains(t, err.Error(), "do not fit")
	_, err = parseGGUF(header(0, 2, 25))
	require.EqualError(t, err, "the header says there are 2 metadata entries, which do not fit the 25 bytes that follow")
	_, err = parseGGUF(header(0, 2, 26))
	require.NotContains(t, err.Error(), "do not fit")
	for n, want := range map[uint64]int64{1: 1, 32: 32, 1 << 20: 1 << 20, 1 << 21: 0, 0: 0, 48: 0} {
		have, err := (&gguf{meta: map[string]any{"general.alignment": n}}).alignment()
		require.Equal(t, want, have, n)
		require.Equal(t, want == 0, err != nil, n)
	}
	for v, want := range map[any]uint64{nil: 1, uint64(0): 1, uint64(1): 1, uint64(5): 5, uint64(99999): 99999} {
		f := &gguf{meta: map[string]any{"split.count": v}}
		if v == nil {
			delete(f.meta, "split.count")
		}
		have, err := f.splitCount()
		require.NoError(t, err)
		require.Equal(t, want, have)
	}
	for v, shown := range map[any]string{uint64(100000): "100000", "two": `"two"`, int64(-1): "-1"} {
		_, err := (&gguf{meta: map[string]any{"split.count": v}}).splitCount()
		require.EqualError(t, err, `metadata "split.count" is `+shown+", which is no number of files")
	}
}

// A head's length is what is given, else what hidden size and heads divide to, if they do.
func TestHeadDim(t *testing.T) {
	for _, c := range []struct {
		config map[string]any
		want   any
	}{
		{map[string]any{"head_dim": 5}, 5},
		{map[string]any{"hidden_size": json.Number("64"), "num_attention_heads": json.Number("4")}, int64(16)},
		{map[string]any{"hidden_size": json.Number("64"), "num_attention_heads": json.Number("3")}, nil},
		{map[string]any{"hidden_size": json.Number("64")}, int64(64)},
		{map[string]any{"hidden_size": json.Number("64"), "num_attention_heads": json.Number("-2")}, int64(64)},
	} {
		require.Equal(t, c.want, headDim(c.config))
	}
	f := qwen2File(map[string]any{"qwen2.rope.scaling.type": "yarn", "qwen2.rope.scaling.factor": float32(2), "qwen2.rope.scaling.yarn_beta_fast": "x"})
	_, err := f.config()
	require.EqualError(t, err, `metadata "qwen2.rope.scaling.yarn_beta_fast" is no number`)
	f = qwen2File(map[string]any{"qwen2.rope.scaling.type": "yarn", "qwen2.rope.scaling.factor": float32(2), "qwen2.rope.scaling.attn_factor": "x"})
	_, err = f.config()
	require.EqualError(t, err, `metadata "qwen2.rope.scaling.attn_factor" is no number`)
}

// A token is named where its id is one; numbers read as they were meant, and what is none is
// refused.
func TestWordsOfGGUFMetadata(t *testing.T) {
	const k = "tokenizer.ggml."
	for want, meta := range map[string]map[string]any{
		`{}`:                                {},
		`{"eos_token":"b","pad_token":"a"}`: {k + "tokens": []string{"a", "b"}, k + "eos_token_id": uint64(1), k + "bos_token_id": uint64(2), k + "padding_token_id": uint64(0)},
		`{"bos_token":"b"}`:                 {k + "tokens": []string{"a", "b"}, k + "bos_token_id": uint64(1), k + "eos_token_id": int64(1)},
		`{"chat_template":"t"}`:             {chatTemplateKey: "t"},
		`{"chat_template":[{"name":"default","template":"t"},{"name":"tool_use","template":"u"}]}`: {chatTemplateKey: "t", chatTemplateKey + ".tool_use": "u"},
	} {
		b, err := (&gguf{meta: meta}).tokenizerConfig()
		require.NoError(t, err)
		require.JSONEq(t, want, string(b))
	}
	for v, want := range map[any]string{uint64(1) << 63: "9223372036854775808", int64(-5): "-5", float32(1e-6): "1e-06", 1e-6: "1e-06", float32(0.1): "0.1", 0.1: "0.1"} {
		n, err := jsonNumber(v)
		require.NoError(t, err)
		require.Equal(t, want, n.String())
	}
	for v, want := range map[any]string{nil: "is missing", "1": "is no number", true: "is no number", float32(math.Inf(1)): "is +Inf", math.Inf(-1): "is -Inf"} {
		_, err := jsonNumber(v)
		require.EqualError(t, err, want)
	}
	_, err := jsonNumber(math.NaN())
	require.EqualError(t, err, "is NaN")
	f := qwen2File(map[string]any{"qwen2.rope.freq_base": float32(math.Inf(1)), k + "bos_token_id": uint64(3), k + "eos_token_id": uint64(4)})
	_, err = f.config()
	require.EqualError(t, err, `metadata "qwen2.rope.freq_base" is +Inf`)
	f.meta["qwen2.rope.freq_base"] = float32(5e5)
	b, err := f.config()
	require.NoError(t, err)
	var config map[string]any
	require.NoError(t, json.Unmarshal(b, &config))
	require.Equal(t, map[string]any{"model_type": "qwen2", "num_hidden_layers": 2.0, "max_position_embeddings": 1024.0, "hidden_size": 64.0, "intermediate_size": 128.0, "num_attention_heads": 2.0,
		"num_key_value_heads": 2.0, "head_dim": 32.0, "rms_norm_eps": 1e-6, "rope_theta": 5e5, "tie_word_embeddings": true, "vocab_size": 96.0, "bos_token_id": 3.0, "eos_token_id": 4.0}, config)
	delete(f.meta, "qwen2.rope.freq_base")
	b, err = f.config()
	require.NoError(t, err)
	require.Contains(t, string(b), `"rope_theta":10000`)
}
