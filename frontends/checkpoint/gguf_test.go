package checkpoint

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"foundry/frontends/tokenizer"
	"foundry/ir/dtype"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// summary describes a file as testdata/gguf_goldens.py does.
type summary struct {
	SHA256  string         `json:"sha256"` // of the whole file
	Meta    map[string]any `json:"meta"`
	Tensors map[string]struct {
		Type   string  `json:"type"`
		Shape  []int64 `json:"shape"`
		SHA256 string  `json:"sha256"`
	} `json:"tensors"`
}

func sum(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

// plain turns a metadata value into what JSON makes of the script's output.
func plain(v any) any {
	var list []any
	switch v := v.(type) {
	case []string:
		for _, s := range v {
			list = append(list, s)
		}
	case numbers:
		for i := range v.len() {
			list = append(list, v.at(i))
		}
	case float32:
		f, _ := strconv.ParseFloat(strconv.FormatFloat(float64(v), 'g', -1, 32), 64)
		return f
	case uint64:
		return float64(v)
	case int64:
		return float64(v)
	default:
		return v
	}
	if len(list) > 8 {
		var parts []string
		for _, e := range list {
			parts = append(parts, fmt.Sprint(e))
		}
		return sum([]byte(strings.Join(parts, "\x00")))
	}
	for i := range list {
		list[i] = plain(list[i])
	}
	return list
}

func described(t *testing.T, path string) (want summary) {
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(raw, &want))
	require.NotEmpty(t, want.Tensors)
	return want
}

func requireAsDescribed(t *testing.T, f *gguf, want summary) {
	got := map[string]any{}
	for key, v := range f.meta {
		got[key] = plain(v)
	}
	require.Equal(t, want.Meta, got)
	require.Len(t, f.tensors, len(want.Tensors))
	for name, w := range want.Tensors {
		g := f.tensors[name]
		require.Equal(t, w.Type, g.DType.String(), name)
		require.Equal(t, w.SHA256, sum(g.data), name)
		require.Equal(t, w.Shape, g.Shape, name)
	}
}

func TestGGUFOfThePythonPackage(t *testing.T) {
	raw, err := os.ReadFile("testdata/python.gguf")
	require.NoError(t, err)
	want := described(t, "testdata/python.json")
	require.Equal(t, want.SHA256, sum(raw))
	for _, version := range []byte{3, 2} { // little-endian files differ in the number only
		raw[4] = version
		f, err := parseGGUF(raw)
		require.NoError(t, err)
		requireAsDescribed(t, f, want)
	}
	s, err := Open("testdata/python.gguf")
	require.NoError(t, err)
	defer s.Close()
	info, ok := s.Info("model.layers.0.mlp.down_proj.weight")
	require.True(t, ok)
	require.Equal(t, Info{dtype.Q5_1, []int64{3, 256}, 3 * 8 * 24}, info)
	b, err := s.File("config.json")
	require.NoError(t, err)
	require.JSONEq(t, `{"model_type":"qwen2","hidden_size":256,"intermediate_size":512,"num_hidden_layers":1,
		"num_attention_heads":4,"num_key_value_heads":2,"head_dim":64,"max_position_embeddings":512,"rms_norm_eps":1e-06,
		"rope_theta":1000000,"tie_word_embeddings":false,"vocab_size":3}`, string(b))
	require.Contains(t, string(b), `"rms_norm_eps":1e-06`)
	_, err = s.File("tokenizer.json")
	require.EqualError(t, err, `testdata/python.gguf: metadata "tokenizer.ggml.model" is missing: only gpt2, byte-level pairs, is supported`)
}

func writeKJV(t *testing.T, weights dtype.Type) (Source, string) {
	s, err := KJV2M()
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "kjv.gguf")
	last := 0
	reported := map[string]Narrowing{}
	report := func(tensor string, n Narrowing) { reported[tensor] = n }
	require.NoError(t, WriteGGUF(t.Context(), path, s, weights, report, func(done, of int) {
		require.Equal(t, 62, of)
		last = done
	}))
	require.Equal(t, 62, last)
	require.Len(t, reported, 62)
	for name, n := range reported {
		info, _ := s.Info(name)
		require.Equal(t, Narrowing{Values: info.Elements(), Flushed: n.Flushed}, n, name)
	}
	return s, path
}

