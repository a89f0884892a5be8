package tests

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"foundry"
	"foundry/frontends/qwen25"
	"foundry/ir"
	"foundry/runtime/eval"
	"foundry/tests/oncpu"

	"github.com/stretchr/testify/require"
)

// files returns a folder's files by their path in it.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		out[rel] = string(b)
		return err
	}))
	return out
}

func compileTo(t *testing.T, dir string, args ...string) {
	t.Helper()
	code, _, errs := foundryCmd(t, nil, append([]string{"compile", "-o", dir}, args...)...)
	require.Zero(t, code, errs)
}

func TestThreeCompilesGiveOneBundle(t *testing.T) {
	for _, model := range []string{"kjv-2m", "synth:qwen2.5-1.5b"} {
		root := t.TempDir()
		var first map[string]string
		for i := range 3 {
			dir := filepath.Join(root, fmt.Sprint(i))
			compileTo(t, dir, "--model", model)
			if i == 0 {
				first = files(t, dir)
				require.Contains(t, first["plan.json"], fmt.Sprintf("\n  \"compiler\": %q,\n", foundry.Version))
				continue
			}
			require.Equal(t, first, files(t, dir))
		}
	}
}

func TestMovedBundleRuns(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	a, b := filepath.Join(root, "a"), filepath.Join(root, "elsewhere", "b")
	compileTo(t, a, "--context", "64")
	require.NoError(t, os.MkdirAll(filepath.Dir(b), 0o777))
	require.NoError(t, os.Rename(a, b))
	code, _, errs := foundryCmd(t, nil, "inspect", b)
	require.Zero(t, code, errs)
	oncpu.Need(t)
	code, out, errs := foundryCmd(t, nil, "eval", "--device", "cpu", "--plan", b, "--prompt", "In the beginning", "--greedy", "2", "--json")
	require.Zero(t, code, errs)
	var e eval.Evaluation
	require.NoError(t, json.Unmarshal([]byte(out), &e))
	require.Equal(t, []int32{268, 258}, e.GreedyIDs)
	require.Equal(t, "cpu", e.Device)
}

// One byte changed anywhere is refused, by the name of the file; an edited kernel
// is taken after seal, and the plan says so from then on.
func TestTamperedBundle(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "plan")
	compileTo(t, dir)
	all := files(t, dir)
	var names []string
	for name := range all {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		path := filepath.Join(dir, name)
		text := []byte(all[name])
		for _, at := range []int{0, len(text) / 3, len(text) - 1} {
			changed := append([]byte(nil), text...)
			changed[at] ^= 1
			require.NoError(t, os.WriteFile(path, changed, 0o666))
			for _, args := range [][]string{{"inspect", dir}, {"eval", "--device", "cpu", "--plan", dir, "--ids", "1"}} {
				requireOneLine(t, nil, 1, filepath.ToSlash(name), args...)
			}
		}
		require.NoError(t, os.WriteFile(path, text, 0o666))
	}
	code, _, errs := foundryCmd(t, nil, "inspect", dir)
	require.Zero(t, code, errs)

	kernel := filepath.Join(dir, names[0])
	require.True(t, strings.HasSuffix(kernel, ".metal"))
	require.NoError(t, os.WriteFile(kernel, []byte(all[names[0]]+"// edited\n"), 0o666))
	requireOneLine(t, nil, 1, "foundry seal", "inspect", dir)
	code, out, errs := foundryCmd(t, nil, "seal", dir)
	require.Zero(t, code, errs)
	require.Contains(t, out, "edited")
	code, out, errs = foundryCmd(t, nil, "inspect", dir)
	require.Zero(t, code, errs)
	require.Contains(t, out, "edited by hand and sealed")
}

// The counts that the project is about: dispatches of one decode step.
func TestDecodeDispatches(t *testing.T) {
	t.Parallel()
	for _, size := range qwen25.Family.SizeNames() {
		m, err := foundry.Open("synth:qwen2.5-"+size, foundry.Hub{})
		require.NoError(t, err)
		for variant, most := range map[string]struct{ layer, outside int }{
			"unfused":     {28, 5},
			"per-layer-6": {6, 5},
			"default":     {6, 5},
		} {
			c, err := foundry.Compile(m, foundry.CompileOptions{Variant: variant})
			require.NoError(t, err)
			e, err := c.Plan.Entry("decode")
			require.NoError(t, err)
			layers := map[int]int{}
			for _, s := range e.Steps {
				if s.Dispatch != nil {
					layers[s.Dispatch.Layer]++
				}
			}
			require.LessOrEqual(t, layers[-1], most.outside, "%s %s", size, variant)
			for layer := range m.Config.Layers {
				if variant == "unfused" {
					require.Equal(t, most.layer, layers[layer], "%s %s layer %d", size, variant, layer)
				}
				require.LessOrEqual(t, layers[layer], most.layer, "%s %s layer %d", size, variant, layer)
			}
		}
	}
}

// Every graph of every preset prints as text that reads back as itself.
func TestPresetGraphsReadBack(t *testing.T) {
	t.Parallel()
	for _, size := range qwen25.Family.SizeNames() {
		m, err := foundry.Open("synth:qwen2.5-"+size, foundry.Hub{})
		require.NoError(t, err)
		for _, variant := range []string{"unfused", "default", "fewest"} {
			g, err := foundry.Fuse(m, foundry.CompileOptions{Variant: variant})
			require.NoError(t, err)
			for _, e := range g.Entries {
				text := e.String()
				back, err := ir.Parse("g.fir", text)
				require.NoError(t, err)
				require.NoError(t, ir.Verify(back))
				require.True(t, text == back.String(), "%s %s %s", size, variant, e.Name)
			}
		}
	}
}

// A whole compile from the model's name to the verified plan in memory.
func BenchmarkCompile(b *testing.B) {
	for _, size := range []string{"0.5b", "14b", "72b"} {
		m, err := foundry.Open("synth:qwen2.5-"+size, foundry.Hub{})
		require.NoError(b, err)
		b.Run(fmt.Sprintf("%s/layers=%d", size, m.Config.Layers), func(b *testing.B) {
			for b.Loop() {
				_, err := foundry.Compile(m, foundry.CompileOptions{})
				require.NoError(b, err)
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*m.Config.Layers), "us/layer")
		})
	}
}

// From model to verified plan the compiler does for each layer the same: from 40
// layers to 80 it allocates no more for one than from 20 to 40. BenchmarkCompile shows
// the time.
func TestCompileIsLinear(t *testing.T) {
	allocations := func(layers int) float64 {
		m, err := foundry.Open("synth:qwen2.5-72b", foundry.Hub{})
		require.NoError(t, err)
		m.Config.Layers = layers
		return testing.AllocsPerRun(2, func() {
			_, err := foundry.Compile(m, foundry.CompileOptions{})
			require.NoError(t, err)
		})
	}
	a, b, c := allocations(20), allocations(40), allocations(80)
	t.Logf("20 layers: %.0f allocations; 40: %.0f; 80: %.0f", a, b, c)
	require.LessOrEqual(t, (c-b)/40, 1.1*(b-a)/20)
}
