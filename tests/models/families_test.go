package models

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"foundry"
	"foundry/frontends/checkpoint"
	"foundry/frontends/decoder"
	"foundry/ir/dtype"
	"foundry/ir/interp"
	"foundry/runtime/devicetest"
	"foundry/runtime/eval"
	"foundry/tests/goldens"

	"github.com/stretchr/testify/require"
)

// familyGolden is a small model of a family with what transformers gave in float32: the
// logits of the last rows of ids, and how it goes on. Its weights are generated, and
// multiplied by powers of two.
type familyGolden struct {
	Config  json.RawMessage
	Powers  map[string][]int
	IDs     []int32
	Greedy  []int32
	Margins []float32
	logits  []float32
	vocab   int
}

func familyGoldens(t *testing.T) map[string]*familyGolden {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("..", "testdata", "families", "goldens.json"))
	require.NoError(t, err)
	var out map[string]*familyGolden
	require.NoError(t, json.Unmarshal(raw, &out))
	source, err := checkpoint.Open(filepath.Join("..", "testdata", "families", "goldens.safetensors"))
	require.NoError(t, err)
	defer source.Close()
	for name, g := range out {
		g.logits = goldens.Floats(t, source, name)
		var c struct {
			Vocab int `json:"vocab_size"`
		}
		require.NoError(t, json.Unmarshal(g.Config, &c))
		g.vocab = c.Vocab
	}
	return out
}

// qwen3Goldens lists those of the family qwen3.
func qwen3Goldens(t *testing.T) (all map[string]*familyGolden, names []string) {
	t.Helper()
	all = familyGoldens(t)
	for name := range maps.Keys(all) {
		if bytes.Contains(all[name].Config, []byte(`"qwen3"`)) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	require.GreaterOrEqual(t, len(names), 10)
	return all, names
}

// folder writes the model as Hugging Face has it.
func (g *familyGolden) folder(t *testing.T, f *decoder.Family) string {
	t.Helper()
	c, err := f.Parse(g.Config)
	require.NoError(t, err)
	source, err := checkpoint.Synth("", decoder.Weights(c), nil)
	require.NoError(t, err)
	var tensors []checkpoint.Tensor
	for _, w := range decoder.Weights(c) {
		data, err := source.Read(w.Name)
		require.NoError(t, err)
		parts := strings.Split(w.Name, ".")
		if powers := g.Powers[parts[len(parts)-2]]; powers != nil {
			cols := int(w.Shape[len(w.Shape)-1])
			for i := range len(data) / 2 {
				v := data[2*i:][:2]
				x := dtype.BF16ToF32(uint16(v[0]) | uint16(v[1])<<8)
				y := math.Float32bits(float32(math.Ldexp(float64(x), powers[i%cols%len(powers)]))) >> 16
				v[0], v[1] = byte(y), byte(y>>8)
			}
		}
		tensors = append(tensors, checkpoint.Tensor{Name: w.Name, DType: dtype.BF16, Shape: w.Shape, Data: data})
	}
	return hfFolder(t, g.Config, tensors)
}

// hfFolder writes a model as Hugging Face has it.
func hfFolder(t *testing.T, config []byte, tensors []checkpoint.Tensor) string {
	t.Helper()
	dir := t.TempDir()
	var file bytes.Buffer
	require.NoError(t, checkpoint.WriteSafetensors(&file, tensors))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "model.safetensors"), file.Bytes(), 0o666))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "config.json"), config, 0o666))
	return dir
}

// check runs a model on a device and holds logits and greedy ids to the golden.
func (g *familyGolden) check(t *testing.T, path, device string, o foundry.CompileOptions, bound float64) {
	t.Helper()
	m, err := foundry.Open(path, foundry.Hub{})
	require.NoError(t, err)
	defer m.Close()
	o.Context, o.Chunk, o.AllLogits = 96, 32, true
	e, err := foundry.Start(context.Background(), m, foundry.StartOptions{Device: device, Compile: foundry.Defaults(device, o)})
	devicetest.Need(t, err)
	defer e.Close()
	out, err := eval.Prompt(context.Background(), e, eval.Options{IDs: g.IDs, Greedy: len(g.Greedy), Top: 1})
	require.NoError(t, err)
	worst := 0.0
	have := out.Logits[len(out.Logits)-len(g.logits):]
	for i := 0; i < len(have); i += g.vocab {
		worst = max(worst, goldens.NMSE(have[i:][:g.vocab], g.logits[i:][:g.vocab]))
	}
	t.Logf("%s: NMSE %.2g", device, worst)
	require.LessOrEqual(t, worst, bound)
	_, ok := interp.Agreement(out.GreedyIDs, g.Greedy, g.Margins, goldens.Margin)
	require.True(t, ok, "greedy ids %v, want %v (margins %v)", out.GreedyIDs, g.Greedy, g.Margins)
}