func TestGGUFRoundTrip(t *testing.T) {
	for weights := range fileTypes {
		if !weights.CanQuantise() {
			weights = dtype.Invalid // as stored
		}
		s, path := writeKJV(t, weights)
		back, err := Open(path)
		require.NoError(t, err)
		defer back.Close()
		require.Equal(t, s.Names(), back.Names())
		for _, name := range s.Names() {
			info, _ := s.Info(name)
			got, _ := back.Info(name)
			require.Equal(t, info.Shape, got.Shape, name)
			require.Equal(t, StoredAs(weights, info), got.DType, name)
			want, err := ReadAs(s, name, got.DType, nil)
			require.NoError(t, err)
			b, err := back.Read(name)
			require.NoError(t, err)
			require.Equal(t, want, b, name)
		}
	}
}

// The configuration and the tokenizer survive: what is made from the metadata
// means what the original files mean.
func TestGGUFFiles(t *testing.T) {
	s, path := writeKJV(t, dtype.F16)
	back, err := Open(path)
	require.NoError(t, err)
	defer back.Close()
	parse := func(s Source, name string) (out map[string]any) {
		raw, err := s.File(name)
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(raw, &out))
		return out
	}
	want, got := parse(s, "config.json"), parse(back, "config.json")
	for key, v := range got {
		if key != "head_dim" { // which the original leaves to follow from the others
			require.Equal(t, want[key], v, key)
		}
	}
	for _, k := range configKeys {
		require.Contains(t, got, k.config)
	}
	require.Equal(t, "<|endoftext|>", parse(back, "tokenizer_config.json")["eos_token"])

	load := func(s Source) *tokenizer.Tokenizer {
		tok, err := tokenizer.Read(s.File)
		require.NoError(t, err)
		return tok
	}
	a, b := load(s), load(back)
	require.Equal(t, a.Size(), b.Size())
	for _, text := range []string{"In the beginning", "<|im_start|>user\ncafe\u0301<|im_end|>", " \n 1611 \U0001f600"} {
		want, err := a.Encode(text)
		require.NoError(t, err)
		got, err := b.Encode(text)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	id, _ := b.ID("<|im_end|>")
	require.True(t, b.Special(id))
}

var keepGGUF = flag.String("keep-gguf", "", "where TestGGUFIsReadElsewhere leaves its file, for testdata/gguf_goldens.py")

// The Python package has read the file that this writes, each byte of it:
// testdata/written.json is what it found.
func TestGGUFIsReadElsewhere(t *testing.T) {
	_, path := writeKJV(t, dtype.Q8_0)
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	if *keepGGUF != "" {
		require.NoError(t, os.WriteFile(*keepGGUF, raw, 0o644))
	}
	f, err := parseGGUF(raw)
	require.NoError(t, err)
	want := described(t, "testdata/written.json")
	requireAsDescribed(t, f, want)
	require.Equal(t, want.SHA256, sum(raw), "the file that was read, to the byte")
}

func TestSplitPatternIsThePublishedOne(t *testing.T) {
	require.Equal(t, tokenizer.Qwen2Pattern, splitPatterns["qwen2"])
}

// build makes the bytes of a file from the ways its parts are written.
func build(tensors, meta uint64, parts ...func(*ggufBuilder)) []byte {
	b := ggufBuilder(ggufMagic)
	b.u32(3)
	b.u64(tensors)
	b.u64(meta)
	for _, p := range parts {
		p(&b)
	}
	return append(b, make([]byte, padded(int64(len(b)))-int64(len(b))+64)...)
}

func entry(key string, v any) func(*ggufBuilder) {
	return func(b *ggufBuilder) { b.entry(ggufEntry{key, v}) }
}

func tensorEntry(name string, kind uint32, offset uint64, dims ...uint64) func(*ggufBuilder) {
	return func(b *ggufBuilder) {
		b.str(name)
		b.u32(uint32(len(dims)))
		for _, d := range dims {
			b.u64(d)
		}
		b.u32(kind)
		b.u64(offset)
	}
}

func words(v ...any) func(*ggufBuilder) {
	return func(b *ggufBuilder) {
		for _, v := range v {
			switch v := v.(type) {
			case int:
				b.u32(uint32(v))
			case uint64:
				b.u64(v)
			case string:
				b.str(v)
			}
		}
	}
}

