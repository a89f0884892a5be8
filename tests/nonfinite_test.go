package tests

import (
	"encoding/binary"
	"encoding/json"
	"testing"

	"foundry"

	"github.com/stretchr/testify/require"
)

// The bf16 numbers that no weight should be.
const (
	nanBits = 0x7fc0
	infBits = 0x7f80
)

// poke returns a change of one bf16 element of a tensor in model.safetensors.
func poke(t *testing.T, tensor string, element int, bits uint16) func(string) {
	return weights(t, func(file []byte) []byte {
		n := binary.LittleEndian.Uint64(file)
		entries := map[string]struct {
			Offsets [2]int `json:"data_offsets"`
		}{}
		require.NoError(t, json.Unmarshal(file[8:8+n], &entries))
		e, ok := entries[tensor]
		require.True(t, ok, tensor)
		at := 8 + int(n) + e.Offsets[0] + 2*element
		require.Less(t, at, 8+int(n)+e.Offsets[1])
		binary.LittleEndian.PutUint16(file[at:], bits)
		return file
	})
}

// The options are those of TestGoldensOnCPU, so that most kernels are compiled once.
// A model whose logits hold NaN or infinity chooses no token: not the first, not -1.
func TestNoTokenOfLogitsThatAreNotFinite(t *testing.T) {
	const head = "lm_head.weight"
	for _, x := range []struct {
		name, tensor string
		bits         uint16
	}{
		{"a NaN in a layer", "model.layers.0.mlp.up_proj.weight", nanBits},
		{"an infinity in a layer", "model.layers.1.self_attn.v_proj.weight", infBits},
		{"a NaN in the head", head, nanBits},
	} {
		t.Run(x.name, func(t *testing.T) {
			dir := modelDir(t, poke(t, x.tensor, 5, x.bits))
			for _, args := range [][]string{
				{"--device", foundry.Ref, "--greedy", "3"},
				{"--device", foundry.CPU, "--context", "512", "--variant", "none"},
				{"--device", foundry.CPU, "--context", "512", "--variant", "floor", "--greedy", "3"},
			} {
				args = append([]string{"eval", "--model", dir, "--ids", "1,2,3"}, args...)
				requireOneLine(t, nil, 1, "no token can be chosen: the logits hold NaN", args...)
			}
		})
	}
}
