package models

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
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
	"foundry/frontends/qwen25"
	"foundry/ir/dtype"
	"foundry/lower/plan"
	"foundry/runtime/cpu"
	"foundry/runtime/eval"
	"foundry/tests/goldens"
	"foundry/tests/oncpu"

	"github.com/stretchr/testify/require"
)

// longVariant is the small random model with another configuration, whose logits
// transformers gave in float32.
type longVariant struct {
	name    string
	change  string // of config.json, as JSON
	dir     string
	ids     []int32
	goldens checkpoint.Source
}

func longVariants(t *testing.T) []longVariant {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("..", "testdata", "long", "goldens.json"))
	require.NoError(t, err)
	var file struct {
		IDs      []int32
		Variants map[string]map[string]any
	}
	require.NoError(t, json.Unmarshal(raw, &file))
	source, err := checkpoint.Open(filepath.Join("..", "testdata", "long", "goldens.safetensors"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, source.Close()) })
	var out []longVariant
	for _, name := range slices.Sorted(maps.Keys(file.Variants)) {
		change, err := json.Marshal(file.Variants[name])
		require.NoError(t, err)
		out = append(out, longVariant{name, string(change), configured(t, file.Variants[name]), file.IDs, source})
	}
	require.Greater(t, len(out), 12)
	return out
}

// configured copies the small random model to a folder of its own and sets fields of its
// config.json.
func configured(t *testing.T, fields map[string]any) (dir string) {
	t.Helper()
	dir = t.TempDir()
	from := filepath.Join("..", "testdata", "rand-hd64")
	weights, err := os.ReadFile(filepath.Join(from, "model.safetensors"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "model.safetensors"), weights, 0o666))
	text, err := os.ReadFile(filepath.Join(from, "config.json"))
	require.NoError(t, err)
	all := map[string]any{}
	require.NoError(t, json.Unmarshal(text, &all))
	maps.Copy(all, fields)
	text, err = json.Marshal(all)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "config.json"), text, 0o666))
	return dir
}

// check holds the logits behind 40 and behind 256 tokens to a bound, and returns the
// plan that gave them.
func (v longVariant) check(t *testing.T, device string, o foundry.CompileOptions, bound float64) *plan.Plan {
	t.Helper()
	worst, p := v.measure(t, device, o)
	require.LessOrEqual(t, worst, bound)
	return p
}

// measure is the greater NMSE of the logits behind 40 and behind 256 tokens, taken in
// chunks, and the plan that gave them.
func (v longVariant) measure(t *testing.T, device string, o foundry.CompileOptions) (worst float64, p *plan.Plan) {
	t.Helper()
	m, err := foundry.Open(v.dir, foundry.Hub{})
	require.NoError(t, err)
	defer m.Close()
	o.Context, o.Chunk, o.AllLogits = 256, cmp.Or(o.Chunk, 48), true
	e, err := foundry.Start(context.Background(), m, foundry.StartOptions{Device: device, Compile: foundry.Defaults(device, o), CPU: cpu.Options{FewRuns: true}})
	require.NoError(t, err)
	defer e.Close()
	for _, n := range []int{40, len(v.ids)} {
		out, err := eval.Prompt(context.Background(), e, eval.Options{IDs: v.ids[:n], Top: 1})
		require.NoError(t, err)
		worst = max(worst, goldens.NMSE(out.Logits, goldens.Floats(t, v.goldens, fmt.Sprintf("%s.%d", v.name, n))))
	}
	return worst, e.Plan
}

// Scaled RoPE and sliding windows are what transformers makes of them.
func TestLongContextOnRef(t *testing.T) {
	t.Parallel()
	for _, v := range longVariants(t) {
		for _, variant := range []string{"unfused", "default"} {
			t.Run(v.name+"/"+variant, func(t *testing.T) { v.check(t, foundry.Ref, foundry.CompileOptions{Variant: variant}, goldens.OnRef) })
		}
	}
}

// The table of Qwen2.5-7B, scaled as its card says, is that of transformers, which
// computes it in float32: powers, products and the ramp are off by a few 2^-24 there. At
// the last position a table of float32 leaves angles right to a part of 2^-24.
func TestYaRNTable(t *testing.T) {
	c, err := qwen25.Family.Preset("7b")
	require.NoError(t, err)
	s, err := decoder.ParseScaling("yarn:4")
	require.NoError(t, err)
	c, err = c.Scaled(s)
	require.NoError(t, err)
	require.Equal(t, 131072, c.MaxPositions)
	raw, err := os.ReadFile(filepath.Join("..", "testdata", "long", "goldens.json"))
	require.NoError(t, err)
	var file struct{ Attention float64 }
	require.NoError(t, json.Unmarshal(raw, &file))
	require.InDelta(t, file.Attention, c.Rope.Attention, 1e-15)
	source, err := checkpoint.Open(filepath.Join("..", "testdata", "long", "goldens.safetensors"))
	require.NoError(t, err)
	defer source.Close()
	want, table := goldens.Floats(t, source, "qwen2.5-7b.inv_freq"), c.InvFreq()
	require.Len(t, table, len(want))
	const position = 131071
	for i, f := range table {
		require.InEpsilon(t, want[i], f, 8.0/(1<<24), i)
		// The waves that turn 32 times and more in 32,768 positions stay, those that turn
		// less than once are four times as long: the bounds are between 23 and 40.
		plain := math.Pow(1e6, -float64(i)/64)
		exact := plain*(1-min(1, max(0, float64(i-23)/(40-23)))) + plain/4*min(1, max(0, float64(i-23)/(40-23)))
		require.InDelta(t, exact*position, float64(f)*position, exact*position/(1<<24), i)
	}
}

func TestLongContextOnCPU(t *testing.T) {
	t.Parallel()
	oncpu.Need(t)
	for _, v := range longVariants(t) {
		if v.name == "yarn" || v.name == "linear" { // kernels see a table and a scale, whatever they stand for
			v.check(t, foundry.CPU, foundry.CompileOptions{Weights: dtype.F32, Cache: dtype.F32}, goldens.OnRef)
		}
	}
}

// Windows hide the same keys in every attention backend, in prefill and token by token.
func TestWindowsOnCPU(t *testing.T) {
	t.Parallel()
	oncpu.Need(t)
	for _, v := range longVariants(t) {
		if v.name == "window-wide" {
			t.Run("tiles", func(t *testing.T) {
				p := v.check(t, foundry.CPU, foundry.CompileOptions{Attention: "flash", Target: "cpu", Chunk: 256}, goldens.OnCPU)
				require.True(t, slices.ContainsFunc(p.Kernels, func(k plan.Kernel) bool { return strings.Contains(k.Source, "flash_window sliding") }))
			})
		}
		if v.name != "window-second-layer" {
			continue
		}
		for name, o := range map[string]foundry.CompileOptions{
			"chained":       {Attention: "chained"},
			"rows":          {Attention: "flash"}, // f32 caches are not read in tiles
			"decode":        {Chunk: 1},
			"decode, split": {Chunk: 1, Attention: "split"},
		} {
			o.Weights, o.Cache = dtype.F32, dtype.F32
			t.Run(name, func(t *testing.T) { v.check(t, foundry.CPU, o, goldens.OnRef) })
		}
		t.Run("f16", func(t *testing.T) { v.check(t, foundry.CPU, foundry.CompileOptions{}, goldens.OnCPU) })
	}
}
