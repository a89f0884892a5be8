package checkpoint

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/frontends/tokenizer"
	"foundry/ir/dtype"
)

// qwen2File is a file of a qwen2 model with more metadata.
func qwen2File(more map[string]any) *gguf {
	meta := map[string]any{
		"general.architecture": "qwen2", "qwen2.block_count": uint64(2), "qwen2.context_length": uint64(1024), "qwen2.embedding_length": uint64(64),
		"qwen2.feed_forward_length": uint64(128), "qwen2.attention.head_count": uint64(2), "qwen2.attention.layer_norm_rms_epsilon": float32(1e-6),
	}
	maps.Copy(meta, more)
	return &gguf{meta, map[string]stored{"token_embd.weight": {Info: Info{Shape: []int64{96, 64}}}}}
}

// What llama.cpp reads of a qwen2 file is obeyed or refused.
func TestGGUFRules(t *testing.T) {
	for name, c := range map[string]struct {
		meta map[string]any
		rope string // rope_scaling of config.json
		err  string
	}{
		"none":              {nil, "null", ""},
		"type none":         {map[string]any{"qwen2.rope.scaling.type": "none", "qwen2.rope.scaling.factor": float32(4)}, "null", ""},
		"factor, no type":   {map[string]any{"qwen2.rope.scaling.factor": float32(4)}, `{"rope_type":"linear","factor":4}`, ""},
		"factor of one":     {map[string]any{"qwen2.rope.scaling.factor": float32(1)}, "null", ""},
		"factor of zero":    {map[string]any{"qwen2.rope.scaling.factor": float32(0)}, "null", ""},
		"older key":         {map[string]any{"qwen2.rope.scale_linear": float32(2.5)}, `{"rope_type":"linear","factor":2.5}`, ""},
		"linear":            {map[string]any{"qwen2.rope.scaling.type": "linear", "qwen2.rope.scaling.factor": float32(2)}, `{"rope_type":"linear","factor":2}`, ""},
		"yarn":              {map[string]any{"qwen2.rope.scaling.type": "yarn", "qwen2.rope.scaling.factor": float32(4)}, `{"rope_type":"yarn","factor":4,"original_max_position_embeddings":1024}`, ""},
		"yarn, all of it":   {map[string]any{"qwen2.rope.scaling.type": "yarn", "qwen2.rope.scaling.factor": float32(4), "qwen2.rope.scaling.original_context_length": uint64(256), "qwen2.rope.scaling.yarn_beta_fast": float32(16), "qwen2.rope.scaling.yarn_beta_slow": float32(2), "qwen2.rope.scaling.attn_factor": float32(2)}, `{"rope_type":"yarn","factor":4,"original_max_position_embeddings":256,"beta_fast":16,"beta_slow":2,"attention_factor":2.2772588722239782}`, ""},
		"longrope":          {map[string]any{"qwen2.rope.scaling.type": "longrope"}, `{"rope_type":"longrope","factor":0}`, ""},
		"a part of a head":  {map[string]any{"qwen2.rope.dimension_count": uint64(16)}, "", `metadata "qwen2.rope.dimension_count" is 16, only 32 is supported: rope turns whole heads`},
		"a whole head":      {map[string]any{"qwen2.rope.dimension_count": uint64(32)}, "null", ""},
		"value_length":      {map[string]any{"qwen2.attention.key_length": uint64(16), "qwen2.attention.value_length": uint64(32)}, "", `metadata "qwen2.attention.value_length" is 32, only 16 is supported: values are as long as keys`},
		"encoder":           {map[string]any{"qwen2.attention.causal": false}, "", `metadata "qwen2.attention.causal" is false, only true is supported: the model is an encoder`},
		"pooling":           {map[string]any{"qwen2.pooling_type": uint64(3)}, "", `metadata "qwen2.pooling_type" is 3, only 0 is supported: the model makes embeddings`},
		"experts":           {map[string]any{"qwen2.expert_count": uint64(8)}, "", `metadata "qwen2.expert_count" is 8, only 0 is supported: the model has experts`},
		"vocab_size":        {map[string]any{"qwen2.vocab_size": uint64(97)}, "", `metadata "qwen2.vocab_size" is 97, only 96 is supported: that many rows the embedding has`},
		"yarn_ext_factor":   {map[string]any{"qwen2.rope.scaling.yarn_ext_factor": float32(0.5)}, "", `metadata "qwen2.rope.scaling.yarn_ext_factor" is 0.5, only 1 is supported: yarn is taken as published`},
		"factor is no word": {map[string]any{"qwen2.rope.scaling.factor": "four"}, "", `metadata "qwen2.rope.scaling.factor" is no number`},
	} {
		t.Run(name, func(t *testing.T) {
			raw, err := qwen2File(c.meta).config()
			if c.err != "" {
				require.EqualError(t, err, c.err)
				return
			}
			require.NoError(t, err)
			var config map[string]json.RawMessage
			require.NoError(t, json.Unmarshal(raw, &config))
			have := config["rope_scaling"]
			if have == nil {
				have = json.RawMessage("null")
			}
			require.JSONEq(t, c.rope, string(have))
		})
	}
}