func badGGUF() map[string][]byte {
	version := func(v uint32) []byte {
		b := build(0, 0)
		binary.LittleEndian.PutUint32(b[4:], v)
		return b
	}
	one := func(parts ...func(*ggufBuilder)) []byte { return build(0, 1, parts...) }
	return map[string][]byte{
		`not a GGUF file: it starts with "GGML"`:                                                                      append([]byte("GGML"), make([]byte, 60)...),
		`truncated: the magic number needs 4 bytes, but 2 are left`:                                                   []byte("GG"),
		`GGUF version 1 is not supported (2 and 3 are)`:                                                               version(1),
		`GGUF version 4 is not supported (2 and 3 are)`:                                                               version(4),
		`a big-endian GGUF file is not supported`:                                                                     version(3 << 24),
		`the header says there are 1099511627776 metadata entries, which do not fit the 72 bytes that follow`:         build(0, 1<<40),
		`the header says there are 9223372036854775808 tensors, which do not fit the 80 bytes that follow`:            build(1<<63, 0),
		`truncated: the key of metadata entry 0 needs 9223372036854775808 bytes, but 64 are left`:                     one(words(uint64(1 << 63)))[:96],
		`truncated: metadata "a" needs 9223372036854775808 bytes, but 67 are left`:                                    one(words("a", ggufString, uint64(1<<63)))[:112],
		`metadata "a" has the unknown type 13`:                                                                        one(words("a", 13)),
		`metadata "a" is an array of type 9, which is not supported`:                                                  one(words("a", ggufArray, ggufArray, uint64(1))),
		`the header says there are 1099511627776 elements of metadata "a", which do not fit the 79 bytes that follow`: one(words("a", ggufArray, ggufUint8, uint64(1<<40))),
		`metadata key "a" is given twice`:                                                                             build(0, 2, entry("a", uint32(1)), entry("a", uint32(1))),
		`metadata "general.alignment" is 33: want a power of two up to 1048576`:                                       one(entry("general.alignment", uint32(33))),
		`metadata "general.alignment" is 0: want a power of two up to 1048576`:                                        one(entry("general.alignment", uint32(0))),
		`metadata "general.alignment" is "x": want a power of two up to 1048576`:                                      one(entry("general.alignment", "x")),
		`tensor "a": its type is the unknown number 99, which is not supported; take a file of the model in one of the types that are: f32, f16, bf16, i32, q8_0, q4_0, q4_1, q5_0, q5_1, q4_k, q5_k, q6_k, q2_k, q3_k, iq4_nl, iq4_xs`: build(1, 0, tensorEntry("a", 99, 0, 1)),
		`tensor "a": its type is IQ2_XXS, which is not supported; take a file of the model in one of the types that are: f32, f16, bf16, i32, q8_0, q4_0, q4_1, q5_0, q5_1, q4_k, q5_k, q6_k, q2_k, q3_k, iq4_nl, iq4_xs`:               build(1, 0, tensorEntry("a", 16, 0, 256)),
		`tensor "a": rank 5 is above the limit of 4`:                                                                  build(1, 0, tensorEntry("a", 0, 0, 1, 1, 1, 1, 1)),
		`tensor "a": dimension 0 of 18446744073709551615 is too large`:                                                build(1, 0, tensorEntry("a", 0, 0, 1<<64-1)),
		`tensor "a": shape [4294967296 4294967296] is too large`:                                                      build(1, 0, tensorEntry("a", 0, 0, 1<<32, 1<<32)),
		`tensor "a": rows of shape [2 33] do not divide into q8_0 blocks of 32 elements`:                              build(1, 0, tensorEntry("a", 8, 0, 33, 2)),
		`tensor "a": offset 4 is no multiple of the alignment 32`:                                                     build(1, 0, tensorEntry("a", 0, 4, 1)),
		`tensor "a": 4 bytes at offset 9223372036854775808 lie outside the 64 bytes of data (is the file truncated?)`: build(1, 0, tensorEntry("a", 0, 1<<63, 1)),
		`tensor "a": 68 bytes at offset 0 lie outside the 64 bytes of data (is the file truncated?)`:                  build(1, 0, tensorEntry("a", 0, 0, 17)),
		`tensor "b" at offset 32 overlaps tensor "a"`:                                                                 build(2, 0, tensorEntry("a", 0, 0, 9), tensorEntry("b", 0, 32, 1)),
		`tensor "a" is listed twice`:                                                                                  build(2, 0, tensorEntry("a", 0, 0, 1), tensorEntry("a", 0, 32, 1)),
	}
}

func TestBadGGUF(t *testing.T) {
	for want, raw := range badGGUF() {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := parseGGUF(raw)
		runtime.ReadMemStats(&after)
		assert.EqualError(t, err, want)
		require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(1<<20), want)
	}
}

