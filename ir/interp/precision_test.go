package interp_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir"
	"foundry/ir/interp"
	"foundry/ir/irgen"
	"foundry/ir/seeded"
	"foundry/ir/sym"
)

// watched is a Float32 run with every value it saw.
type watched struct {
	g      *ir.Graph
	env    sym.Env
	values map[*ir.Value]interp.Tensor
}

// watch runs g, which has no regions, and keeps a copy of every value.
func watch(t *testing.T, g *ir.Graph, seed uint64) watched {
	t.Helper()
	w := watched{g, irgen.Env(g, seed), map[*ir.Value]interp.Tensor{}}
	p, err := interp.New(g, seeded.Weights(g, seed), interp.Float32)
	require.NoError(t, err)
	s := p.NewState()
	require.NoError(t, seeded.FillState(s, seed))
	inputs := seeded.Inputs(g, w.env, seed)
	before := s.Clone()
	for _, v := range g.Params {
		switch v.Param.Kind {
		case ir.Input:
			w.values[v] = inputs[v.Param.Name]
		case ir.State:
			w.values[v], err = before.Tensor(v.Param.Name)
		case ir.Weight:
			w.values[v], err = seeded.Weights(g, seed)(v.Param.Name, v.Type)
		case ir.Const:
			w.values[v] = interp.Floats(v.Param.Values, v.Type.Shape.Eval(w.env)...)
		}
		require.NoError(t, err)
	}
	_, err = p.Run(context.Background(), interp.Run{Env: w.env, Inputs: inputs, State: s,
		Watch: func(n *ir.Node, r interp.Tensor) {
			r.F32 = append([]float32(nil), r.F32...)
			r.I32 = append([]int32(nil), r.I32...)
			w.values[n.Result()] = r
		}})
	require.NoError(t, err, "%s", g)
	return w
}

// alone runs one node in Float64 on the operands that the Float32 run had.
func (w watched) alone(t *testing.T, n *ir.Node) interp.Tensor {
	t.Helper()
	g := ir.NewGraph("alone", w.g.Bounds)
	args := make([]*ir.Value, len(n.Args))
	given := map[string]interp.Tensor{}
	for i, a := range n.Args {
		name := string(rune('a' + i))
		kind := ir.Input
		if i == 0 && n.Op.Is(ir.WritesState) {
			kind = ir.State
		}
		args[i] = g.Param(kind, name, a.Type)
		given[name] = w.values[a]
	}
	y, err := g.Add(n.Op, n.Label, n.Attr, args...)
	require.NoError(t, err)
	result := "y"
	if n.Op.Is(ir.WritesState) {
		result = "a"
	}
	g.Return(result, y)
	p, err := interp.New(g, nil, interp.Float64)
	require.NoError(t, err)
	s := p.NewState()
	if result == "a" {
		require.NoError(t, s.Set("a", given["a"].Float32s()))
		delete(given, "a")
	}
	out, err := p.Run(context.Background(), interp.Run{Env: w.env, Inputs: given, State: s})
	require.NoError(t, err)
	if result == "a" {
		out["y"], err = s.Tensor("a")
		require.NoError(t, err)
	}
	return out["y"]
}

// Each node of Float32 is the oracle's result on the same operands, rounded once:
// the float64 sums of the two, in different orders, may round to neighbours.
func TestFloat32IsFloat64Rounded(t *testing.T) {
	nodes, apart := 0, 0
	for seed := range uint64(60) {
		w := watch(t, irgen.Graph(seed), seed)
		for _, n := range w.g.Nodes() {
			have, want := w.values[n.Result()], w.alone(t, n)
			nodes++
			if have.I32 != nil {
				require.Equal(t, want.I32, have.I32, "seed %d: %s", seed, n)
				continue
			}
			d := interp.Compare(have.Float32s(), want.Float32s())
			if d.MaxULP > 0 {
				apart++
			}
			// A sum that cancels to below 2^-28 of its terms may be farther off in
			// steps, but not in size: 2^-52 of the terms, times their number.
			require.True(t, d.MaxULP <= 1 || d.MaxAbs <= 1e-13*scale(w, n), "seed %d: %s: %v", seed, n, d)
		}
	}
	t.Logf("%d of %d nodes differ in the last bit somewhere", apart, nodes)
}

// scale is the product of the operands' largest magnitudes.
func scale(w watched, n *ir.Node) float64 {
	product := 1.0
	for _, a := range n.Args {
		x := w.values[a].Float64s()
		product *= max(1, interp.Compare(x, make([]float64, len(x))).MaxAbs)
	}
	return product
}

// Programs share nothing but weights: runs at the same time, each with its own
// state, give what they give alone; and results stay as they are when the
// program runs again.
func TestConcurrentRuns(t *testing.T) {
	g := irgen.Layers(rand.New(rand.NewPCG(1, 1)))
	p, err := interp.New(g, seeded.Weights(g, 1), interp.Float32)
	require.NoError(t, err)
	run := func(seed uint64) map[string]interp.Tensor {
		e := irgen.Env(g, seed)
		s := p.NewState()
		out, err := p.Run(context.Background(), interp.Run{Env: e, Inputs: seeded.Inputs(g, e, seed), State: s})
		require.NoError(t, err)
		return out
	}
	want := make([]map[string]interp.Tensor, 8)
	for i := range want {
		want[i] = run(uint64(i))
	}
	var wg sync.WaitGroup
	for i := range want {
		wg.Go(func() {
			for range 5 {
				require.Equal(t, want[i], run(uint64(i)))
			}
		})
	}
	wg.Wait()
}
