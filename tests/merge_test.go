package tests

import (
	"testing"

	"github.com/stretchr/testify/require"

	"foundry"
	"foundry/ir/cost"
	"foundry/ir/target"
)

// The output projection that merges the parts of attention has no form in tiles: the
// cost model weighs the kernel over rows that lowering writes.
func TestMergedProjectionIsWeighedAsWritten(t *testing.T) {
	m, err := foundry.Open("synth:qwen2.5-0.5b", foundry.Hub{})
	require.NoError(t, err)
	defer m.Close()
	g, err := foundry.Fuse(m, foundry.CompileOptions{Passes: "canonicalize,cse,drop-repeat-kv,fuse-attention-split-o,legalize"})
	require.NoError(t, err)
	x, err := target.Find(target.Default)
	require.NoError(t, err)
	c, err := g.Lower()
	require.NoError(t, err)
	prefill, err := g.Entry("prefill")
	require.NoError(t, err)
	env := cost.Typical(prefill.Bounds)
	require.EqualValues(t, 512, env.T)
	found := 0
	for _, n := range prefill.Nodes() {
		if n.Attr.Pattern != "attention-split-o" {
			continue
		}
		found++
		merged := cost.Run{Target: x, Bounds: prefill.Bounds, Env: env}.Kernels(n)[1]
		require.False(t, merged.Tiled, n.Label)
		for _, s := range c.Plan.Entries[0].Steps {
			if d := s.Dispatch; d != nil && d.Label == n.Label+".merge" {
				k := c.Plan.Kernels[d.Kernel]
				require.EqualValues(t, merged.Groups, d.Grid[0].Eval(env)*d.Grid[1].Eval(env)*d.Grid[2].Eval(env), n.Label)
				require.EqualValues(t, merged.Threads, k.Threads[0]*k.Threads[1]*k.Threads[2], n.Label)
				found++
			}
		}
	}
	require.Equal(t, 48, found, "a region and its second kernel in each layer")
}
