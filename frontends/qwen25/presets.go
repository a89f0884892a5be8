package qwen25

import (
	"fmt"
	"foundry/ir/names"
	"strings"
)

// preset is one row of the published family; the fields that all sizes share
// stand in Preset.
type preset struct {
	size                                              string
	layers, hidden, intermediate, heads, kvHeads, dim int
	vocab                                             int
	tied                                              bool
}

var presets = []preset{
	{"0.5b", 24, 896, 4864, 14, 2, 64, 151936, true},
	{"1.5b", 28, 1536, 8960, 12, 2, 128, 151936, true},
	{"3b", 36, 2048, 11008, 16, 2, 128, 151936, true},
	{"7b", 28, 3584, 18944, 28, 4, 128, 152064, false},
	{"14b", 48, 5120, 13824, 40, 8, 128, 152064, false},
	{"32b", 64, 5120, 27648, 40, 8, 128, 152064, false},
	{"72b", 80, 8192, 29568, 64, 8, 128, 152064, false},
}

// Sizes lists the presets' names, smallest first.
func Sizes() []string {
	out := make([]string, len(presets))
	for i, p := range presets {
		out[i] = p.size
	}
	return out
}

// Preset returns the configuration of a published size: "0.5b" to "72b". The
// error for another name suggests the nearest.
func Preset(size string) (Config, error) {
	for _, p := range presets {
		if p.size == strings.ToLower(size) {
			return Config{
				Layers: p.layers, Hidden: p.hidden, Intermediate: p.intermediate,
				Heads: p.heads, KVHeads: p.kvHeads, HeadDim: p.dim, Vocab: p.vocab,
				MaxPositions: 32768, NormEps: 1e-6, RopeTheta: 1e6, Tied: p.tied,
			}, nil
		}
	}
	return Config{}, fmt.Errorf("there is no Qwen2.5 of size %q, sizes are %s%s", size, strings.Join(Sizes(), ", "), names.DidYouMean(size, Sizes()))
}
