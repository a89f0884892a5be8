package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"foundry"

	"github.com/stretchr/testify/require"
)

// Of a folder that is wrong in several ways, the configuration is named first, then
// the way of quantising, then the first tensor of the file: each time the same.
func TestErrorsHaveAnOrder(t *testing.T) {
	spoil := header(t, func(entries map[string]map[string]any) {
		for name, e := range entries {
			if name != "__metadata__" {
				e["dtype"] = "F8_E4M3"
			}
		}
	})
	said := func(changes ...func(string)) string {
		dir := modelDir(t, func(dir string) {
			for _, change := range changes {
				change(dir)
			}
		})
		var first string
		for range 4 {
			_, err := foundry.Open(dir, foundry.Hub{})
			require.Error(t, err)
			if first == "" {
				first = err.Error()
			}
			require.Equal(t, first, err.Error())
		}
		return first
	}
	wrong := config(t, map[string]any{"hidden_act": "gelu", "quantization_config": map[string]any{"quant_method": "fp8"}})
	require.Contains(t, said(spoil, wrong), `hidden_act is "gelu"`)
	for _, method := range []string{"fp8", "bitsandbytes", "compressed-tensors"} {
		quantised := config(t, map[string]any{"quantization_config": map[string]any{"quant_method": method}})
		require.Contains(t, said(spoil, quantised), fmt.Sprintf("its weights are quantised by %q, which is not supported", method))
	}
	require.Contains(t, said(spoil), `model.safetensors: tensor "`)
	require.Contains(t, said(spoil), "F8_E4M3")
}

// Weights that lie in files of another kind are named, with the way to convert them.
func TestForeignWeightsAreNamed(t *testing.T) {
	for name, want := range map[string]string{
		"pytorch_model.bin":                "pytorch_model.bin is a PyTorch checkpoint, which foundry does not read from a folder; load it with transformers and save it",
		"pytorch_model-00001-of-00002.bin": "is a PyTorch checkpoint",
		"weights.npz":                      "weights.npz is an older MLX checkpoint, which foundry does not read from a folder; convert the model anew with mlx_lm.convert",
		"consolidated.00.pth":              "is a PyTorch checkpoint",
		"model-q4_0.gguf":                  "is a GGUF file, which foundry does not read from a folder; give the path of the file itself",
		"readme.txt":                       "neither model.safetensors nor model.safetensors.index.json is in this folder",
	} {
		dir := modelDir(t, func(dir string) {
			require.NoError(t, os.Remove(filepath.Join(dir, "model.safetensors")))
			require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o666))
		})
		_, err := foundry.Open(dir, foundry.Hub{})
		require.ErrorContains(t, err, want)
	}
}
