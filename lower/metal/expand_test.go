package metal_test

import (
	"context"
	"fmt"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/sym"
	"foundry/lower/plan"
	"foundry/runtime/cpu"
	"foundry/runtime/devicetest"
	"foundry/runtime/msl/gate"
	"foundry/runtime/msl/strict"
)

// expandedOnce is a product of n rows of k weights that are expanded once.
func expandedOnce(t *testing.T, w dtype.Type, k, n int64) *ir.Graph {
	text := fmt.Sprintf("%%0 = input \"x\" : f32[T, %d]\n%%1 = weight \"w\" : %s[%d, %d]\n%%2 = matmul_nt %%0, %%1 {kernel=\"matrices 32x64x32 once\"} : f32[T, %d]\nreturn y=%%2", k, w, n, k, n)
	return alone(parse(t, "T=1..40, P=0..0, S<=40", text), fmt.Sprintf("k%d_n%d_%s", k, n, w))
}

// TestExpandedOnce runs products whose weights are expanded once, of every format, as blocks
// and in planes: rows that end within a threadgroup's weights and at their edge.
func TestExpandedOnce(t *testing.T) {
	for _, planes := range []bool{false, true} {
		on := targetNamed(t, "apple-m5-max")
		var graphs []*ir.Graph
		for i, w := range weightFormats() {
			per, _ := w.Block()
			switch {
			case w == dtype.F32 || w == dtype.F16: // matrix units do not take them, or copy them
			case planes && !w.HasPlanes(768):
			case i%2 == 0 && 96%per == 0:
				graphs = append(graphs, expandedOnce(t, w, 96, 37))
			default:
				graphs = append(graphs, expandedOnce(t, w, 768, 70))
			}
		}
		if planes {
			on.Planes = targetNamed(t, "h200").Planes
		}
		for _, checked := range []bool{false, true} {
			if checked {
				graphs = graphs[:2]
			}
			b := newBatchFor(t, graphs, checked, on)
			require.NoError(t, gate.Check(b.plan.Kernels))
			if clang, err := strict.Find(); err == nil && !checked {
				require.NoError(t, strict.CheckAll(background, clang, b.plan.Kernels))
			}
			for i, g := range graphs {
				require.Equal(t, plan.WeightExpansion, b.plan.Kernels[b.plan.Entries[i].Steps[0].Dispatch.Kernel].Main)
				t.Run(fmt.Sprintf("%s/planes=%t/checked=%t", g.Name, planes, checked), func(t *testing.T) {
					for _, n := range []int64{1, 33} {
						b.run(t, i, sym.Env{T: n}, uint64(n))
					}
				})
			}
		}
	}
}

// TestMutantsOfExpansion makes mistakes in the stage file that a look at few weights would
// not show.
func TestMutantsOfExpansion(t *testing.T) {
	d, err := cpu.Open(context.Background(), cpu.Options{TrustKernels: true, OneRun: true})
	devicetest.Need(t, err)
	run := func(stages fstest.MapFS) ([]byte, error) {
		g := expandedOnce(t, dtype.Q4_K, 768, 70)
		return firstResult(t, newBatchOn(t, []*ir.Graph{g}, d, targetNamed(t, "apple-m5-max"), stages), sym.Env{T: 33}, 4*33*70)
	}
	requireNoticed(t, map[string][2]string{
		"chunks in their own order": {"W::position(c % CHUNKS, q)", "(c % CHUNKS * W::WIDTH + 4u * q)"},
		"the first row's chunks":    {"ulong(c / CHUNKS) * ROW", "ulong(c / CHUNKS) * 0u"},
		"no range":                  {"expand(raw, fit, w)", "expand(raw, 2.0f * fit, w)"},
		"a threadgroup short":       {"first + i / WIDTH < chunks", "first + i / WIDTH + 1u < chunks"},
		"halves of a quad swapped":  {"float2(w[4u * q], w[4u * q + 1u])", "float2(w[4u * q + 1u], w[4u * q])"},
	}, []string{"main/expand.metal"}, run)
}
