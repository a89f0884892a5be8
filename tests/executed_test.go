package tests

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry"
	"foundry/ir"
	"foundry/lower/plan"
)

// A dispatch lists what it does of its node: of two the first leaves parts of one operation
// and the second merges them, so both list that one and each other is listed once.
func TestDispatchesListWhatTheyDo(t *testing.T) {
	m, err := foundry.Open("synth:qwen2.5-0.5b", foundry.Hub{})
	require.NoError(t, err)
	defer m.Close()
	c, err := foundry.Compile(m, foundry.CompileOptions{})
	require.NoError(t, err)
	for _, graph := range c.Entries {
		in, err := c.Plan.Entry(graph.Name)
		require.NoError(t, err)
		for _, n := range graph.Nodes() {
			want := map[plan.Node]bool{}
			for _, m := range operations(n) {
				want[plan.Node{Label: m.Label, Op: m.Op.String()}] = true
			}
			lists, have := [][]plan.Node{}, map[plan.Node]int{}
			for _, s := range in.Steps {
				if d := s.Dispatch; d != nil && (d.Label == n.Label || strings.HasPrefix(d.Label, n.Label+".")) && want[d.Nodes[0]] {
					lists = append(lists, d.Nodes)
					for _, m := range d.Nodes {
						require.True(t, want[m], "%s: %v", d.Label, m)
						have[m]++
					}
				}
			}
			if n.Op.Is(ir.View) && len(lists) == 0 {
				continue // strides say it
			}
			shared := 0
			for m := range want {
				require.NotZero(t, have[m], "%s: no dispatch does %v", n.Label, m)
				if have[m] > 1 {
					shared++
				}
			}
			require.Equal(t, len(lists) > 1, shared == 1, "%s: %v", n.Label, lists)
		}
	}
	decode, err := c.Plan.Entry("decode")
	require.NoError(t, err)
	does := map[string]string{}
	for _, s := range decode.Steps {
		if d := s.Dispatch; d != nil {
			var ops []string
			for _, n := range d.Nodes {
				ops = append(ops, n.Op)
			}
			does[d.Label] = strings.Join(ops, " ")
		}
	}
	require.Equal(t, "bmm_nt softmax bmm_nn", does["layers.3.attention_o"])
	require.Equal(t, "bmm_nn reshape matmul_nt add sum_squares", does["layers.3.attention_o.merge"])
	require.Equal(t, "argmax", does["lm_head.merge"])
}

// operations are those in n's region, or n.
func operations(n *ir.Node) []*ir.Node {
	if n.Region == nil {
		return []*ir.Node{n}
	}
	return n.Region.Nodes()
}
