package tests

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	"foundry"
	"foundry/ir/interp"
	"foundry/runtime/cpu"
	"foundry/runtime/eval"

	"foundry/runtime/devicetest"
	"github.com/stretchr/testify/require"
)

// What a row of logits on cpu may differ from float32 by: f16 weights are exact here (the
// goldens' are bf16), the f16 cache alone accounts for up to 2.1e-7, and greedy
// ids count where the golden's margin is above what such an error can turn over.
const (
	cpuBound  = interp.ModelF16
	cpuMargin = 0.02
)

// In NMSE of logits, beside the goldens' bounds.
const (
	quantisedBound = 2e-6 // cpu against the reference on the same blocks
	chunksBound    = 3e-6 // prefill in chunks against prefill in one: their f16 operands are other sums' roundings
)

// planOnDisk compiles a model and writes the bundle; load runs it from there, in
// chunks of at most so many tokens where chunk is not 0.
func planOnDisk(t *testing.T, m *foundry.Model, o foundry.CompileOptions) (load func(t *testing.T, chunk int) *foundry.Engine) {
	t.Helper()
	skipWithoutCompiler(t)
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

// From the bundle on disk, prefill of the whole prompt and, in the variant default, token by
// token: the first model in three variants, the others in one of them, with
// FOUNDRY_COMPLETE all.
func TestGoldensOnCPU(t *testing.T) {
	t.Parallel()
	for _, name := range goldenModels {
		for _, variant := range []string{"unfused", "default", "fewest"} {
			if name != goldenModels[0] && variant != "default" && !isComplete() {
				continue
			}
			m, goldens := goldenModel(t, name)
			load := planOnDisk(t, m, foundry.CompileOptions{Variant: variant, Context: 512, AllLogits: true})
			for _, chunk := range []int{0, 1} {
				if chunk == 1 && variant != "default" && !isComplete() {
					continue
				}
				t.Run(fmt.Sprintf("%s/%s/chunk=%d", name, variant, chunk), func(t *testing.T) {
					e := load(t, chunk)
					for _, g := range goldens {
						ids := g.ids(t, "input_ids")
						out, err := eval.Prompt(context.Background(), e, eval.Options{IDs: ids, Greedy: len(g.ids(t, "greedy_ids")), Top: 1})
						require.NoError(t, err)
						worst := g.worstRow(t, out.Logits, m.Config.Vocab)
						require.LessOrEqual(t, worst, cpuBound, g.name)
						agree := requireGreedy(t, g, out.GreedyIDs, cpuMargin)
						t.Logf("%-8s worst row's NMSE %.2g, %d of %d greedy ids", g.name, worst, agree, len(out.GreedyIDs))
					}
				})
			}
		}
	}
}

func skipWithoutCompiler(t *testing.T) {
	t.Helper()
	dev, err := cpu.Open(t.Context(), cpu.Options{})
	devicetest.Need(t, err)
	require.NoError(t, dev.Close())
}
