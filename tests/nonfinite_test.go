package tests

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"path/filepath"
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

// inspect --scan and convert count what is not finite by tensor; blocks, which cannot
// hold it, are not made of it.
func TestScanAndConvertCount(t *testing.T) {
	const up, norm = "model.layers.0.mlp.up_proj.weight", "model.norm.weight"
	code, out, errs := foundryCmd(t, nil, "inspect", modelDir(t, func(string) {}), "--scan")
	require.Zero(t, code, errs)
	require.Contains(t, out, "scanned: all values are finite\n")

	dir := modelDir(t, func(dir string) {
		poke(t, up, 5, nanBits)(dir)
		poke(t, up, 300, infBits)(dir)
		poke(t, norm, 7, infBits)(dir)
	})
	code, out, errs = foundryCmd(t, nil, "inspect", dir, "--scan")
	require.Equal(t, 1, code)
	require.Equal(t, "foundry: "+dir+": 2 tensors hold values that are not finite\n", errs)
	require.Regexp(t, `model.layers.0.mlp.up_proj.weight +bf16 +\d+ +1 +1 *\n`, out)
	require.Regexp(t, `model.norm.weight +bf16 +128 +0 +1 *\n`, out)

	file := filepath.Join(t.TempDir(), "x.gguf")
	for _, weights := range []string{"", "f16", "f32"} {
		code, _, errs = foundryCmd(t, nil, "convert", "--model", dir, "--weights", weights, "-o", file)
		require.Zero(t, code, errs)
		require.Contains(t, errs, fmt.Sprintf("%s: tensor %q: 1 of", dir, up))
		require.Contains(t, errs, "values are NaN and 1 infinite\n")
		require.Contains(t, errs, fmt.Sprintf("%s: tensor %q: 0 of 128 values are NaN and 1 infinite\n", dir, norm))
	}
	q8 := filepath.Join(t.TempDir(), "q8.gguf")
	requireOneLine(t, nil, 1, "values are NaN and 1 infinite, which no q8_0 block holds", "convert", "--model", dir, "--weights", "q8_0", "-o", q8)
	require.NoFileExists(t, q8)
}

// A weight that f16 cannot hold is an error with the way out, at load and in convert,
// and runs where it fits.
func TestWeightsTooLargeForTheirType(t *testing.T) {
	const large = 0x4800 // 2^17
	dir := modelDir(t, poke(t, "model.layers.1.mlp.down_proj.weight", 9, large))
	const want = `tensor "model.layers.1.mlp.down_proj.weight": 1 of`
	file := filepath.Join(t.TempDir(), "x.gguf")
	requireOneLine(t, nil, 1, want, "convert", "--model", dir, "--weights", "f16", "-o", file)
	require.NoFileExists(t, file)
	requireOneLine(t, nil, 1, "too large for f16; take wider weights (--weights bf16 or f32)", "eval", "--model", dir, "--device", "ref", "--weights", "f16", "--ids", "1,2")
	code, _, errs := foundryCmd(t, nil, "eval", "--model", dir, "--device", "ref", "--ids", "1,2")
	require.Zero(t, code, errs)
	skipWithoutCompiler(t)
	requireOneLine(t, nil, 1, "too large for f16; take wider weights (--weights bf16 or f32)", "eval", "--model", dir, "--device", "cpu", "--context", "512", "--variant", "floor", "--ids", "1,2")
}
