package models

import (
	"context"
	"slices"
	"testing"

	"foundry"
	"foundry/ir/dtype"
	"foundry/lower/plan"
	"foundry/runtime/cpu"
	"foundry/runtime/devicetest"
	"foundry/runtime/eval"
	"foundry/tests/blocks"
	"foundry/tests/goldens"
	"foundry/tests/oncpu"

	"github.com/stretchr/testify/require"
)

// inMatrices is a prefill all of whose products but the last row's are in matrix units,
// however small the model is.
const inMatrices = "canonicalize,cse,dce,drop-repeat-kv,split-norm,fuse-attention,fuse-qkv-rope-kv{kernel=matrices}," +
	"fuse-gate-up-swiglu{kernel=matrices},fuse-residual{kernel=matrices},legalize"

// shuffled evaluates ids on cpu by a plan for matrix units, with all that a GPU may order drawn
// with each seed, as --shuffle draws it: elements of the sums, eights of the stages, threads,
// threadgroups, dispatches of a wave. All seeds give the same logits, to the bit.
func shuffled(t *testing.T, m *foundry.Model, ids []int32, greedy int) *eval.Evaluation {
	t.Helper()
	o := foundry.CompileOptions{Target: "apple-m5-max", PrefillPasses: inMatrices, Context: 64, AllLogits: true}
	c, err := foundry.Compile(m, o)
	require.NoError(t, err)
	require.Contains(t, c.Plan.Needs, plan.Matmul2D)
	var first *eval.Evaluation
	for seed := range uint64(2) {
		e, err := foundry.Start(context.Background(), m, foundry.StartOptions{Device: foundry.CPU, Compile: o,
			CPU: cpu.Options{FewRuns: true, ThreadOrder: cpu.Random, GroupOrder: cpu.Random, WaveOrder: cpu.Random, Seed: 41 + 1000*seed}})
		devicetest.Need(t, err)
		out, err := eval.Prompt(context.Background(), e, eval.Options{IDs: ids, Greedy: greedy, Top: 1})
		require.NoError(t, err)
		require.NoError(t, e.Close())
		if first == nil {
			first = out
		}
		require.Equal(t, first.Logits, out.Logits, "seed %d", seed)
		require.Equal(t, first.GreedyIDs, out.GreedyIDs)
	}
	return first
}

// Goldens in matrix units, and weights in blocks, within the bounds that hold for tiles.
func TestMatrixUnitsShuffled(t *testing.T) {
	t.Parallel()
	for _, name := range goldens.Models {
		t.Run(name, func(t *testing.T) {
			m, prompts := goldens.Open(t, name)
			g := prompts[slices.IndexFunc(prompts, func(p goldens.Prompt) bool { return slices.Contains([]string{"moses", "p33", "p40"}, p.Name) })]
			out := shuffled(t, m, g.IDs(t, "input_ids"), 2)
			worst := g.WorstRow(t, out.Logits, m.Config.Vocab)
			t.Logf("worst row's NMSE %.2g", worst)
			require.LessOrEqual(t, worst, goldens.OnCPU)
		})
	}
	t.Run("quantised", func(t *testing.T) {
		m := blocks.New(t, blocks.TwoLayers, []dtype.Type{dtype.Q4_K}).Open(t)
		ids := oncpu.IDs(33, blocks.TwoLayers.Vocab)
		want := oncpu.Evaluate(t, m, foundry.Ref, foundry.CompileOptions{}, ids)
		requireSame(t, shuffled(t, m, ids, len(want.GreedyIDs)), want)
	})
}
