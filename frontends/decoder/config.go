// Package decoder turns the configuration of a decoder-only language model into the
// model's graph of primitive operations, with nothing fused: embedding, layers of
// attention and SwiGLU behind RMSNorm, and a head.
//
// A Family says how one family of such models differs, as data. Its Parse reads
// config.json, Weights lists the tensors that such a model has, Check holds a
// checkpoint against the list, and Build emits the graph with T symbolic; decode is
// the same graph specialised to T = 1.
//
// Read next: build.go for the model as operations, then foundry/frontends/qwen25 for a
// family, and foundry/passes, which fuses what Build emits.
package decoder

import (
	"encoding/json"
	"errors"
	"fmt"
)

// Config is what the graph needs of a model's config.json. A Config from a Family is
// valid.
type Config struct {
	Arch
	Layers       int
	Hidden       int
	Intermediate int
	Heads        int // query heads
	KVHeads      int // key and value heads; divides Heads
	HeadDim      int // elements of a head, an even number
	Vocab        int
	MaxPositions int
	NormEps      float64
	RopeTheta    float64
	Rope         Scaling
	// Window is how many tokens, its own and those before it, a token sees in the layers
	// that Sliding names; 0: there are none.
	Window  int
	Sliding []bool // the layers with a window; nil where Window is 0
	Tied    bool   // one matrix for embedding and lm_head
}

// The largest values that are taken for a model rather than for a mistake. They
// keep every size computed from a Config within an int64.
const (
	maxLayers    = 1 << 10
	maxWidth     = 1 << 18
	maxHeads     = 1 << 12
	maxHeadDim   = 1 << 12
	maxVocab     = 1 << 22
	maxPositions = 1 << 22
)

// Between these a kernel can compute with the number: float32 holds it, its inverse
// root and, of rope_theta, every frequency theta^(-2i/head_dim) as a normal number.
const (
	leastNormEps, greatestNormEps     = 1e-30, 1
	leastRopeTheta, greatestRopeTheta = 1, 1e30
)

// file is config.json, in the published form and in the newer one, which keeps
// rope_theta in rope_parameters. A nil field is absent or null.
type file struct {
	ModelType    *string         `json:"model_type"`
	Layers       *int64          `json:"num_hidden_layers"`
	Hidden       *int64          `json:"hidden_size"`
	Intermediate *int64          `json:"intermediate_size"`
	Heads        *int64          `json:"num_attention_heads"`
	KVHeads      *int64          `json:"num_key_value_heads"`
	HeadDim      *int64          `json:"head_dim"`
	Vocab        *int64          `json:"vocab_size"`
	MaxPositions *int64          `json:"max_position_embeddings"`
	NormEps      *float64        `json:"rms_norm_eps"`
	RopeTheta    *float64        `json:"rope_theta"`
	Rope         *ropeParameters `json:"rope_parameters"`
	RopeScaling  *ropeParameters `json:"rope_scaling"`
	Tied         bool            `json:"tie_word_embeddings"`
	Act          *string         `json:"hidden_act"`
	// Architectures are the classes that the checkpoint was trained as.
	Architectures     []string `json:"architectures"`
	OriginalPositions *int64   `json:"original_max_position_embeddings"`
	windows
}

// Parse reads a config.json of the family. Absent fields take the value that the
// published architecture gives them where it defines one (num_key_value_heads: one a
// query head; head_dim: that of the family); all others are required.
func (f *Family) Parse(raw []byte) (Config, error) {
	c, err := f.parse(raw)
	if err != nil {
		return Config{}, fmt.Errorf("config.json: %w", err)
	}
	return c, nil
}

func (f *Family) parse(raw []byte) (Config, error) {
	var x file
	if err := ReadJSON(raw, &x); err != nil {
		return Config{}, err
	}
	if err := f.supports(&x); err != nil {
		return Config{}, err
	}
	most := 0
	if f.Further != nil {
		var err error
		if most, err = f.Further(raw); err != nil {
			return Config{}, err
		}
	}
	c, err := x.config(f.HeadDim)
	if err != nil {
		return Config{}, err
	}
	c.Arch = f.Arch
	if most > 0 {
		c.MaxPositions = min(c.MaxPositions, most)
	}
	return c, nil
}

// ReadJSON reads the fields of a config.json into v; the error names the field that
// holds another kind of value.
func ReadJSON(raw []byte, v any) error {
	if err := json.Unmarshal(raw, v); err != nil {
		return errors.New(jsonError(err))
	}
	return nil
}

func jsonError(err error) string {
	var wrongType *json.UnmarshalTypeError
	switch {
	case errors.As(err, &wrongType) && wrongType.Field != "":
		want := map[string]string{"int64": "an integer", "float64": "a number within float64's range", "bool": "true or false", "string": "a string"}[wrongType.Type.String()]
		if want == "" {
			want = "another kind of value"
		}
		return fmt.Sprintf("%s is %s, want %s", wrongType.Field, wrongType.Value, want)
	case errors.As(err, &wrongType):
		return fmt.Sprintf("holds %s, want an object", wrongType.Value)
	}
	return "not JSON: " + err.Error()
}

