package tests

import (
	"path/filepath"
	"testing"

	"foundry"
	"foundry/tests/oracle"

	"github.com/stretchr/testify/require"
)

// What generated checkpoints leave out because the front end refuses it, and how: the
// rest of what a Config can say is computed.
func TestRefusedCheckpoints(t *testing.T) {
	base := oracle.Config{
		Layers: 1, Hidden: 256, Intermediate: 256, Heads: 4, KVHeads: 2, HeadDim: 64, Vocab: 72,
		NormEps: 1e-6, RopeTheta: 1e4, Formats: []oracle.Format{oracle.F16}, GGUF: true,
	}
	for want, change := range map[string]func(c *oracle.Config){
		"head_dim is 63, want an even number of at most 4096":                   func(c *oracle.Config) { c.HeadDim = 63 },
		"num_attention_heads 4 is not divisible by num_key_value_heads 3":       func(c *oracle.Config) { c.KVHeads = 3 },
		"rms_norm_eps is 10, want 1e-30 to 1":                                   func(c *oracle.Config) { c.NormEps = 10 },
		"rope_theta is 0.5, want 1 to 1e+30":                                    func(c *oracle.Config) { c.RopeTheta = 0.5 },
		"num_hidden_layers is 0, want 1 to 1024":                                func(c *oracle.Config) { c.Layers = 0 },
		"rows of shape [72 240] do not divide into q8_0 blocks of 32 elements":  func(c *oracle.Config) { c.Hidden, c.Formats[0] = 240, oracle.Q8_0 },
		"rows of shape [72 128] do not divide into q4_k blocks of 256 elements": func(c *oracle.Config) { c.Hidden, c.Formats[0] = 128, oracle.Q4_K },
	} {
		t.Run(want, func(t *testing.T) {
			c := base
			c.Formats = []oracle.Format{base.Formats[0]}
			change(&c)
			name, err := oracle.Generate(c, 1).Write(t.TempDir())
			require.NoError(t, err)
			require.Equal(t, "model.gguf", filepath.Base(name))
			_, err = foundry.Open(name, foundry.Hub{})
			require.ErrorContains(t, err, want)
		})
	}
}
