package metal_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir"
	"foundry/ir/sym"
)

// attentionText is attention of heads query heads over caches of 2 heads, as
// passes form its region: views of the caches outside, the transpose inside.
func attentionText(heads, d, context int, causal bool) string {
	mask := "start=0"
	if causal {
		mask = "start=P"
	}
	return maskedText(heads, d, context, causal, mask)
}

// windowText is attentionText of rows that see no more than the last window keys.
func windowText(heads, d, context, window int) string {
	return maskedText(heads, d, context, true, fmt.Sprintf("start=P, window=%d", window))
}

// fusedAttention is such a text as a graph of one region.
func fusedAttention(t *testing.T, bounds, text, pin, name string) *ir.Graph {
	t.Helper()
	g := parse(t, bounds, text)
	var nodes []*ir.Node
	for _, n := range g.Nodes() {
		if n.Op != ir.OpSlice {
			nodes = append(nodes, n)
		}
	}
	n, err := g.Outline(nodes, "attention", "attention")
	require.NoError(t, err)
	n.Attr.Kernel = pin
	return alone(g, name)
}

// maskedText is attentionText with the softmax's attrs behind causal as text.
func maskedText(heads, d, context int, causal bool, mask string) string {
	return fmt.Sprintf(`%%0 = input "q" : f32[%[1]d, T, %[2]d]
%%1 = state "k" : f16[2, %[3]d, %[2]d]
%%2 = state "v" : f16[2, %[3]d, %[2]d]
%%3 = slice %%1 {axis=1, start=0, size=S} : f16[2, S, %[2]d]
%%4 = slice %%2 {axis=1, start=0, size=S} : f16[2, S, %[2]d]
%%5 = bmm_nt %%0, %%3 {scale=0.125} : f32[%[1]d, T, S]
%%6 = softmax %%5 {causal=%[4]t, %[5]s} : f32[%[1]d, T, S]
%%7 = bmm_nn %%6, %%4 : f32[%[1]d, T, %[2]d]
%%8 = transpose %%7 {perm=[1,0,2,0]} : f32[T, %[1]d, %[2]d]
return y=%%8`, heads, d, context, causal, mask)
}

// TestFlashPrefill runs attention in tiles over every head_dim, the edges of its
// blocks and of the context.
func TestFlashPrefill(t *testing.T) {
	const bounds = "T=1..65, P=0..1023, S<=1088"
	var graphs []*ir.Graph
	for _, d := range []int{64, 80, 96, 128} {
		graphs = append(graphs, fusedAttention(t, bounds, attentionText(4, d, 1088, true), "attention-tiles", fmt.Sprintf("d%d", d)))
	}
	// The mask does not depend on head_dim.
	graphs = append(graphs, fusedAttention(t, bounds, attentionText(4, 80, 1088, false), "attention-tiles", "all"))
	for _, w := range []int{1, 37, 200} {
		graphs = append(graphs, fusedAttention(t, bounds, windowText(4, 80, 1088, w), "attention-tiles", fmt.Sprintf("window%d", w)))
	}
	for _, checked := range []bool{false, true} {
		if checked {
			graphs = []*ir.Graph{graphs[1], graphs[4], graphs[6]}
		}
		b := newBatchFor(t, graphs, checked, forTiles(t, "apple-m3-pro"))
		requireTiles(t, b.plan)
		for i, g := range graphs {
			t.Run(fmt.Sprintf("%s/checked=%t", g.Name, checked), func(t *testing.T) {
				if checked {
					b.run(t, i, sym.Env{T: 17, P: 30}, 1)
					return
				}
				for _, rows := range []int64{1, 2, 7, 8, 9, 16, 17, 33, 64, 65} {
					b.run(t, i, sym.Env{T: rows, P: rows % 3}, uint64(rows))
				}
				b.run(t, i, sym.Env{T: 65, P: 1023}, 7)
			})
		}
	}
}

// TestChainedInTiles runs the same in separate steps: scores and weighted values
// are products of tiles then.
func TestChainedInTiles(t *testing.T) {
	var graphs []*ir.Graph
	for _, d := range []int{64, 80, 128} {
		graphs = append(graphs, alone(parse(t, "T=1..65, P=0..1023, S<=1088", attentionText(4, d, 1088, true)), fmt.Sprintf("d%d", d)))
	}
	for _, checked := range []bool{false, true} {
		steps := []sym.Env{{T: 1}, {T: 9, P: 3}, {T: 64, P: 64}, {T: 65, P: 1023}}
		if checked {
			graphs, steps = graphs[1:2], []sym.Env{{T: 17, P: 30}}
		}
		b := newBatchFor(t, graphs, checked, forTiles(t, "apple-m3-pro"))
		for _, k := range b.plan.Kernels {
			if strings.HasPrefix(k.Name, "bmm") {
				require.Regexp(t, "_tiles(_[0-9]+)?$", k.Name)
			}
		}
		for i, g := range graphs {
			t.Run(fmt.Sprintf("%s/checked=%t", g.Name, checked), func(t *testing.T) {
				for seed, env := range steps {
					b.run(t, i, env, uint64(seed))
				}
			})
		}
	}
}
