package metal_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir"
	"foundry/ir/cost"
	"foundry/ir/sym"
)

// Other constants are other texts of the same kernels, and compute the same.
func TestTunedKernelsCompute(t *testing.T) {
	cases := opCases()
	names := []string{"matmul_nt f16 896", "rope", "rms_norm 896", "bmm_nt", "add"}
	texts := func(b *batch) (out []string) {
		for _, k := range b.plan.Kernels {
			out = append(out, k.Source)
		}
		return out
	}
	compile := func(tuning cost.Tuning) *batch {
		var graphs []*ir.Graph
		for i, name := range names {
			graphs = append(graphs, alone(parse(t, "T=1..9, P=0..64, S<=73", cases[name]), fmt.Sprintf("g%d", i)))
		}
		one := alone(parse(t, "T=1..1, P=0..72, S<=73", cases["matmul_nt f16 896"]), "row")
		return newBatchTuned(t, append(graphs, one), false, m3Pro(t), tuning)
	}
	var chosen []string
	for i, c := range []struct {
		tuning cost.Tuning
		differ []string // kernels whose text is not the chosen one
	}{
		{cost.Tuning{}, nil},
		{cost.Tuning{Width: 1, Unroll: cost.Unroll1, OwnTurns: true}, []string{"matmul", "rope", "rms_norm", "bmm", "add"}},
		{cost.Tuning{Width: 8, Unroll: cost.UnrollFull}, []string{"matmul"}},
	} {
		b := compile(c.tuning)
		if i == 0 {
			chosen = texts(b)
		}
		for _, part := range c.differ {
			for j, k := range b.plan.Kernels {
				if len(k.Name) > len(part) && k.Name[:len(part)] == part {
					require.False(t, chosen[j] == k.Source, "%s has the chosen text", k.Name)
				}
			}
		}
		for g := range names {
			for seed, env := range []sym.Env{{T: 1}, {T: 9, P: 40}} {
				b.run(t, g, env, uint64(seed))
			}
		}
		b.run(t, len(names), sym.Env{T: 1, P: 3}, 7)
	}
}
