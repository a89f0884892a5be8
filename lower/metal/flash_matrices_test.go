package metal_test

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"foundry/ir"
	"foundry/ir/sym"
	"foundry/ir/target"
	"foundry/lower/plan"
	"foundry/runtime/cpu"
	"foundry/runtime/devicetest"
	"foundry/runtime/msl/gate"
	"foundry/runtime/msl/strict"
)

// flashInMatrices are regions of attention whose products are in matrix units, over the edges
// of blocks and of the context: every shape of a block, heads of one part and two, every mask.
func flashInMatrices(t *testing.T) (graphs []*ir.Graph) {
	t.Helper()
	const bounds = "T=1..65, P=0..255, S<=320"
	for _, x := range []struct{ name, text, pin string }{
		{"d64", attentionText(4, 64, 320, true), "64x32"},
		{"d64_flat", attentionText(4, 64, 320, true), "32x32"},
		{"d128", attentionText(4, 128, 320, true), "32x32"},
		{"all", attentionText(4, 64, 320, false), "32x32"},
		{"window1", windowText(4, 64, 320, 1), "64x32"},
		{"window37", windowText(4, 64, 320, 37), "32x32"},
	} {
		graphs = append(graphs, fusedAttention(t, bounds, x.text, "attention-matrices "+x.pin, x.name))
	}
	return graphs
}

// TestFlashInMatrices runs them with elements, stages and threads in orders of several seeds.
func TestFlashInMatrices(t *testing.T) {
	on, err := target.Find("apple-m5")
	require.NoError(t, err)
	graphs := flashInMatrices(t)
	for _, o := range []cpu.Options{{OneRun: true}, {OneRun: true, ThreadOrder: cpu.Random, Seed: 3}, {Checked: true, OneRun: true}} {
		d, err := cpu.Open(context.Background(), o)
		devicetest.Need(t, err)
		b := newBatchOn(t, graphs, d, on)
		for _, k := range b.plan.Kernels {
			require.True(t, k.Main == plan.AttentionMatrices || !strings.Contains(k.Name, "attention"), k.Name)
		}
		require.NoError(t, gate.Check(b.plan.Kernels))
		if clang, err := strict.Find(); err == nil && !o.Checked {
			require.NoError(t, strict.CheckAll(background, clang, b.plan.Kernels))
		}
		for i, g := range graphs {
			if o.Checked && i%2 == 0 {
				continue
			}
			t.Run(fmt.Sprintf("%s/%d/checked=%t", g.Name, o.Seed, o.Checked), func(t *testing.T) {
				for j, env := range []sym.Env{{T: 1, P: 3}, {T: 33, P: 31}, {T: 65, P: 255}} {
					b.run(t, i, env, uint64(j))
				}
			})
		}
	}
}

// flashMutants are mistakes that run as they should on one GPU and not on another, and
// barriers and words left out.
var flashMutants = map[string][2]string{
	"a row that is known to somebody": {"by[uint(sum.get_multidimensional_index(i)[1])]", "by[uint(i) % 32u]"},
	"row and column swapped":          {"by[uint(sum.get_multidimensional_index(i)[1])]", "by[uint(sum.get_multidimensional_index(i)[0]) % 32u]"},
	"sums that nobody waits for":      {"        matrix_done(score);\n", ""},
	"weights that nobody ended":       {"        tile_wait<0u>();\n        matrix_staged();\n        threadgroup_barrier(mem_flags::mem_threadgroup);\n        FOUNDRY_UNROLL_TILES\n        for (uint p = 0u; p < PARTS; p++) matrix_scale_rows", "        tile_wait<0u>();\n        threadgroup_barrier(mem_flags::mem_threadgroup);\n        FOUNDRY_UNROLL_TILES\n        for (uint p = 0u; p < PARTS; p++) matrix_scale_rows"},
	"values for weights":              {"matrix_rows_run<ROWS, FLASH_DEPTH, KEYS, SIMDS>(weights, ", "matrix_rows_run<ROWS, FLASH_DEPTH, KEYS, SIMDS>(stage, "},
	"weights in rows":                 {"(weights + matrix_at<KEYS>(row, 2u * (part + LANES * j)))", "(weights + row * KEYS + 2u * (part + LANES * j))"},
	"scores that nobody met for":      {"        matrix_spread(score, 0u, ROWS, scores, at::STRIDE);\n        threadgroup_barrier(mem_flags::mem_threadgroup);\n", "        matrix_spread(score, 0u, ROWS, scores, at::STRIDE);\n"},
	"the earlier sums as they were":   {"        for (uint p = 0u; p < PARTS; p++) matrix_scale_rows(acc.part[p], shrinks);\n", "        ;\n"},
}

// TestMutantsOfFlashInMatrices makes such mistakes in the stage files, one at a time.
func TestMutantsOfFlashInMatrices(t *testing.T) {
	on, err := target.Find("apple-m5")
	require.NoError(t, err)
	d, err := cpu.Open(context.Background(), cpu.Options{TrustKernels: true, OneRun: true})
	devicetest.Need(t, err)
	env := sym.Env{T: 64}
	run := func(stages fstest.MapFS) ([]byte, error) {
		g := fusedAttention(t, "T=2..64, P=0..0, S<=64", attentionText(2, 64, 64, true), "attention-matrices 32x32", "flash")
		b := newBatchOn(t, []*ir.Graph{g}, d, on, stages)
		return firstResult(t, b, env, 4*64*2*64)
	}
	all := maps.Clone(flashMutants)
	for _, name := range []string{"a coordinate that is known to somebody", "a row that is known to somebody", "row and column swapped", "elements that are none", "not all threads"} {
		all["products: "+name] = mutants[name]
	}
	requireNoticed(t, all, []string{"common/matrix.metal", "common/matrix_rows.metal", "main/flash_matrices.metal"}, run)
}