// A file cut at any byte of its header or data is refused.
func TestEveryGGUFTruncationIsRefused(t *testing.T) {
	raw, err := os.ReadFile("testdata/python.gguf")
	require.NoError(t, err)
	for n := range raw {
		if _, err := parseGGUF(raw[:n]); err == nil || strings.Contains(err.Error(), "\n") {
			// The padding behind the last tensor carries nothing.
			require.Greater(t, n, len(raw)-ggufAlignment, "%d bytes: %v", n, err)
		}
	}
}

func TestBadGGUFMetadata(t *testing.T) {
	for want, meta := range map[string]map[string]any{
		`metadata "general.architecture" is missing or no string`: {},
		`metadata "qwen2.block_count" is missing`:                 {"general.architecture": "qwen2"},
		`metadata "qwen2.block_count" is no number`:               {"general.architecture": "qwen2", "qwen2.block_count": "x"},
	} {
		_, err := (&gguf{meta: meta}).config()
		require.EqualError(t, err, want)
	}
	// An error is one line, and no list of a vocabulary's length, whatever the file says.
	for want, alignment := range map[string]any{
		`metadata "general.alignment" is "two\nlines": want a power of two up to 1048576`:        "two\nlines",
		`metadata "general.alignment" is a text of 101 bytes: want a power of two up to 1048576`: strings.Repeat("x", 101),
		`metadata "general.alignment" is a list: want a power of two up to 1048576`:              []string{"a", "b"},
		`metadata "general.alignment" is -32: want a power of two up to 1048576`:                 int64(-32),
	} {
		_, err := (&gguf{meta: map[string]any{"general.alignment": alignment}}).alignment()
		require.EqualError(t, err, want)
	}
	const k = "tokenizer.ggml."
	types := numbers{ggufInt32, []byte{1, 0, 0, 0, 1, 0, 0, 0}}
	for want, meta := range map[string]map[string]any{
		`metadata "tokenizer.ggml.model" is "llama": only gpt2, byte-level pairs, is supported`:                                          {k + "model": "llama"},
		`metadata "tokenizer.ggml.pre" is "llama-bpe": only qwen2 and deepseek-r1-qwen, kormo, megrez, which split alike, are supported`: {k + "model": "gpt2", k + "pre": "llama-bpe"},
		`metadata "tokenizer.ggml.tokens" is missing or no array of strings`:                                                             {k + "model": "gpt2", k + "pre": "deepseek-r1-qwen"},
		`metadata "tokenizer.ggml.token_type" is not one number for each of the 3 tokens`:                                                {k + "model": "gpt2", k + "pre": "qwen2", k + "tokens": []string{"a", "b", "c"}, k + "token_type": types},
		`tokens 0 and 1 are both "a"`:                          {k + "model": "gpt2", k + "pre": "qwen2", k + "tokens": []string{"a", "a"}, k + "token_type": types},
		`token 1, "b", has the type 6, which is not supported`: {k + "model": "gpt2", k + "pre": "qwen2", k + "tokens": []string{"a", "b"}, k + "token_type": numbers{ggufInt32, []byte{1, 0, 0, 0, 6, 0, 0, 0}}},
	} {
		_, err := (&gguf{meta: meta}).tokenizer()
		require.EqualError(t, err, want)
	}
}

