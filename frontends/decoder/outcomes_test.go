package decoder_test

import (
	"flag"
	"fmt"
	"hash/crc32"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/frontends/decoder"
	"foundry/frontends/qwen25"
	"foundry/frontends/qwen3"
	"foundry/ir/dtype"
	"foundry/tests/mutate"
)

var update = flag.Bool("update", false, "rewrite what the tests compare with")

// further is what a config.json may say beside what models of the families say.
const further = `,"rope_scaling":{"type":"yarn","rope_type":"yarn","factor":4,"original_max_position_embeddings":256,"beta_fast":32,"beta_slow":1,"truncate":true,"attention_factor":1.2},
	"use_sliding_window":true,"sliding_window":128,"max_window_layers":1,"layer_types":["full_attention","sliding_attention"],"hidden_act":"silu","is_causal":true,
	"attention_bias":false,"dtype":"bfloat16","use_mrope":false,"partial_rotary_factor":1,"mlp_bias":false,"quantization_config":null}`

// What becomes of a config.json of which a few members are others is kept: what is read, the
// weights and the graph of it, or the error.
func TestNearlyConfigs(t *testing.T) {
	type from struct {
		family decoder.Family
		tree   *mutate.Tree
	}
	var all []from
	for _, f := range []decoder.Family{qwen25.Family, qwen3.Family} {
		c, err := f.Preset(f.Sizes[0].Size)
		require.NoError(t, err)
		c.Layers, c.MaxPositions = 2, 1024
		for _, more := range []string{"}", further} {
			text := string(c.JSON())
			tree, err := mutate.JSON([]byte(text[:len(text)-1] + more))
			require.NoError(t, err)
			all = append(all, from{f, tree})
		}
	}
	have := mutate.Outcomes(600, func(i int, c *mutate.Choices) string {
		a := all[i%len(all)]
		read, err := a.family.Parse(a.tree.Text(c))
		if err != nil {
			return err.Error()
		}
		g, err := decoder.Build(read, decoder.BuildOptions{Context: 512, Chunk: 16, Weights: dtype.F16, Cache: dtype.F16})
		if err != nil {
			return err.Error()
		}
		text := fmt.Sprintf("%+v %v %s", read, decoder.Weights(read), g)
		return fmt.Sprintf("%08x %s", crc32.ChecksumIEEE([]byte(text)), text)
	})
	require.NoError(t, mutate.Keep("testdata/nearly.txt", have, *update))
}
