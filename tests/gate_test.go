package tests

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"foundry"
	"foundry/passes"
	"foundry/runtime"
	"foundry/runtime/cpu"
	"foundry/runtime/cuda"
	"foundry/runtime/engine"
	"foundry/runtime/msl/gate"
	"foundry/runtime/mtl"
	"foundry/tests/blocks"
	"foundry/tests/goldens"
	"foundry/tests/oncpu"

	"github.com/stretchr/testify/require"
)

// TestGateAcceptsEveryKernel gives every kernel that the compiler emits to the gate:
// the models with goldens in every variant, every weight format that a file may have
// in every variant, and those that can be made, for a GPU with matrix units too. What
// lowering writes meets the gate's grammar here; the plans of every published size
// do so where they are counted.
func TestGateAcceptsEveryKernel(t *testing.T) {
	t.Parallel()
	all := strictKernels{}
	for _, name := range goldens.Models {
		m, _ := goldens.Open(t, name)
		for _, v := range passes.Variants() {
			all.add(t, m, foundry.CompileOptions{Variant: v, Sampler: true})
		}
	}
	kjv, _ := goldens.Open(t, goldens.Models[0])
	for _, target := range []string{"", "h100"} {
		for _, w := range madeFormats(t) {
			all.add(t, kjv, foundry.CompileOptions{Weights: w, Target: target})
		}
		all.add(t, kjv, foundry.CompileOptions{AllLogits: true, Target: target})
		for _, v := range passes.Variants() {
			all.add(t, blocks.New(t, blocks.TwoLayers, blocks.Mixed).Open(t), foundry.CompileOptions{Variant: v, Target: target})
		}
	}
	g := gate.New()
	for _, k := range all {
		require.NoError(t, g.Kernel(&k))
	}
	t.Logf("%d kernels", len(all))
}

// hostile compiles the small model and puts a constructor behind a kernel.
func hostile(t *testing.T) *foundry.Compiled {
	t.Helper()
	m, err := foundry.Open("kjv-2m", foundry.Hub{})
	require.NoError(t, err)
	c, err := foundry.Compile(m, foundry.CompileOptions{Context: 64, Chunk: 16})
	require.NoError(t, err)
	c.Plan.Kernels[0].Source += "__attribute__((constructor)) static void f() {}\n"
	return c
}

// Devices that nobody opened have no compiler, no driver and no framework, so nothing
// that the gate refuses has come to any.
func TestGateStandsBeforeEveryCompiler(t *testing.T) {
	p := hostile(t).Plan
	for name, dev := range map[string]runtime.Device{"cpu": new(cpu.Device), "cuda": new(cuda.Device), "metal": new(mtl.Device)} {
		_, err := dev.Load(context.Background(), p, nil)
		require.ErrorContains(t, err, name+": kernel \""+p.Kernels[0].Name+"\" is refused: ")
	}
}

// A plan that was edited and sealed runs where it is trusted, and says so.
func TestTrustKernels(t *testing.T) {
	t.Parallel()
	oncpu.Need(t)
	dir := filepath.Join(t.TempDir(), "plan")
	compileTo(t, dir, "--context", "64", "--chunk", "16")
	names, err := filepath.Glob(filepath.Join(dir, "kernels", "embedding*.metal"))
	require.NoError(t, err)
	text, err := os.ReadFile(names[0])
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(names[0], append(text, "// by hand\n"...), 0o666))
	code, out, errs := foundryCmd(t, nil, "seal", dir)
	require.Zero(t, code, errs)
	require.Contains(t, out, "no kernel has run: foundry verify "+dir+" runs each")
	eval := []string{"eval", "--device", "cpu", "--plan", dir, "--prompt", "In the beginning", "--greedy", "2", "--json"}
	requireOneLine(t, nil, 1, "runs with --trust-kernels", eval...)
	requireOneLine(t, nil, 1, "runs with --trust-kernels", "verify", dir)
	code, out, errs = foundryCmd(t, nil, append(eval, "--trust-kernels")...)
	require.Zero(t, code, errs)
	require.Equal(t, "--trust-kernels: kernels are compiled and run whatever their text is\n", errs)
	var e struct {
		IDs []int32 `json:"greedy_ids"`
	}
	require.NoError(t, json.Unmarshal([]byte(out), &e))
	require.Equal(t, []int32{268, 258}, e.IDs)
}

// A plan from disk runs on cpu in a process that gives up its rights first or, where
// that cannot be, with every access looked at.
func TestPlansFromDiskAreGuarded(t *testing.T) {
	t.Parallel()
	oncpu.Need(t)
	dir := filepath.Join(t.TempDir(), "plan")
	compileTo(t, dir, "--context", "64", "--chunk", "16")
	m, err := foundry.Open("kjv-2m", foundry.Hub{})
	require.NoError(t, err)
	calls := 0
	start := func(o cpu.Options) (said string) {
		e, err := foundry.Start(t.Context(), m, foundry.StartOptions{Device: foundry.CPU, PlanDir: dir, CPU: o, Say: func(line string) { said += line }})
		require.NoError(t, err)
		defer e.Close()
		require.Zero(t, calls, "the process keeps its rights until all is loaded")
		in, err := e.Open()
		require.NoError(t, err)
		defer in.Close()
		_, err = in.Prefill(t.Context(), 0, []int32{1, 2})
		require.NoError(t, err)
		return said
	}
	require.Empty(t, start(cpu.Options{Confine: func() error { calls++; return nil }}))
	require.Equal(t, 1, calls)
	calls = 0
	require.Empty(t, start(cpu.Options{TrustKernels: true}))
	guarded := engine.Guarded(foundry.CPU, dir, cpu.Options{}, func(line string) { require.True(t, strings.HasPrefix(line, dir)) })
	require.True(t, guarded.Checked)
	require.False(t, engine.Guarded(foundry.CUDA, dir, cpu.Options{}, nil).Checked)
}