// config reads the fields that all families have. headDim is that of a file without
// head_dim; 0: the hidden size over the heads.
func (f *file) config(headDim int) (Config, error) {
	var err error
	count := func(name string, p *int64, limit int64) int {
		switch {
		case err != nil:
		case p == nil:
			err = fmt.Errorf("%s is missing", name)
		case *p < 1 || *p > limit:
			err = fmt.Errorf("%s is %d, want 1 to %d", name, *p, limit)
		default:
			return int(*p)
		}
		return 1
	}
	within := func(name string, p *float64, least, greatest float64) float64 {
		switch {
		case err != nil:
		case p == nil:
			err = fmt.Errorf("%s is missing", name)
		case !(*p >= least && *p <= greatest): // NaN fails too
			err = fmt.Errorf("%s is %v, want %g to %g", name, *p, least, float64(greatest))
		default:
			return *p
		}
		return 1
	}
	c := Config{
		Layers:       count("num_hidden_layers", f.Layers, maxLayers),
		Hidden:       count("hidden_size", f.Hidden, maxWidth),
		Intermediate: count("intermediate_size", f.Intermediate, maxWidth),
		Heads:        count("num_attention_heads", f.Heads, maxHeads),
		Vocab:        count("vocab_size", f.Vocab, maxVocab),
		MaxPositions: count("max_position_embeddings", f.MaxPositions, maxPositions),
		NormEps:      within("rms_norm_eps", f.NormEps, leastNormEps, greatestNormEps),
		Tied:         f.Tied,
	}
	theta, scaling, ropeErr := f.rope()
	if err == nil {
		err = ropeErr
	}
	c.RopeTheta = within("rope_theta", theta, leastRopeTheta, greatestRopeTheta)
	c.KVHeads = c.Heads
	if f.KVHeads != nil {
		c.KVHeads = count("num_key_value_heads", f.KVHeads, maxHeads)
	}
	switch {
	case err != nil:
	case f.HeadDim != nil:
		c.HeadDim = count("head_dim", f.HeadDim, maxHeadDim)
	case headDim > 0:
		c.HeadDim = headDim
	case c.Hidden%c.Heads != 0:
		err = fmt.Errorf("hidden_size %d is not divisible by num_attention_heads %d, and there is no head_dim", c.Hidden, c.Heads)
	default:
		c.HeadDim = c.Hidden / c.Heads
	}
	if err != nil {
		return Config{}, err
	}
	c.Rope = scaling
	if c.Window, c.Sliding, err = f.windows.byLayer(c.Layers); err != nil {
		return Config{}, err
	}
	c.MaxPositions = scaling.positions(c.MaxPositions)
	return c, c.validate()
}

// validate checks what single fields cannot show.
func (c Config) validate() error {
	switch {
	case c.HeadDim%2 != 0 || c.HeadDim > maxHeadDim:
		return fmt.Errorf("head_dim is %d, want an even number of at most %d: RoPE turns pairs", c.HeadDim, maxHeadDim)
	case c.Heads*c.HeadDim > maxWidth:
		return fmt.Errorf("num_attention_heads %d times head_dim %d is above %d", c.Heads, c.HeadDim, maxWidth)
	case c.Heads%c.KVHeads != 0:
		return fmt.Errorf("num_attention_heads %d is not divisible by num_key_value_heads %d", c.Heads, c.KVHeads)
	case c.Rope.Kind == YaRN && c.RopeTheta <= 1:
		return errors.New("yarn needs a rope_theta above 1: all waves are alike")
	}
	return nil
}

// CheckContext is an error where the model has no positions for so many tokens.
func (c Config) CheckContext(context int) error {
	if context < 1 || context > c.MaxPositions {
		return fmt.Errorf("context is %d, want 1 to %d, the positions that the model's config.json allows", context, c.MaxPositions)
	}
	return nil
}

// JSON writes c as a config.json in the published form, which Parse of its family reads
// back.
func (c Config) JSON() []byte {
	fields := map[string]any{
		"architectures": []string{c.Class}, "model_type": c.ModelType, "hidden_act": "silu",
		"num_hidden_layers": c.Layers, "hidden_size": c.Hidden, "intermediate_size": c.Intermediate,
		"num_attention_heads": c.Heads, "num_key_value_heads": c.KVHeads, "head_dim": c.HeadDim,
		"vocab_size": c.Vocab, "max_position_embeddings": c.MaxPositions,
		"rms_norm_eps": c.NormEps, "rope_theta": c.RopeTheta,
		"tie_word_embeddings": c.Tied, "use_sliding_window": false,
	}
	if c.Window > 0 {
		fields["use_sliding_window"], fields["sliding_window"], fields["layer_types"] = true, c.Window, c.layerTypes()
	}
	if scaling := c.Rope.fields(); scaling != nil {
		fields["rope_scaling"] = scaling
	}
	raw, err := json.MarshalIndent(fields, "", "  ")
	if err != nil {
		panic(err) // finite numbers and strings only: Parse and Preset see to it
	}
	return raw
}