// What a config.json says of longer contexts comes back from the file's metadata.
func TestGGUFScalingRoundTrip(t *testing.T) {
	for _, text := range []string{
		`{"rope_type":"linear","factor":2}`,
		`{"rope_type":"yarn","factor":4,"original_max_position_embeddings":256,"beta_fast":16,"beta_slow":2}`,
		`{"rope_type":"yarn","factor":4,"original_max_position_embeddings":256,"attention_factor":1.5}`,
	} {
		var scaling map[string]any
		require.NoError(t, json.Unmarshal([]byte(text), &scaling))
		entries, err := ggufScaling("qwen2", map[string]any{"rope_scaling": scaling})
		require.NoError(t, err)
		meta := map[string]any{}
		for _, e := range entries {
			if n, ok := e.value.(uint32); ok {
				meta[e.key] = uint64(n)
				continue
			}
			meta[e.key] = e.value
		}
		raw, err := qwen2File(meta).config()
		require.NoError(t, err)
		var back struct {
			Scaling map[string]any `json:"rope_scaling"`
		}
		require.NoError(t, json.Unmarshal(raw, &back))
		for key, want := range scaling {
			if x, ok := want.(float64); ok {
				require.InEpsilon(t, x, back.Scaling[key], 1e-6, "%s %s", text, key)
				continue
			}
			require.Equal(t, want, back.Scaling[key], "%s %s", text, key)
		}
	}
	entries, err := ggufScaling("qwen2", map[string]any{"rope_scaling": map[string]any{}})
	require.NoError(t, err)
	require.Empty(t, entries)
	entries, err = ggufScaling("qwen2", map[string]any{"rope_scaling": map[string]any{}, "rope_parameters": map[string]any{"rope_type": "linear", "factor": 2.0}})
	require.NoError(t, err)
	require.Len(t, entries, 2)
	_, err = ggufScaling("qwen2", map[string]any{"use_sliding_window": true})
	require.EqualError(t, err, "config.json: use_sliding_window is true, which has no form in a GGUF file of qwen2")
	for _, more := range []map[string]any{{"truncate": false}, {"mscale": 1.0, "mscale_all_dim": 0.5}} {
		more["rope_type"], more["factor"] = "yarn", 2.0
		_, err = ggufScaling("qwen2", map[string]any{"rope_scaling": more})
		require.EqualError(t, err, "config.json: yarn with truncate false, or with mscale, has no form in GGUF")
	}
	_, err = ggufScaling("qwen2", map[string]any{"rope_parameters": map[string]any{"rope_type": "dynamic", "factor": 2.0}})
	require.EqualError(t, err, `config.json: rope_scaling of type "dynamic" has no form in GGUF`)
}

// add_bos_token and add_eos_token put tokens around every text; eot and eom end one
// as eos does.
func TestGGUFEnds(t *testing.T) {
	_, path := writeKJV(t, dtype.F16)
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	f, err := parseGGUF(raw)
	require.NoError(t, err)
	eos := f.meta["tokenizer.ggml.eos_token_id"].(uint64)
	f.meta["tokenizer.ggml.add_eos_token"] = true
	b, err := f.tokenizer()
	require.NoError(t, err)
	var out struct {
		Post map[string]any `json:"post_processor"`
	}
	require.NoError(t, json.Unmarshal(b, &out))
	end := f.meta["tokenizer.ggml.tokens"].([]string)[eos]
	require.Equal(t, "TemplateProcessing", out.Post["type"])
	require.Equal(t, []any{
		map[string]any{"Sequence": map[string]any{"id": "A", "type_id": 0.0}},
		map[string]any{"SpecialToken": map[string]any{"id": end, "type_id": 0.0}},
	}, out.Post["single"])
	alone := func(name string) ([]byte, error) {
		if name != "tokenizer.json" {
			return nil, fs.ErrNotExist
		}
		return b, nil
	}
	tok, err := tokenizer.Read(alone)
	require.NoError(t, err)
	ids, err := tok.Encode("In")
	require.NoError(t, err)
	require.Equal(t, int(eos), int(ids[len(ids)-1]))
	f.meta["tokenizer.ggml.add_bos_token"], f.meta["tokenizer.ggml.bos_token_id"] = true, eos
	b, err = f.tokenizer()
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, &out))
	part := map[string]any{"SpecialToken": map[string]any{"id": end, "type_id": 0.0}}
	require.Equal(t, []any{part, map[string]any{"Sequence": map[string]any{"id": "A", "type_id": 0.0}}, part}, out.Post["single"], "before and behind")
	require.Equal(t, out.Post["single"], out.Post["pair"])
	require.Equal(t, map[string]any{end: map[string]any{"id": end, "ids": []any{float64(eos)}, "tokens": []any{end}}}, out.Post["special_tokens"])
	f.meta["tokenizer.ggml.bos_token_id"] = uint64(len(f.meta["tokenizer.ggml.tokens"].([]string)))
	_, err = f.tokenizer()
	require.EqualError(t, err, `metadata "tokenizer.ggml.add_bos_token" is true, but "tokenizer.ggml.bos_token_id" is no token`)
	delete(f.meta, "tokenizer.ggml.add_bos_token")
	f.meta["tokenizer.ggml.add_eos_token"] = uint64(1)
	_, err = f.tokenizer()
	require.EqualError(t, err, `metadata "tokenizer.ggml.add_eos_token" is 1, want true or false`)
	delete(f.meta, "tokenizer.ggml.add_eos_token")
	f.meta["tokenizer.ggml.add_bos_token"] = true
	f.meta["tokenizer.ggml.bos_token_id"] = uint64(1 << 40)
	_, err = f.tokenizer()
	require.EqualError(t, err, `metadata "tokenizer.ggml.add_bos_token" is true, but "tokenizer.ggml.bos_token_id" is no token`)

	f.meta["tokenizer.ggml.eot_token_id"], f.meta["tokenizer.ggml.eom_token_id"] = uint64(7), uint64(9)
	b, err = f.generationConfig()
	require.NoError(t, err)
	require.JSONEq(t, fmt.Sprintf(`{"eos_token_id":[%d,7,9]}`, eos), string(b))
	_, err = qwen2File(nil).generationConfig()
	require.ErrorIs(t, err, fs.ErrNotExist)
	_, err = qwen2File(map[string]any{"tokenizer.ggml.model": "none"}).tokenizer()
	require.ErrorIs(t, err, fs.ErrNotExist)
}