func TestWriteGGUFRefuses(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x.gguf")
	s, err := KJV2M()
	require.NoError(t, err)
	require.EqualError(t, WriteGGUF(t.Context(), path, s, dtype.Q3_K, nil, nil), "cannot write "+path+": q3_k weights cannot be made (f32, f16, bf16, q8_0, q4_0, q4_1, q5_0, q5_1, q4_k, q5_k, q6_k can)")
	for config, want := range map[string]string{
		"x":                      "config.json is not readable: invalid character 'x' looking for beginning of value",
		`{"model_type":"llama"}`: `config.json: model_type is "llama", only qwen2 and qwen3 can be written`,
		`{"model_type":"qwen2"}`: "config.json: num_hidden_layers is missing or no number",
		`{"model_type":"qwen2","num_hidden_layers":1.5}`: "config.json: num_hidden_layers is 1.5, which is no count",
	} {
		s, err := Synth("s", nil, map[string][]byte{"config.json": []byte(config)})
		require.NoError(t, err)
		require.EqualError(t, WriteGGUF(t.Context(), path, s, dtype.F16, nil, nil), "cannot write "+path+": s: "+want)
	}
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestGGUFNames(t *testing.T) {
	s, err := KJV2M()
	require.NoError(t, err)
	seen := map[string]bool{}
	for _, name := range s.Names() {
		other := ggufName(name)
		require.NotEqual(t, name, other)
		require.Equal(t, name, huggingFaceName(other))
		require.False(t, seen[other])
		seen[other] = true
	}
	require.Equal(t, "rope_freqs.weight", huggingFaceName("rope_freqs.weight"))
	require.Equal(t, "blk.0.attn_sinks.weight", huggingFaceName("blk.0.attn_sinks.weight"))
}

// openBytes opens a file's bytes as openGGUF opens the file.
func openBytes(b []byte) (*store, error) {
	f, err := parseGGUF(b)
	if err != nil {
		return nil, err
	}
	if _, err := f.splitCount(); err != nil {
		return nil, err
	}
	return f.model("f")
}

func FuzzGGUF(f *testing.F) {
	for _, b := range badGGUF() {
		f.Add(b)
	}
	raw, err := os.ReadFile("testdata/python.gguf")
	require.NoError(f, err)
	f.Add(raw)
	f.Fuzz(holdGGUF)
}

// holdGGUF opens what may be a file and reads all that it is said to have.
func holdGGUF(t *testing.T, b []byte) {
	s, err := openBytes(b)
	if err == nil {
		for _, name := range s.Names() {
			if data, err := s.Read(name); err != nil || int64(len(data)) != s.tensors[name].Bytes {
				t.Fatalf("tensor %q: %d bytes, %v", name, len(data), err)
			}
		}
		for name := range ggufFiles {
			if _, err = s.File(name); err != nil {
				break
			}
		}
	}
	if err != nil && strings.ContainsAny(err.Error(), "\n\r") {
		t.Fatalf("an error of several lines: %q", err)
	}
}

// The mix gives each matrix the type that its part of the model is due, and rows that
// blocks of 256 do not divide the next best.
func TestMix(t *testing.T) {
	var shapes []Shape
	for n := range 24 {
		for _, part := range []string{"self_attn.q_proj", "self_attn.v_proj", "mlp.down_proj"} {
			shapes = append(shapes, Shape{fmt.Sprintf("model.layers.%d.%s.weight", n, part), []int64{64, 512}})
		}
	}
	shapes = append(shapes, Shape{"model.norm.weight", []int64{512}}, Shape{"model.embed_tokens.weight", []int64{64, 512}},
		Shape{"model.layers.0.mlp.up_proj.weight", []int64{64, 896}}, Shape{"model.layers.0.mlp.gate_proj.weight", []int64{64, 100}})
	for _, untied := range []bool{false, true} {
		all := shapes
		if untied {
			all = append(all, Shape{"lm_head.weight", []int64{64, 896}})
		}
		s, err := Synth("s", all, nil)
		require.NoError(t, err)
		stored := q4kmTypes(s)
		want := map[string]dtype.Type{"model.norm.weight": dtype.F32, "model.embed_tokens.weight": dtype.Q6_K,
			"model.layers.0.mlp.up_proj.weight": dtype.Q5_0, "model.layers.0.mlp.gate_proj.weight": dtype.F16}
		if untied {
			want["model.embed_tokens.weight"], want["lm_head.weight"] = dtype.Q4_K, dtype.Q8_0
		}
		for n := range 24 {
			more := dtype.Q4_K
			if n < 3 || n >= 21 || slices.Contains([]int{5, 8, 11, 14, 17, 20}, n) {
				more = dtype.Q6_K
			}
			want[fmt.Sprintf("model.layers.%d.self_attn.q_proj.weight", n)] = dtype.Q4_K
			want[fmt.Sprintf("model.layers.%d.self_attn.v_proj.weight", n)] = more
			want[fmt.Sprintf("model.layers.%d.mlp.down_proj.weight", n)] = more
		}
		have := map[string]dtype.Type{}
		for _, name := range s.Names() {
			info, _ := s.Info(name)
			have[name] = stored(name, info)
		}
		require.Equal(t, want, have)
	}
	s, err := KJV2M()
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "mix.gguf")
	require.NoError(t, WriteMix(t.Context(), path, s, nil, nil))
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	f, err := parseGGUF(raw)
	require.NoError(t, err)
	require.Equal(t, uint64(15), f.meta["general.file_type"])
	require.Equal(t, dtype.Q8_0, f.tensors["token_embd.weight"].DType) // rows of 192, and the head too
}
