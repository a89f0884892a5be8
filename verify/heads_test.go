package verify_test

import (
	"fmt"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir"
	"foundry/ir/cost"
	"foundry/ir/dtype"
	"foundry/ir/target"
	"foundry/lower/metal"
	"foundry/lower/plan"
	"foundry/passes"
	"foundry/verify"
)

// headGraph is the end of a model: the final norm, a product over the vocabulary and the
// token.
const headGraph = `graph @g (T=1..1, P=0..63, S<=64) {
  %%x = input "x" : f32[1, 896]
  %%g = weight "g" : f32[896]
  %%w = weight "w" : f16[%d, 896]
  %%h = rms_norm %%x, %%g {eps=1e-06} : f32[1, 896] @"norm"
  %%l = matmul_nt %%h, %%w : f32[1, %d] @"lm_head"
  %%t = argmax %%l : i32[1] @"token"
  return logits=%%l, token=%%t
}
`

// Whatever kernel a head can get on any target, with its argmax in it or apart, a row of
// the table stands for it: h200 once took one that none did.
func TestEveryKernelOfAHeadHasARow(t *testing.T) {
	var plans []verify.Compiled
	all := target.All()
	for i := range all {
		x := &all[i]
		for _, vocabulary := range []int{2048, 151936} {
			for _, pipeline := range []string{"", "fuse-head", "fuse-head{argmax=false}", "fuse-head{norm=false}"} {
				plans = append(plans, heads(t, x, vocabulary, pipeline))
			}
		}
	}
	x, err := target.Find("apple-m5") // whose rows are of matrix units, too
	require.NoError(t, err)
	require.NoError(t, verify.WriteDoc(io.Discard, x, "heads", plans))
}

// heads compiles a head once with each of its kernels.
func heads(t *testing.T, x *target.Target, vocabulary int, pipeline string) verify.Compiled {
	t.Helper()
	p, err := passes.Parse(pipeline)
	require.NoError(t, err)
	g, err := ir.Parse("head", fmt.Sprintf(headGraph, vocabulary, vocabulary))
	require.NoError(t, err)
	require.NoError(t, p.Run(g, &passes.Context{Target: x}))
	run := metal.NewChoices(x).Finished(g, cost.Typical(g.Bounds))
	seen := map[string]bool{}
	var entries []metal.Entry
	for i, n := range g.Nodes() {
		for k := range run.Candidates(n) {
			if !seen[fmt.Sprint(i, k)] && len(entries) < 64 {
				seen[fmt.Sprint(i, k)] = true
				c := g.Clone()
				c.Nodes()[i].Attr.Kernel = k.String()
				c.Name = fmt.Sprintf("g%d", len(entries))
				entries = append(entries, metal.Entry{Name: c.Name, Graph: c})
			}
		}
	}
	require.NotEmpty(t, entries)
	out, err := metal.Compile(entries, metal.Options{Target: x, Model: plan.Model{Name: "heads", Layers: 1, Context: 64, Chunk: 1},
		Meta: plan.Options{Target: x.Name, Weights: dtype.F16, Cache: dtype.F16}})
	require.NoError(t, err, "%s %q", x.Name, pipeline)
	return verify.Compiled{Pipeline: fmt.Sprintf("%s %d %s", x.Name, vocabulary, pipeline), Plan: out}
}
