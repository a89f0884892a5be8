package metal_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/lower/metal"
	"foundry/lower/plan"
	"foundry/runtime/devicetest"
	"foundry/runtime/msl/strict"
)

// TestOpsAreMSL gives the kernels of every operation alone to the strict check:
// those that models do not have, which graph files reach, among them.
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
	require.NoError(t, strict.CheckAll(background, clang, p.Kernels))
	t.Logf("%d kernels", len(p.Kernels))
}
