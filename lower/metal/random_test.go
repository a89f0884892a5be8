package metal_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir"
	"foundry/ir/irgen"
	"foundry/lower/metal"
	"foundry/passes"
)

// randomGraphs is how many random graphs run; the passes' tests cover their
// meaning on the interpreter, this one that they become kernels.
const randomGraphs = 3

// TestRandomGraphs runs random well-typed graphs, as they are and fused, against
// the interpreter.
func TestRandomGraphs(t *testing.T) {
	target := m3Pro(t)
	for seed := uint64(0); seed < randomGraphs; seed++ {
		var graphs []*ir.Graph
		for i, pipeline := range []string{"canonicalize,cse,legalize", pipelineFewest, pipelineDefault} {
			g := irgen.Graph(seed)
			p, err := passes.Parse(pipeline)
			require.NoError(t, err)
			require.NoError(t, p.Run(g, &passes.Context{Target: target, Lowerable: metal.NewChoices(target).Lowerable}))
			graphs = append(graphs, alone(g, fmt.Sprintf("g%d_%d", seed, i)))
		}
		b := newBatch(t, graphs, false)
		for i, g := range graphs {
			t.Run(g.Name, func(t *testing.T) { b.run(t, i, irgen.Env(g, seed), seed) })
		}
	}
}
