package oracle

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Write puts the checkpoint into a folder and returns the name under which it can be
// opened: the folder's, or that of a GGUF file in it.
func (c *Checkpoint) Write(dir string) (string, error) {
	if c.GGUF {
		path := filepath.Join(dir, "model.gguf")
		return path, os.WriteFile(path, c.gguf(), 0o666)
	}
	weights, err := c.safetensors()
	if err != nil {
		return "", err
	}
	config, err := json.Marshal(configFile{
		c.modelType(), c.Layers, c.Hidden, c.Intermediate, c.Heads, c.KVHeads, c.HeadDim,
		c.Vocab, maxPositions, c.NormEps, c.RopeTheta, c.Tied, c.quantization(),
	})
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), config, 0o666); err != nil {
		return "", err
	}
	return dir, os.WriteFile(filepath.Join(dir, "model.safetensors"), weights, 0o666)
}

// configFile is config.json.
type configFile struct {
	Type         string  `json:"model_type"`
	Layers       int     `json:"num_hidden_layers"`
	Hidden       int     `json:"hidden_size"`
	Intermediate int     `json:"intermediate_size"`
	Heads        int     `json:"num_attention_heads"`
	KVHeads      int     `json:"num_key_value_heads"`
	HeadDim      int     `json:"head_dim"`
	Vocab        int     `json:"vocab_size"`
	Positions    int     `json:"max_position_embeddings"`
	NormEps      float64 `json:"rms_norm_eps"`
	RopeTheta    float64 `json:"rope_theta"`
	Tied         bool    `json:"tie_word_embeddings"`

	Quantization map[string]any `json:"quantization,omitempty"`
}

// headerEntry describes a tensor in a safetensors header.
type headerEntry struct {
	Type    string   `json:"dtype"`
	Shape   []int    `json:"shape"`
	Offsets [2]int64 `json:"data_offsets"`
}

// part is a tensor as a safetensors file holds it.
type part struct {
	dtype string
	shape []int
	data  []byte
}

func (c *Checkpoint) safetensors() ([]byte, error) {
	parts := map[string]part{}
	for name, t := range c.tensors {
		switch _, mlx := affines[t.format]; {
		case mlx:
			maps.Copy(parts, t.mlxParts(name))
		case t.format.format().elems > 1:
			return nil, fmt.Errorf("safetensors has no %s", t.format)
		default:
			parts[name] = part{strings.ToUpper(string(t.format)), t.shape, t.data}
		}
	}
	header := map[string]headerEntry{}
	var data []byte
	for _, name := range slices.Sorted(maps.Keys(parts)) {
		p := parts[name]
		begin := int64(len(data))
		data = append(data, p.data...)
		header[name] = headerEntry{p.dtype, p.shape, [2]int64{begin, int64(len(data))}}
	}
	text, err := json.Marshal(header)
	if err != nil {
		return nil, err
	}
	out := binary.LittleEndian.AppendUint64(nil, uint64(len(text)))
	return append(append(out, text...), data...), nil
}

// Read opens a folder with config.json and model.safetensors of plain floats.
func Read(dir string) (*Checkpoint, error) {
	text, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err != nil {
		return nil, err
	}
	var f configFile
	if err := json.Unmarshal(text, &f); err != nil {
		return nil, err
	}
	if f.HeadDim == 0 {
		f.HeadDim = f.Hidden / f.Heads
	}
	c := &Checkpoint{Config{
		Layers: f.Layers, Hidden: f.Hidden, Intermediate: f.Intermediate, Heads: f.Heads, KVHeads: f.KVHeads, HeadDim: f.HeadDim,
		Vocab: f.Vocab, NormEps: f.NormEps, RopeTheta: f.RopeTheta, Tied: f.Tied, HeadNorms: f.Type == "qwen3",
	}, map[string]tensor{}}
	file, err := os.ReadFile(filepath.Join(dir, "model.safetensors"))
	if err != nil {
		return nil, err
	}
	size := binary.LittleEndian.Uint64(file)
	data := file[8+size:]
	header := map[string]json.RawMessage{}
	if err := json.Unmarshal(file[8:8+size], &header); err != nil {
		return nil, err
	}
	delete(header, "__metadata__")
	for name, entry := range header {
		var e headerEntry
		if err := json.Unmarshal(entry, &e); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		form := Format(strings.ToLower(e.Type))
		if !slices.Contains(Plain[:], form) {
			return nil, fmt.Errorf("%s is %s", name, e.Type)
		}
		c.tensors[name] = tensor{e.Shape, form, data[e.Offsets[0]:e.Offsets[1]]}
		if len(e.Shape) > 1 && len(c.Formats) == 0 {
			c.Formats = []Format{form}
		}
	}
	return c, nil
}

