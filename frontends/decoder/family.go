package decoder

import (
	"fmt"
	"slices"
	"strings"

	"foundry/ir/names"
)

// Family is one family of models: its architecture, its published sizes, and what its
// config.json says that those of other families do not.
type Family struct {
	Arch
	Name   string // the published name, such as "Qwen2.5"; in lower case it names synthetic models
	Shared Config // settings that the published sizes have in common
	// HeadDim is the head_dim of a config.json without one; 0: hidden_size over heads.
	HeadDim int
	Sizes   []Preset // published sizes, the smallest first
	// Further reads what a config.json of this family alone may say, and returns how many
	// positions that leaves, 0 for all; the error names what is not supported. nil: there
	// is nothing.
	Further func(raw []byte) (most int, err error)
	Refused []Refused
}

// Arch is what sets the mathematics of a family apart.
type Arch struct {
	ModelType string // model_type of config.json
	// Class is the one among architectures of config.json that gives the logits of the
	// next token. Others have the same layers and give something else, or attend otherwise.
	Class   string
	QKVBias bool // the projections to q, k and v have biases
	// HeadNorms says that each head of q and of k goes through an RMSNorm of its own,
	// whose weight the heads of a layer share, before RoPE turns it.
	HeadNorms bool
}

// Refused is what a family says of models that bear its name and are built otherwise.
type Refused struct {
	ModelTypes []string // names in config.json and, where it has another, general.architecture of GGUF
	Why        string
}

// Preset is a published size.
type Preset struct {
	Size                                                         string
	Layers, Hidden, Intermediate, Heads, KVHeads, HeadDim, Vocab int
	Tied                                                         bool
}

// SizeNames lists the names of the published sizes, smallest first.
func (f *Family) SizeNames() []string {
	out := make([]string, len(f.Sizes))
	for i, p := range f.Sizes {
		out[i] = p.Size
	}
	return out
}

// Preset returns the configuration of a published size. The error for another name
// suggests the nearest.
func (f *Family) Preset(size string) (Config, error) {
	for _, p := range f.Sizes {
		if p.Size == strings.ToLower(size) {
			c := f.Shared
			c.Arch = f.Arch
			c.Layers, c.Hidden, c.Intermediate, c.Heads, c.KVHeads = p.Layers, p.Hidden, p.Intermediate, p.Heads, p.KVHeads
			c.HeadDim, c.Vocab, c.Tied = p.HeadDim, p.Vocab, p.Tied
			return c, nil
		}
	}
	sizes := f.SizeNames()
	return Config{}, fmt.Errorf("there is no %s of size %q, sizes are %s%s", f.Name, size, strings.Join(sizes, ", "), names.DidYouMean(size, sizes))
}

// supports refuses models whose mathematics differ from what Build emits.
func (f *Family) supports(x *file) error {
	switch {
	case x.ModelType == nil:
		return fmt.Errorf("model_type is missing; foundry compiles %s", f.ModelType)
	case *x.ModelType != f.ModelType:
		return fmt.Errorf("this is a %s model; foundry compiles %s", names.Plain(*x.ModelType), f.ModelType)
	case x.Act != nil && *x.Act != "silu":
		return fmt.Errorf("hidden_act is %q, want \"silu\"", *x.Act)
	case len(x.Architectures) > 0 && !slices.Contains(x.Architectures, f.Class):
		return fmt.Errorf("this is a %s; foundry compiles %s, which gives the next token", names.Plain(x.Architectures[0]), f.Class)
	}
	return nil
}
