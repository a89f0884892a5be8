package verify_test

import (
	"bytes"
	"context"
	"flag"
	"io/fs"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"foundry"
	"foundry/ir/target"
	"foundry/runtime/cpu"
	"foundry/runtime/devicetest"
	"foundry/shaders"
	"foundry/verify"
)

// Graphs, plans and texts are made by the hundred and dropped: a collector that waits until
// the heap is five times what lives takes a fifth of the time.
func TestMain(m *testing.M) {
	debug.SetGCPercent(400)
	os.Exit(m.Run())
}

var update = flag.Bool("update", false, "write docs/kernels.md")

func options(t *testing.T) verify.Options {
	t.Helper()
	x, err := target.Find(target.Default)
	require.NoError(t, err)
	return verify.Options{Target: x, Quick: true}
}

// onCPU adds the conformance device, or skips.
func onCPU(t *testing.T, o verify.Options) verify.Options {
	t.Helper()
	d, err := cpu.Open(t.Context(), cpu.Options{OneRun: true})
	devicetest.Need(t, err)
	t.Cleanup(func() { require.NoError(t, d.Close()) })
	o.Device = d
	return o
}

func plans(t *testing.T, name string) []verify.Compiled {
	t.Helper()
	m, err := foundry.Open(name, foundry.Hub{})
	require.NoError(t, err)
	defer m.Close()
	out, err := verify.Plans(m, target.Default)
	require.NoError(t, err)
	return out
}

// Every kernel of the table is within its bound on the CPU device, and every kernel
// of the embedded model's plans is in the table.
func TestQuick(t *testing.T) {
	o := onCPU(t, options(t))
	o.Plans = plans(t, "")
	r, err := verify.Run(context.Background(), o)
	require.NoError(t, err)
	require.Empty(t, r.Strangers)
	require.Greater(t, r.Cases, 500)
	require.True(t, slices.ContainsFunc(r.Rows, func(x *verify.Row) bool { return x.Format == "q8_0 in planes" && x.Cases > 0 }))
	kernels := map[string]bool{}
	for _, row := range r.Rows {
		require.True(t, row.Pass, "%s %s: %s", row.Kernel, row.Format, row.Failure)
		require.Positive(t, row.Cases, row.Kernel)
		kernels[row.Checklist] = true
	}
	require.Len(t, kernels, 14, "rows of the list: %v", kernels)
	t.Logf("%d rows, %d cases", len(r.Rows), r.Cases)
}

// The whole table takes minutes: FOUNDRY_VERIFY=full.
func TestFull(t *testing.T) {
	if os.Getenv("FOUNDRY_VERIFY") != "full" {
		t.Skip("minutes of kernels: run with FOUNDRY_VERIFY=full")
	}
	o := onCPU(t, options(t))
	o.Quick = false
	r, err := verify.Run(context.Background(), o)
	require.NoError(t, err)
	for _, row := range r.Rows {
		require.True(t, row.Pass, "%s %s: %s", row.Kernel, row.Format, row.Failure)
	}
	t.Logf("%d rows, %d cases", len(r.Rows), r.Cases)
}

// changed is the built-in stage files with one text in one of them replaced.
func changed(t *testing.T, file, old, with string) fs.FS {
	t.Helper()
	out := fstest.MapFS{}
	require.NoError(t, fs.WalkDir(shaders.FS, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := fs.ReadFile(shaders.FS, path)
		if path == file {
			require.Contains(t, string(text), old)
			text = []byte(strings.Replace(string(text), old, with, 1))
		}
		out[path] = &fstest.MapFile{Data: text}
		return err
	}))
	return out
}

// A kernel that is slightly wrong fails the rows that use it.
func TestWrongKernels(t *testing.T) {
	d, err := cpu.Open(t.Context(), cpu.Options{OneRun: true, TrustKernels: true}) // their stages are others
	devicetest.Need(t, err)
	defer d.Close()
	o := options(t)
	o.Device = d
	const known = "if (id >= 0 && uint(id) < rows) return true;"
	for _, x := range []struct {
		what, file, old, with string
		fails                 []string
	}{
		{"silu is a little large", "epilogue/silu.metal", "return x /", "return V(1.002f) * x /", []string{"silu, mul f32", "swiglu f32", "gate, up + swiglu f16", "swiglu + down f16"}},
		{"halves are not stored", "common/load.metal", "(device half *p, float v) { p[0] = half(v); }", "(device half *p, float v) {}", []string{"cast f16"}},
		{"negative logits are divided", "main/sample_scores.metal", "v[j] > 0.0f ? v[j] / settings[4] : v[j] * settings[4]", "v[j] / settings[4]", []string{"sample f32"}},
		{"a thread keeps the last of equals", "main/argmax.metal", "v == best && i < at", "v == best && i > at", []string{"argmax f32", "sample f32"}},
		{"a simdgroup keeps the last of equals", "main/argmax.metal", "simd_min(best == top ? at : 0xffffffffu)", "simd_max(best == top ? at : 0u)", []string{"argmax f32", "sample f32", "head f16"}},
		{"all that stand at the cut are kept", "main/sample_choose.metal", "min(here, ties - min(ties, taken))", "here", []string{"sample f32"}},
		{"top-p keeps all", "main/sample_cut.metal", "if (sample_by_weight(settings)) {", "if (false) {", []string{"sample f32"}},
		{"rows of a block are their neighbours", "main/gemm.metal", "(DEPTH / WIDTH), COLUMNS - 1u)", "(DEPTH / WIDTH) + 1u, COLUMNS - 1u)", []string{"matmul GEMM f16"}},
		{"no eps", "prologue/rms_norm.metal", " + eps);", ");", []string{
			"rms_norm f32", "rms_norm in two steps f32", "rmsnorm + qkv f16", "qkv + rope + kv_write f16", "residual + norm f32", "gate, up f16",
			"gate, up + swiglu f16", "head f16", "embedding + norm f16"}},
		{"the id behind the table is read", "prologue/embedding.metal", known, "if (id >= 0 && uint(id) <= rows) return true;", []string{"embedding f16", "embedding + norm f16"}},
		{"negative ids are read", "prologue/embedding.metal", known, "if (id < int(rows)) return true;", []string{"embedding f16", "embedding + norm f16"}},
		{"ids are not checked", "prologue/embedding.metal", known, "return true;", []string{"embedding q8_0", "embedding + norm f16"}},
	} {
		t.Run(x.what, func(t *testing.T) {
			o := o
			o.Shaders = changed(t, x.file, x.old, x.with)
			o.Only = func(kernel, format string) bool { return slices.Contains(x.fails, kernel+" "+format) }
			r, err := verify.Run(context.Background(), o)
			require.NoError(t, err)
			failed := []string{}
			for _, row := range r.Rows {
				if !row.Pass {
					failed = append(failed, row.Kernel+" "+row.Format)
					require.NotEmpty(t, row.Failure)
				}
			}
			require.ElementsMatch(t, x.fails, failed)
			require.Equal(t, len(failed), r.Failed)
		})
	}
}

// docs/kernels.md is what the table and the plans say; -update writes it.
func TestDoc(t *testing.T) {
	x, err := target.Find(target.Default)
	require.NoError(t, err)
	const model = "synth:qwen2.5-0.5b"
	var have bytes.Buffer
	require.NoError(t, verify.WriteDoc(&have, x, model, plans(t, model)))
	const file = "../docs/kernels.md"
	if *update {
		require.NoError(t, os.WriteFile(file, have.Bytes(), 0o666))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), have.String(), "docs/kernels.md is stale; write it with -update")
}