// A split model is opened by any of its files, the first of which may hold no tensor.
func TestGGUFSplit(t *testing.T) {
	dir := t.TempDir()
	part := func(i int) string { return filepath.Join(dir, fmt.Sprintf("m-%05d-of-00003.gguf", i+1)) }
	tensors := [][]string{{}, {"token_embd.weight"}, {"output_norm.weight", "output.weight"}}
	write := func(i int, no, count uint32, names []string, more ...ggufEntry) {
		meta := append([]ggufEntry{{"split.no", no}, {"split.count", count}}, more...)
		h := ggufBuilder(ggufMagic)
		h.u32(3)
		h.u64(uint64(len(names)))
		h.u64(uint64(len(meta)))
		for _, e := range meta {
			h.entry(e)
		}
		for n, name := range names {
			h.str(name)
			h.u32(1)
			h.u64(8)
			h.u32(0)
			h.u64(uint64(32 * n))
		}
		for int64(len(h)) != padded(int64(len(h))) {
			h = append(h, 0)
		}
		for range names {
			h = append(h, make([]byte, 32)...)
		}
		require.NoError(t, os.WriteFile(part(i), h, 0o600))
	}
	all := func(total uint32) {
		write(0, 0, 3, tensors[0], ggufEntry{"general.architecture", "qwen2"}, ggufEntry{"split.tensors.count", total})
		write(1, 1, 3, tensors[1])
		write(2, 2, 3, tensors[2])
	}
	all(3)
	for i := range 3 {
		s, err := Open(part(i))
		require.NoError(t, err)
		require.Equal(t, []string{"lm_head.weight", "model.embed_tokens.weight", "model.norm.weight"}, s.Names())
		b, err := s.Read("model.norm.weight")
		require.NoError(t, err)
		require.Len(t, b, 32)
		pages, _ := s.(Mapped).Pages("lm_head.weight")
		require.NotEmpty(t, pages)
		require.NoError(t, s.Close())
	}
	fails := func(want string) {
		t.Helper()
		_, err := Open(part(1))
		require.EqualError(t, err, want)
	}
	all(4)
	fails(part(0) + `: its metadata "split.tensors.count" is 4, but the files have 3 tensors`)
	all(3)
	write(2, 1, 3, tensors[2])
	fails(part(2) + `: its metadata "split.no" is 1, its name says 2`)
	write(2, 2, 3, []string{"output_norm.weight", "token_embd.weight"})
	fails(part(2) + `: tensor "token_embd.weight" is in an earlier file too`)
	write(2, 2, 2, tensors[2])
	fails(part(2) + `: its metadata "split.count" is 2, that of another file 3`)
	require.NoError(t, os.Remove(part(2)))
	fails(part(1) + ": file 3 of 3 of the model, " + part(2) + ", is missing")
	other := filepath.Join(dir, "other.gguf")
	require.NoError(t, os.Rename(part(1), other))
	_, err := Open(other)
	require.EqualError(t, err, other+": it is one of 3 files of a split model, which are found by their names, such as NAME-00001-of-00003.gguf; give it its name back")
	require.NoError(t, os.Rename(other, filepath.Join(dir, "m-00001-of-00002.gguf")))
	_, err = Open(filepath.Join(dir, "m-00001-of-00002.gguf"))
	require.ErrorContains(t, err, "its name says that the model has 2 files, its metadata 3")
}
