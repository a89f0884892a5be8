package checkpoint

import (
	"fmt"
	"io/fs"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir/dtype"
)

// layersOf is a checkpoint of so many layers, with or without a head of its own.
type layersOf struct {
	Source
	layers int
	head   bool
}

func (s layersOf) Names() []string {
	out := []string{"model.embed_tokens.weight"}
	if s.head {
		out = append(out, "lm_head.weight")
	}
	for i := range s.layers {
		out = append(out, fmt.Sprintf("model.layers.%d.mlp.down_proj.weight", i))
	}
	return out
}

func (s layersOf) File(string) ([]byte, error) { return nil, fs.ErrNotExist }

// The layers of which llama.cpp's Q4_K_M keeps six bits: i < n/8, i >= 7n/8, or
// (i - n/8) % 3 == 2, in its words.
func TestLayersOfMoreBits(t *testing.T) {
	square := Info{DType: dtype.F16, Shape: []int64{512, 512}, Bytes: 2 * 512 * 512}
	for n, want := range map[int][]int{
		28: {0, 1, 2, 5, 8, 11, 14, 17, 20, 23, 24, 25, 26, 27},
		24: {0, 1, 2, 5, 8, 11, 14, 17, 20, 21, 22, 23},
		36: {0, 1, 2, 3, 6, 9, 12, 15, 18, 21, 24, 27, 30, 31, 32, 33, 34, 35},
		5:  {2, 4},
	} {
		types := q4kmTypes(layersOf{layers: n})
		var have []int
		for i := range n {
			down := types(fmt.Sprintf("model.layers.%d.mlp.down_proj.weight", i), square)
			require.Equal(t, down, types(fmt.Sprintf("model.layers.%d.self_attn.v_proj.weight", i), square))
			require.Equal(t, dtype.Q4_K, types(fmt.Sprintf("model.layers.%d.self_attn.q_proj.weight", i), square))
			if down == dtype.Q6_K {
				have = append(have, i)
			}
		}
		require.Equal(t, want, have, "%d layers", n)
		require.Equal(t, dtype.Q6_K, types("model.embed_tokens.weight", square))
	}
	types := q4kmTypes(layersOf{layers: 2, head: true})
	require.Equal(t, dtype.Q4_K, types("model.embed_tokens.weight", square))
	require.Equal(t, dtype.Q6_K, types("lm_head.weight", square))
}
