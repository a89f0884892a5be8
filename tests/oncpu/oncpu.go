// Package oncpu runs models in tests on the CPU device, or on another beside it.
//
// Read next: runtime/cpu, the device itself.
package oncpu

import (
	"context"
	"path/filepath"
	"testing"

	"foundry"
	"foundry/runtime/cpu"
	"foundry/runtime/devicetest"
	"foundry/runtime/eval"

	"github.com/stretchr/testify/require"
)

// Need skips the test where there is no C++ compiler.
func Need(t testing.TB) {
	t.Helper()
	dev, err := cpu.Open(t.Context(), cpu.Options{})
	devicetest.Need(t, err)
	require.NoError(t, dev.Close())
}

// FromDisk compiles a model and writes the bundle; load runs it from there, in chunks of
// at most so many tokens where chunk is not 0.
func FromDisk(t *testing.T, m *foundry.Model, o foundry.CompileOptions) (load func(t *testing.T, chunk int) *foundry.Engine) {
	t.Helper()
	Need(t)
	c, err := foundry.Compile(m, o)
	require.NoError(t, err)
	dir := filepath.Join(t.TempDir(), "plan")
	require.NoError(t, c.Plan.Save(dir))
	return func(t *testing.T, chunk int) *foundry.Engine {
		t.Helper()
		e, err := foundry.Start(context.Background(), m, foundry.StartOptions{
			Device: foundry.CPU, Compile: foundry.CompileOptions{Chunk: chunk}, PlanDir: dir,
			CPU: cpu.Options{FewRuns: true, Confine: func() error { return nil }}, // the tests' process keeps its rights
		})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, e.Close()) })
		return e
	}
}

// Evaluate evaluates ids on a device, over at most 64 positions, and four more that it
// chooses; the test is skipped where cpu has no compiler.
func Evaluate(t testing.TB, m *foundry.Model, device string, o foundry.CompileOptions, ids []int32) *eval.Evaluation {
	t.Helper()
	o.Context, o.AllLogits = 64, true
	e, err := foundry.Start(context.Background(), m, foundry.StartOptions{Device: device, Compile: o, CPU: cpu.Options{OneRun: true}})
	devicetest.Need(t, err)
	defer e.Close()
	out, err := eval.Prompt(context.Background(), e, eval.Options{IDs: ids, Greedy: 4, Top: 1})
	require.NoError(t, err)
	return out
}

// IDs are n ids of a vocabulary, spread over it.
func IDs(n, vocab int) []int32 {
	ids := make([]int32, n)
	for i := range ids {
		ids[i] = int32((i*7919 + 13) % vocab)
	}
	return ids
}
