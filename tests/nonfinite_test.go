package tests

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"

	"foundry"
	"foundry/frontends/checkpoint"
	"foundry/ir/dtype"
	"foundry/tests/oncpu"

	"github.com/stretchr/testify/require"
)

// The bf16 numbers that no weight should be.
const (
	nanBits = 0x7fc0
	infBits = 0x7f80
)

// poke returns a change of one bf16 element of a tensor in model.safetensors.
func poke(t *testing.T, tensor string, element int, bits uint16) func(string) {
	return pokeEach(t, tensor, func(i int, was uint16) uint16 {
		if i == element {
			return bits
		}
		return was
	})
}

// pokeEach returns a change of all bf16 elements of a tensor.
func pokeEach(t *testing.T, tensor string, change func(i int, bits uint16) uint16) func(string) {
	return weights(t, func(file []byte) []byte {
		n := binary.LittleEndian.Uint64(file)
		entries := map[string]struct {
			Offsets [2]int `json:"data_offsets"`
		}{}
		require.NoError(t, json.Unmarshal(file[8:8+n], &entries))
		e, ok := entries[tensor]
		require.True(t, ok, tensor)
		data := file[8+int(n)+e.Offsets[0] : 8+int(n)+e.Offsets[1]]
		for i := range len(data) / 2 {
			binary.LittleEndian.PutUint16(data[2*i:], change(i, binary.LittleEndian.Uint16(data[2*i:])))
		}
		return file
	})
}

// A model whose logits hold NaN or infinity chooses no token, not the first and not
// -1; the error names the first operation that makes them, and the weight. The options
// are those of TestGoldensOnCPU in tests/models, so that most kernels are compiled once.
func TestNoTokenOfLogitsThatAreNotFinite(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		name, tensor string
		element      int
		bits         uint16
		first        string
	}{
		{"a NaN in a layer", "model.layers.0.mlp.up_proj.weight", 5, nanBits, `layers.0.up_proj (matmul_nt), from tensor "model.layers.0.mlp.up_proj.weight": 1 of`},
		{"an infinity in a layer", "model.layers.1.self_attn.v_proj.weight", 5, infBits, `layers.1.v_proj (matmul_nt), from tensor "model.layers.1.self_attn.v_proj.weight": 0 of`},
		{"a NaN in a norm", "model.layers.1.post_attention_layernorm.weight", 5, nanBits, `layers.1.post_norm (rms_norm), from tensor "model.layers.1.post_attention_layernorm.weight": 1 of 128 values are NaN and 0 infinite`},
		{"a NaN in the head", "lm_head.weight", 5, nanBits, `lm_head (matmul_nt), from tensor "lm_head.weight": 1 of`},
	} {
		t.Run(x.name, func(t *testing.T) {
			dir := modelDir(t, poke(t, x.tensor, x.element, x.bits))
			for _, args := range [][]string{
				{"--device", foundry.Ref, "--greedy", "3"},
				{"--device", foundry.CPU, "--context", "512", "--variant", "unfused"},
				{"--device", foundry.CPU, "--context", "512", "--variant", "fewest", "--greedy", "3"},
			} {
				args = append([]string{"eval", "--model", dir, "--ids", "1,2,3"}, args...)
				requireOneLine(t, nil, 1, "no token can be chosen: the logits hold NaN or +Inf, or nothing else than -Inf; values that are not finite arise first in "+x.first, args...)
			}
		})
	}
}

// Where no weight is to blame, because finite values overflow, that is said.
func TestNotFiniteOfFiniteWeights(t *testing.T) {
	const greatest = 0x7f7f // of bf16
	dir := modelDir(t, poke(t, "model.layers.1.post_attention_layernorm.weight", 5, greatest))
	requireOneLine(t, nil, 1, "arise first in layers.1.post_norm (rms_norm), from weights that are finite", "eval", "--model", dir, "--device", "ref", "--ids", "1,2,3")
}

// What an f16 cache holds scaled is not to blame, though the reference would refuse it.
func TestNotFiniteBehindAScaledCache(t *testing.T) {
	oncpu.Need(t)
	dir := modelDir(t, pokeEach(t, "model.layers.0.input_layernorm.weight", func(_ int, bits uint16) uint16 { return bits + 120<<7 })) // times 2^120
	requireOneLine(t, nil, 1, "arise first in layers.0.scores (bmm_nt), from weights that are finite", "eval", "--model", dir, "--device", foundry.CPU, "--context", "512", "--variant", "unfused", "--ids", "1,2,3")
}

// A benchmark says it, too.
func TestNotFiniteInBench(t *testing.T) {
	dir := modelDir(t, poke(t, "lm_head.weight", 5, nanBits))
	requireOneLine(t, nil, 1, `arise first in lm_head (matmul_nt), from tensor "lm_head.weight": 1 of`, "bench", "--model", dir, "--device", foundry.Ref, "--variants", "default", "--reps", "1", "--context", "256")
}

// A text on the reference ends with the error, too: it printed "!!!!!", token 0.
func TestNoTextOfLogitsThatAreNotFinite(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS(filepath.Join("..", "frontends", "checkpoint", "kjv2m"))))
	poke(t, "model.layers.2.self_attn.o_proj.weight", 77, nanBits)(dir)
	for _, how := range [][]string{{"--temperature", "0"}, {"--temperature", "0.8"}} {
		requireOneLine(t, nil, 1, `values that are not finite arise first in layers.2.o_proj (matmul_nt), from tensor "model.layers.2.self_attn.o_proj.weight": 1 of`,
			append([]string{"run", "--model", dir, "--device", "ref", "--prompt", "In the beginning", "-n", "5"}, how...)...)
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
	require.Equal(t, "foundry: "+dir+": tensors that hold values that are not finite: 2\n", errs)
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
	oncpu.Need(t)
	requireOneLine(t, nil, 1, "too large for f16; take wider weights (--weights bf16 or f32)", "eval", "--model", dir, "--device", "cpu", "--context", "512", "--variant", "fewest", "--ids", "1,2")
}

// Infinities and NaN of graphs are values like others, in tables and in JSON.
func TestGraphsMayHoldInfinities(t *testing.T) {
	dir := t.TempDir()
	graph, inputs := filepath.Join(dir, "g.fir"), filepath.Join(dir, "x.safetensors")
	require.NoError(t, os.WriteFile(graph, []byte("graph @g (T=1..1, P=0..0, S<=1) {\n %0 = input \"x\" : f32[4]\n %1 = add %0, %0 : f32[4]\n return y=%1\n}\n"), 0o666))
	var data []byte
	for _, v := range []float64{1, math.Inf(1), -2, 3} {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(float32(v)))
	}
	var file bytes.Buffer
	require.NoError(t, checkpoint.WriteSafetensors(&file, []checkpoint.Tensor{{Name: "x", DType: dtype.F32, Shape: []int64{4}, Data: data}}))
	require.NoError(t, os.WriteFile(inputs, file.Bytes(), 0o666))
	code, out, errs := foundryCmd(t, nil, "eval", "--model", graph, "--device", "ref", "--inputs", inputs, "--json")
	require.Zero(t, code, errs)
	require.Contains(t, out, `"mean":"+Inf","rms":"+Inf","min":-4,"max":"+Inf"`)
}
