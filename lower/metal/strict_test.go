package metal_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/target"
	"foundry/lower/metal"
	"foundry/lower/plan"
	"foundry/runtime/devicetest"
	"foundry/runtime/msl/strict"
)

// TestOpsAreMSL gives the kernels of every operation alone to the strict check: those that
// models do not have, which graph files reach, among them. So it does those of products and
// embeddings in every weight format, in blocks and in planes: each has all the stages that it
// needs, where other tests compile it beside stages of others.
func TestOpsAreMSL(t *testing.T) {
	clang, err := strict.Find()
	devicetest.Need(t, err)
	var entries []metal.Entry
	cases := opCases()
	for _, name := range slices.Sorted(maps.Keys(cases)) {
		g := alone(parse(t, "T=1..33, P=0..64, S<=96", cases[name]), strings.ReplaceAll(name, " ", "_"))
		entries = append(entries, metal.Entry{Name: g.Name, Graph: g})
	}
	has := map[ir.Op]bool{}
	for _, e := range entries {
		for _, n := range e.Graph.Nodes() {
			has[n.Op] = true
		}
	}
	for _, op := range ir.Ops() {
		require.True(t, has[op] || op == ir.OpFused, "no case has %s", op)
	}
	p, err := metal.Compile(entries, metal.Options{
		Target: m3Pro(t), Model: plan.Model{Name: "test", Layers: 1, Context: 96}, Meta: plan.Options{Weights: dtype.F16, Cache: dtype.F16}})
	require.NoError(t, err)
	kernels := slices.Concat(p.Kernels, productKernels(t, m3Pro(t)), productKernels(t, targetNamed(t, "h100")))
	require.NoError(t, strict.CheckAll(background, clang, kernels))
	t.Logf("%d kernels", len(kernels))
}

// productKernels are those of a product and an embedding in every weight format.
func productKernels(t *testing.T, x *target.Target) []plan.Kernel {
	t.Helper()
	x.TFlops, x.MatrixTFlops, x.Cores = 1e-6, 0, 1 // many rows go to tiles, however few
	var entries []metal.Entry
	for _, w := range weightFormats() {
		for i, bounds := range []string{"T=1..1, P=0..8, S<=9", "T=1..64, P=0..8, S<=72"} {
			g := alone(parse(t, bounds, productAndRow(w, 512, 37)), fmt.Sprintf("%s_%d", w, i))
			entries = append(entries, metal.Entry{Name: g.Name, Graph: g})
		}
	}
	p, err := metal.Compile(entries, metal.Options{
		Target: x, Model: plan.Model{Name: "test", Layers: 1, Context: 72}, Meta: plan.Options{Weights: dtype.F16, Cache: dtype.F16}})
	require.NoError(t, err)
	return p.Kernels
}
