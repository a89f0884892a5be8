package models

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry"
	"foundry/frontends/checkpoint"
	"foundry/ir/dtype"
	"foundry/ir/interp"
	"foundry/tests/oncpu"
)

// What others quantised, and what they computed with it (the scripts stand beside).
const quantised = "../../frontends/checkpoint/testdata/quantised"

// The bounds hold against a float32 run of the dequantised matrices: its own roundings
// on ref, which has f32 caches, and the f16 caches and operands of cpu.
const (
	quantisedOnRef = 1e-9
	quantisedOnCPU = 3e-6
)

// TestQuantisedFolders runs folders of MLX, GPTQ and AWQ as they are stored.
func TestQuantisedFolders(t *testing.T) {
	t.Parallel()
	folders, err := filepath.Glob(quantised + "/*/config.json")
	require.NoError(t, err)
	require.Len(t, folders, 5)
	for _, config := range folders {
		dir := filepath.Dir(config)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			m, err := foundry.Open(dir, foundry.Hub{})
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, m.Close()) })
			ids, logits := recorded(t, filepath.Join(dir, "logits.safetensors"), "logits")
			requireNear(t, m, dtype.Invalid, ids, logits)
		})
	}
}

// TestMLXOfKJV holds kjv-2m, quantised at load, against what MLX computes with its own
// quantisation of it.
func TestMLXOfKJV(t *testing.T) {
	t.Parallel()
	m, err := foundry.Open("kjv-2m", foundry.Hub{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	for weights, tensor := range map[string]string{"affine4": "logits4", "affine8": "logits8"} {
		t.Run(weights, func(t *testing.T) {
			w, err := dtype.ParseWeights(weights)
			require.NoError(t, err)
			ids, logits := recorded(t, quantised+"/kjv-2m.safetensors", tensor)
			requireNear(t, m, w, ids, logits)
		})
	}
}

// recorded reads ids and logits of the last positions.
func recorded(t *testing.T, path, tensor string) (ids []int32, logits []float64) {
	t.Helper()
	s, err := checkpoint.Open(path)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	raw, err := s.Read("ids")
	require.NoError(t, err)
	for i := 0; i < len(raw); i += 4 {
		ids = append(ids, int32(raw[i])|int32(raw[i+1])<<8|int32(raw[i+2])<<16|int32(raw[i+3])<<24)
	}
	raw, err = s.Read(tensor)
	require.NoError(t, err)
	info, _ := s.Info(tensor)
	return ids, interp.Stored(dtype.F32, raw, int(info.Shape[0]), int(info.Shape[1])).Float64s()
}

// requireNear runs ids on ref and on cpu and compares the logits of the last
// positions.
func requireNear(t *testing.T, m *foundry.Model, weights dtype.Type, ids []int32, want []float64) {
	t.Helper()
	for device, bound := range map[string]float64{"ref": quantisedOnRef, "cpu": quantisedOnCPU} {
		t.Run(device, func(t *testing.T) {
			have := oncpu.Evaluate(t, m, device, foundry.CompileOptions{Weights: weights}, ids).Logits
			d := interp.Compare(have[len(have)-len(want):], want)
			t.Log(d)
			require.LessOrEqual(t, d.NMSE, bound)
		})
	}
}