// ggufNames pairs Hugging Face's names with those of GGUF.
var ggufNames = strings.NewReplacer(
	"model.embed_tokens", "token_embd", "model.norm", "output_norm", "lm_head", "output", "model.layers", "blk",
	"self_attn.q_norm", "attn_q_norm", "self_attn.k_norm", "attn_k_norm", "input_layernorm", "attn_norm", "post_attention_layernorm", "ffn_norm",
	"self_attn.q_proj", "attn_q", "self_attn.k_proj", "attn_k", "self_attn.v_proj", "attn_v", "self_attn.o_proj", "attn_output",
	"mlp.gate_proj", "ffn_gate", "mlp.up_proj", "ffn_up", "mlp.down_proj", "ffn_down",
)

// ggufBuilder is a GGUF file under construction, up to its tensors' bytes.
type ggufBuilder []byte

func (b *ggufBuilder) u32(v int)     { *b = binary.LittleEndian.AppendUint32(*b, uint32(v)) }
func (b *ggufBuilder) u64(v int)     { *b = binary.LittleEndian.AppendUint64(*b, uint64(v)) }
func (b *ggufBuilder) text(s string) { b.u64(len(s)); *b = append(*b, s...) }

// meta writes an entry of metadata: the types 4, 6 and 8 are uint32, float32, string.
func (b *ggufBuilder) meta(key string, value any) {
	b.text(key)
	switch v := value.(type) {
	case int:
		b.u32(4)
		b.u32(v)
	case float64:
		b.u32(6)
		b.u32(int(math.Float32bits(float32(v))))
	case string:
		b.u32(8)
		b.text(v)
	}
}

// pad rounds up to the alignment of tensors, 32.
func pad(n int) int { return (n + 31) / 32 * 32 }

func (c *Checkpoint) gguf() []byte {
	b := ggufBuilder("GGUF")
	b.u32(3)
	b.u64(len(c.tensors))
	meta := []struct {
		key   string
		value any
	}{
		{"general.architecture", c.modelType()},
		{"qwen2.block_count", c.Layers},
		{"qwen2.context_length", maxPositions},
		{"qwen2.embedding_length", c.Hidden},
		{"qwen2.feed_forward_length", c.Intermediate},
		{"qwen2.attention.head_count", c.Heads},
		{"qwen2.attention.head_count_kv", c.KVHeads},
		{"qwen2.attention.key_length", c.HeadDim},
		{"qwen2.attention.layer_norm_rms_epsilon", c.NormEps},
		{"qwen2.rope.freq_base", c.RopeTheta},
	}
	b.u64(len(meta))
	for _, m := range meta {
		b.meta(strings.Replace(m.key, "qwen2", c.modelType(), 1), m.value)
	}
	names := slices.Sorted(maps.Keys(c.tensors))
	offset := 0
	for _, name := range names {
		t := c.tensors[name]
		b.text(ggufNames.Replace(name))
		b.u32(len(t.shape))
		for _, n := range slices.Backward(t.shape) { // the fastest dimension first
			b.u64(n)
		}
		b.u32(int(t.format.format().ggml))
		b.u64(offset)
		offset += pad(len(t.data))
	}
	b = append(b, make([]byte, pad(len(b))-len(b))...)
	for _, name := range names {
		data := c.tensors[name].data
		b = append(append(b, data...), make([]byte, pad(len(data))-len(data))...)
	}
	return b
}
