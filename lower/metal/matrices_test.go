package metal_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/frontends/decoder"
	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/sym"
	"foundry/ir/target"
	"foundry/lower/plan"
	"foundry/runtime/cpu"
	"foundry/runtime/devicetest"
	"foundry/runtime/msl/gate"
	"foundry/runtime/msl/strict"
)

// forMatrices is forTiles where matrix units are what is fast.
func forMatrices(t *testing.T) *target.Target {
	x := forTiles(t, "apple-m5-max")
	x.TileTFlops = x.TFlops
	return x
}

// requireMatrices wants a plan's products of many rows in matrix units.
func requireMatrices(t *testing.T, p *plan.Plan) {
	t.Helper()
	for _, k := range p.Kernels {
		if k.Main == plan.ProductRows || k.Main == plan.ProductTiles {
			require.NotContains(t, k.Name, "_many")
		}
		t.Log(k.Name, k.Params)
	}
	require.Equal(t, plan.MatrixMSL, p.MSL)
}

// TestMatrices runs products over the edges of blocks in every direction.
func TestMatrices(t *testing.T) {
	var graphs []*ir.Graph
	for _, x := range []struct {
		k, n int
		w    string
	}{{32, 32, "f16"}, {33, 37, "f16"}, {36, 30, "f16"}, {96, 130, "f16"}, {320, 260, "f16"}, {40, 70, "bf16"}, {64, 64, "q8_0"}, {96, 33, "q4_0"}, {256, 40, "q6_k"}} {
		text := fmt.Sprintf("%%0 = input \"x\" : f32[T, %d]\n%%1 = weight \"w\" : %s[%d, %d]\n%%2 = matmul_nt %%0, %%1 : f32[T, %d]\nreturn y=%%2", x.k, x.w, x.n, x.k, x.n)
		graphs = append(graphs, alone(parse(t, "T=1..140, P=0..0, S<=140", text), fmt.Sprintf("k%d_n%d_%s", x.k, x.n, x.w)))
	}
	for _, checked := range []bool{false, true} {
		rows := []int64{1, 2, 7, 8, 9, 16, 17, 33, 64, 65, 129}
		if checked {
			graphs, rows = graphs[1:5], rows[6:8]
		}
		b := newBatchFor(t, graphs, checked, forMatrices(t))
		requireMatrices(t, b.plan)
		require.NoError(t, gate.Check(b.plan.Kernels))
		if clang, err := strict.Find(); err == nil {
			require.NoError(t, strict.CheckAll(background, clang, b.plan.Kernels))
		}
		for i, g := range graphs {
			t.Run(fmt.Sprintf("%s/checked=%t", g.Name, checked), func(t *testing.T) {
				for _, n := range rows {
					b.run(t, i, sym.Env{T: n}, uint64(n))
				}
			})
		}
	}
}

// TestPrefillInMatrices runs whole small models whose products are all in matrix units:
// every prologue and epilogue, weights of several formats, a cache that is part full; with
// the elements of sums dealt to threads, the stages' eights and the threads in orders of
// several seeds.
func TestPrefillInMatrices(t *testing.T) {
	models := tiny()
	for _, x := range []struct {
		model, pipeline string
		weights         func(string) dtype.Type
	}{{"hd64", pipelineUnfused, nil}, {"hd64", pipelineFewest, mixed}, {"hd80", pipelineFewest, nil}, {"hd128", pipelineDefault, nil}} {
		o := decoder.BuildOptions{Context: 96, Chunk: 80, Weights: dtype.F16, Cache: dtype.F16, WeightType: x.weights}
		on := forMatrices(t)
		g := alone(entries(t, models[x.model], o, x.pipeline, on)[0].Graph, x.model)
		for _, seed := range []uint64{1, 2, 3} {
			d, err := cpu.Open(context.Background(), cpu.Options{ThreadOrder: cpu.Random, Seed: seed})
			devicetest.Need(t, err)
			b := newBatchOn(t, []*ir.Graph{g}, d, on)
			requireMatrices(t, b.plan)
			t.Run(fmt.Sprintf("%s/%d", x.model, seed), func(t *testing.T) {
				for i, env := range []sym.Env{{T: 1, P: 3}, {T: 7}, {T: 33, P: 40}, {T: 80, P: 9}} {
					b.run(t, 0, env, uint64(i))
				}
			})
		}
	}
}
