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
	"foundry/ir/irgen"
	"foundry/lower/metal"
	"foundry/lower/plan"
	"foundry/passes"
	"foundry/runtime/msl/gate"
)

// gateGraphs is how many random graphs are lowered, each in three pipelines.
const gateGraphs = 40

// TestGate gives the gate the kernels of every operation alone, of products in every
// weight format and of random graphs, unfused and fused.
func TestGate(t *testing.T) {
	target := m3Pro(t)
	var graphs []*ir.Graph
	cases := opCases()
	for _, name := range slices.Sorted(maps.Keys(cases)) {
		graphs = append(graphs, alone(parse(t, "T=1..33, P=0..64, S<=96", cases[name]), strings.ReplaceAll(name, " ", "_")))
	}
	for _, w := range dtype.All() {
		if w == dtype.I32 {
			continue
		}
		graphs = append(graphs, alone(parse(t, "T=1..33, P=0..64, S<=96", productAndRow(w, 512, 64)), "product_"+w.String()))
	}
	for seed := range uint64(gateGraphs) {
		for i, pipeline := range []string{"canonicalize,cse,legalize", pipelineFewest, pipelineDefault} {
			g := irgen.Graph(seed)
			p, err := passes.Parse(pipeline)
			require.NoError(t, err)
			require.NoError(t, p.Run(g, &passes.Context{Target: target, Lowerable: metal.NewChoices(target).Lowerable}))
			graphs = append(graphs, alone(g, fmt.Sprintf("g%d_%d", seed, i)))
		}
	}
	var entries []metal.Entry
	context := int64(0)
	for _, g := range graphs {
		entries = append(entries, metal.Entry{Name: g.Name, Graph: g})
		context = max(context, g.Bounds.SMax)
	}
	p, err := metal.Compile(entries, metal.Options{
		Target: target, Model: plan.Model{Name: "test", Layers: 100, Context: int(context)}, Meta: plan.Options{Weights: dtype.F16, Cache: dtype.F16}})
	require.NoError(t, err)
	require.NoError(t, gate.Check(p.Kernels))
	t.Logf("%d kernels", len(p.Kernels))
}
