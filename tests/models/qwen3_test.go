package models

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"foundry"
	"foundry/frontends/checkpoint"
	"foundry/frontends/decoder"
	"foundry/frontends/model"
	"foundry/frontends/qwen3"
	"foundry/ir/dtype"
	"foundry/tests/goldens"
	"foundry/tests/oncpu"
	"foundry/tests/oracle"

	"github.com/stretchr/testify/require"
)

// Qwen3 is what transformers makes of it: ratios of heads, heads of 64 and 128 elements,
// as wide together as the hidden size and not, gammas of the head norms far from one, q
// and k of any size before their norms and behind them.
func TestQwen3OnRef(t *testing.T) {
	all, names := qwen3Goldens(t)
	for _, name := range names {
		dir := all[name].folder(t, &qwen3.Family)
		for _, variant := range []string{"unfused", "default", "fewest"} {
			t.Run(name+"/"+variant, func(t *testing.T) {
				all[name].check(t, dir, foundry.Ref, foundry.CompileOptions{Variant: variant}, goldens.OnRef)
			})
		}
	}
}

// On cpu those whose kernels are alike; with FOUNDRY_COMPLETE all.
func TestQwen3OnCPU(t *testing.T) {
	t.Parallel()
	oncpu.Need(t)
	all, names := qwen3Goldens(t)
	if !isComplete() {
		names = []string{"hd128", "gammas", "q-up", "norms-apart"}
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			all[name].check(t, all[name].folder(t, &qwen3.Family), foundry.CPU, foundry.CompileOptions{Weights: dtype.BF16}, goldens.OnCPU)
		})
	}
}

// A GGUF file and a folder in MLX's form say what the checkpoint said.
func TestQwen3Forms(t *testing.T) {
	all, _ := qwen3Goldens(t)
	g := all["gammas"]
	m, err := foundry.Open(g.folder(t, &qwen3.Family), foundry.Hub{})
	require.NoError(t, err)
	defer m.Close()
	path := filepath.Join(t.TempDir(), "x.gguf")
	_, err = model.Convert(t.Context(), m, dtype.Invalid, path, nil)
	require.NoError(t, err)
	g.check(t, path, foundry.Ref, foundry.CompileOptions{}, goldens.OnRef)
	affine, err := dtype.Parse("affine4_g32_bf16")
	require.NoError(t, err)
	for _, form := range []struct {
		name    string
		weights dtype.Type
	}{{"y.gguf", dtype.Q8_0}, {"mlx", affine}} {
		path := filepath.Join(t.TempDir(), form.name)
		_, err = model.Convert(t.Context(), m, form.weights, path, nil)
		require.NoError(t, err)
		x, err := foundry.Open(path, foundry.Hub{})
		require.NoError(t, err)
		want := oncpu.Evaluate(t, m, foundry.Ref, foundry.CompileOptions{Weights: form.weights}, g.IDs)
		have := oncpu.Evaluate(t, x, foundry.Ref, foundry.CompileOptions{}, g.IDs)
		require.NoError(t, x.Close())
		require.Equal(t, want.Logits, have.Logits, form.name)
	}
}

// GPTQ's and AWQ's matrices in a folder of Qwen3 are what they are in one of Qwen2.5: the
// logits are those of the same folder with the matrices dequantised.
func TestQwen3GPTQAndAWQ(t *testing.T) {
	for _, form := range []string{"gptq4-sym", "gptq8", "awq"} {
		from := filepath.Join("..", "..", "frontends", "checkpoint", "testdata", "quantised", form)
		packed, err := checkpoint.Open(from)
		require.NoError(t, err)
		raw, err := packed.File("config.json")
		require.NoError(t, err)
		fields := map[string]any{}
		require.NoError(t, json.Unmarshal(raw, &fields))
		fields["model_type"], fields["architectures"], fields["head_dim"] = "qwen3", []string{"Qwen3ForCausalLM"}, fields["hidden_size"].(float64)/2
		unpacked, err := checkpoint.Unpack(packed, raw)
		require.NoError(t, err)
		config, err := json.Marshal(fields)
		require.NoError(t, err)
		c, err := qwen3.Family.Parse(config)
		require.NoError(t, err)
		norms, err := checkpoint.Synth("", decoder.Weights(c), nil)
		require.NoError(t, err)
		var stored, plain []checkpoint.Tensor
		for _, w := range decoder.Weights(c) {
			source := unpacked
			if strings.HasSuffix(w.Name, "q_norm.weight") || strings.HasSuffix(w.Name, "k_norm.weight") {
				source = norms
			}
			values, err := checkpoint.ReadAs(source, w.Name, dtype.F32, nil)
			require.NoError(t, err)
			tensor := checkpoint.Tensor{Name: w.Name, DType: dtype.F32, Shape: w.Shape, Data: values}
			plain = append(plain, tensor)
			if _, parts := packed.Info(strings.TrimSuffix(w.Name, ".weight") + ".qweight"); !parts {
				stored = append(stored, tensor)
			}
		}
		for _, name := range packed.Names() {
			if strings.HasSuffix(name, ".weight") || strings.HasSuffix(name, ".bias") {
				continue
			}
			info, _ := packed.Info(name)
			data, err := packed.Read(name)
			require.NoError(t, err)
			stored = append(stored, checkpoint.Tensor{Name: name, DType: info.DType, Shape: info.Shape, Data: data})
		}
		logits := func(config []byte, tensors []checkpoint.Tensor) []float32 {
			m, err := foundry.Open(hfFolder(t, config, tensors), foundry.Hub{})
			require.NoError(t, err)
			defer m.Close()
			return oncpu.Evaluate(t, m, foundry.Ref, foundry.CompileOptions{}, oncpu.IDs(12, c.Vocab)).Logits
		}
		have := logits(config, stored)
		delete(fields, "quantization_config")
		config, err = json.Marshal(fields)
		require.NoError(t, err)
		require.LessOrEqual(t, goldens.NMSE(have, logits(config, plain)), 1e-12, form)
		require.NoError(t, packed.Close())
	}
}

// The oracle's Qwen3 is transformers', too.
func TestOracleIsQwen3(t *testing.T) {
	all, names := qwen3Goldens(t)
	for _, name := range names {
		g := all[name]
		if name == "yarn" {
			continue // the oracle stretches nothing
		}
		c, err := oracle.Read(g.folder(t, &qwen3.Family))
		require.NoError(t, err)
		want := c.Logits(g.IDs)
		nmse, row := oracle.Worst(g.logits, want[len(want)-len(g.logits)/g.vocab:])
		require.LessOrEqual(t, nmse, goldens.OnRef, "%s row %d", name, row)
	}
}
