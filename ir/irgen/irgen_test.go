package irgen_test

import (
	"context"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir"
	"foundry/ir/interp"
	"foundry/ir/irgen"
	"foundry/ir/seeded"
)

func run(t require.TestingT, g *ir.Graph, seed uint64, p interp.Precision) (map[string]interp.Tensor, error) {
	prog, err := interp.New(g, seeded.Weights(g, seed), p)
	require.NoError(t, err, "%s", g)
	s := prog.NewState()
	require.NoError(t, seeded.FillState(s, seed))
	e := irgen.Env(g, seed)
	out, err := prog.Run(context.Background(), interp.Run{Env: e, Inputs: seeded.Inputs(g, e, seed), State: s})
	return out, err
}

func TestEveryOpAppears(t *testing.T) {
	seen := map[ir.Op]int{}
	for seed := range uint64(400) {
		g := irgen.Graph(seed)
		require.Equal(t, g.String(), irgen.Graph(seed).String())
		for _, n := range g.Nodes() {
			seen[n.Op]++
		}
	}
	t.Log(seen)
	for _, op := range ir.Ops() {
		if op != ir.OpFused {
			require.Greater(t, seen[op], 20, "%v", op)
		}
	}
}

func TestEachMutationChangesTheGraph(t *testing.T) {
	for _, name := range irgen.Mutations() {
		changed := 0
		for seed := range uint64(20) {
			plain := irgen.Layers(rand.New(rand.NewPCG(seed, 1)))
			mutant := irgen.Layers(rand.New(rand.NewPCG(seed, 1)), name)
			if plain.Canonical() != mutant.Canonical() {
				changed++
			}
		}
		require.Greater(t, changed, 3, name)
	}
}

// Values stay near 1: none is NaN or infinite, and few graphs have any above
// 1e6 (free graphs may multiply a value with itself again and again).
func TestGraphsRun(t *testing.T) {
	large := 0
	for seed := range uint64(150) {
		g := irgen.Graph(seed)
		out, err := run(t, g, seed, interp.Float32)
		require.NoError(t, err, "%s", g)
		for name, r := range out {
			if r.I32 != nil {
				continue
			}
			d := interp.Compare(r.Float64s(), make([]float64, r.Len()))
			require.False(t, d.MaxAbs > 1e30 || d.MaxAbs != d.MaxAbs, "seed %d: %s: %v\n%s", seed, name, d, g)
			if d.MaxAbs > 1e6 {
				large++
			}
		}
	}
	require.Less(t, large, 8)
}

func TestShrink(t *testing.T) {
	for seed := range uint64(40) {
		g := irgen.Graph(seed)
		before := g.String()
		has := func(g *ir.Graph) bool {
			for _, n := range g.Nodes() {
				if n.Op == ir.OpSoftmax {
					return true
				}
			}
			return false
		}
		if !has(g) {
			continue
		}
		small := irgen.Shrink(g, has)
		require.Equal(t, before, g.String())
		require.NoError(t, ir.Verify(small))
		require.Len(t, small.Nodes(), 1, "%s", small)
		_, err := run(t, small, seed, interp.Float64)
		require.NoError(t, err)
	}
}
