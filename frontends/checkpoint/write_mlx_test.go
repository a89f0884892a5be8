package checkpoint

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir/dtype"
)

// What is written of kjv-2m are the tensors, to the byte, that mlx-lm makes of it.
func TestWriteFolderAsMLX(t *testing.T) {
	raw, err := os.ReadFile("testdata/quantised/kjv-2m.json")
	require.NoError(t, err)
	var hashes map[string]map[string]string
	require.NoError(t, json.Unmarshal(raw, &hashes))
	s, err := KJV2M()
	require.NoError(t, err)
	for bits, want := range hashes {
		weights, err := dtype.ParseWeights("affine" + bits)
		require.NoError(t, err)
		dir := filepath.Join(t.TempDir(), "mlx")
		var told []int
		require.NoError(t, WriteFolder(t.Context(), dir, s, weights, nil, func(done, of int) { told = append(told, done, of) }))
		require.Equal(t, []int{62, 62}, told[len(told)-2:])
		parts, err := Open(dir)
		require.NoError(t, err)
		have := map[string]string{}
		for _, name := range parts.Names() {
			b, err := parts.Read(name)
			require.NoError(t, err)
			have[name] = sum(b)
		}
		require.Equal(t, want, have)

		config, err := parts.File("config.json")
		require.NoError(t, err)
		require.True(t, bytes.HasPrefix(config, []byte("{\n  \"")), "as people write it")
		back, err := Unpack(parts, config)
		require.NoError(t, err)
		require.Equal(t, s.Names(), back.Names())
		for _, name := range s.Names() {
			info, _ := back.Info(name)
			wide, err := ReadAs(s, name, info.DType, nil)
			require.NoError(t, err)
			b, err := back.Read(name)
			require.NoError(t, err)
			require.Equal(t, wide, b, name)
		}
		for _, name := range []string{"tokenizer.json", "tokenizer_config.json", "generation_config.json"} {
			a, err := s.File(name)
			require.NoError(t, err)
			b, err := back.File(name)
			require.NoError(t, err)
			require.Equal(t, a, b)
		}
		require.NoError(t, back.Close())
		require.EqualError(t, WriteFolder(t.Context(), dir, s, weights, nil, nil), "cannot write "+dir+": it exists already")
	}
}

// A folder of MLX comes back as it was: tensors, settings of the layers that differ,
// and all else of its configuration.
func TestWriteFolderRoundTrip(t *testing.T) {
	const from = "testdata/quantised/mlx-mixed"
	s := unpacked(t, from)
	dir := filepath.Join(t.TempDir(), "copy")
	require.NoError(t, WriteFolder(t.Context(), dir, s, dtype.Invalid, nil, nil))
	a, b := parsed(t, from), parsed(t, dir)
	require.Equal(t, slices.Sorted(maps.Keys(a)), slices.Sorted(maps.Keys(b)))
	for name := range a {
		require.Equal(t, a[name].Info, b[name].Info, name)
		require.Equal(t, a[name].data, b[name].data, name)
	}
	config := func(dir string) string {
		raw, err := os.ReadFile(filepath.Join(dir, "config.json"))
		require.NoError(t, err)
		return string(raw)
	}
	var want, have map[string]any
	require.NoError(t, json.Unmarshal([]byte(config(from)), &want))
	require.NoError(t, json.Unmarshal([]byte(config(dir)), &have))
	for _, settings := range []any{want["quantization"], want["quantization_config"], have["quantization"], have["quantization_config"]} {
		for layer, x := range settings.(map[string]any) {
			if m, ok := x.(map[string]any); ok {
				delete(m, "mode") // affine where it is not said
			} else if x == false {
				delete(settings.(map[string]any), layer) // its tensors tell
			}
		}
	}
	require.Equal(t, want, have)
}

// unpacked opens a folder with its quantised matrices put together.
func unpacked(t *testing.T, dir string) Source {
	t.Helper()
	s, err := Open(dir)
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	config, err := s.File("config.json")
	require.NoError(t, err)
	s, err = Unpack(s, config)
	require.NoError(t, err)
	return s
}

func parsed(t *testing.T, dir string) map[string]stored {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "model.safetensors"))
	require.NoError(t, err)
	out, err := parseSafetensors(dir, b)
	require.NoError(t, err)
	return out
}

// What a folder cannot hold is refused, and nothing is left of it.
func TestWriteFolderRefuses(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "out")
	require.EqualError(t, WriteFolder(t.Context(), dir, unpacked(t, "testdata/quantised/awq"), dtype.Invalid, nil, nil),
		"cannot write "+dir+`: tensor "model.layers.0.mlp.down_proj.weight" is affine4_g64_f16_zero: MLX has no zero points; give --weights affine4`)
	s, err := KJV2M()
	require.NoError(t, err)
	require.EqualError(t, WriteFolder(t.Context(), dir, s, dtype.Q8_0, nil, nil),
		"cannot write "+dir+`: tensor "model.embed_tokens.weight" is q8_0: a folder holds floats and affine types with biases; give --weights affine4`)
	left, err := os.ReadDir(parent)
	require.NoError(t, err)
	require.Empty(t, left)
	require.NoError(t, WriteFolder(t.Context(), dir, unpacked(t, "testdata/quantised/awq"), dtype.F32, nil, nil))
	back := unpacked(t, dir)
	info, _ := back.Info("model.layers.0.mlp.down_proj.weight")
	require.Equal(t, dtype.F32, info.DType)
}

// What does not fit into one file goes into the next, and the index says where all is; one
// that is larger than a file may be has its own.
func TestWriteShards(t *testing.T) {
	dir := t.TempDir()
	var items []item
	for i, n := range []int64{2, 2, 1, 9, 4} {
		data := bytes.Repeat([]byte{byte(i)}, int(4*n))
		items = append(items, item{[]headerTensor{{fmt.Sprintf("t%d", i), "F32", []int64{n}, 4 * n}}, func() ([]byte, error) { return data, nil }})
	}
	var told []int
	require.NoError(t, writeShards(t.Context(), dir, items, 16, func(done, of int) { told = append(told, done, of) }))
	require.Equal(t, []int{1, 5, 2, 5, 3, 5, 4, 5, 5, 5}, told)
	index, err := os.ReadFile(filepath.Join(dir, indexFile))
	require.NoError(t, err)
	require.True(t, bytes.HasPrefix(index, []byte("{\n  \"metadata\"")), "as people write it")
	require.JSONEq(t, `{"metadata": {"total_size": 72}, "weight_map": {"t0": "model-00001-of-00004.safetensors", "t1": "model-00001-of-00004.safetensors",
		"t2": "model-00002-of-00004.safetensors", "t3": "model-00003-of-00004.safetensors", "t4": "model-00004-of-00004.safetensors"}}`, string(index))
	for i, name := range []string{"model-00001-of-00004.safetensors", "model-00002-of-00004.safetensors", "model-00003-of-00004.safetensors", "model-00004-of-00004.safetensors"} {
		raw, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		tensors, err := parseSafetensors(name, raw)
		require.NoError(t, err)
		require.Len(t, tensors, []int{2, 1, 1, 1}[i])
	}
	err = writeShards(t.Context(), t.TempDir(), []item{{items[0].tensors, func() ([]byte, error) { return nil, os.ErrClosed }}, items[1]}, 8, nil)
	require.ErrorIs(t, err, os.ErrClosed)
}
