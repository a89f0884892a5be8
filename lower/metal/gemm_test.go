package metal_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/frontends/decoder"
	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/sym"
	"foundry/ir/target"
	"foundry/lower/plan"
)

// forTiles returns a target of one core whose lanes are so slow that products and
// attention of more than one row go to tiles.
func forTiles(t *testing.T, name string) *target.Target {
	t.Helper()
	x, err := target.Find(name)
	require.NoError(t, err)
	x.TFlops, x.Cores = x.TFlops/1e6, 1
	return x
}

// requireTiles wants a plan's products of many rows and attention to be in tiles.
func requireTiles(t *testing.T, p *plan.Plan) {
	t.Helper()
	for _, k := range p.Kernels {
		if k.Main == plan.ProductRows || k.Main == plan.AttentionRows {
			require.NotContains(t, k.Name, "_many")
		}
		t.Log(k.Name, k.Params)
	}
}

// productsOverEdges are products of up to 140 rows whose columns and weights end within
// blocks and at their edges.
func productsOverEdges(t *testing.T) (graphs []*ir.Graph) {
	t.Helper()
	for _, x := range []struct {
		k, n int
		w    string
	}{{32, 32, "f16"}, {33, 37, "f16"}, {36, 30, "f16"}, {96, 130, "f16"}, {320, 260, "f16"}, {40, 70, "bf16"}, {64, 64, "q8_0"}, {96, 33, "q4_0"}, {256, 40, "q6_k"}} {
		text := fmt.Sprintf("%%0 = input \"x\" : f32[T, %d]\n%%1 = weight \"w\" : %s[%d, %d]\n%%2 = matmul_nt %%0, %%1 : f32[T, %d]\nreturn y=%%2", x.k, x.w, x.n, x.k, x.n)
		graphs = append(graphs, alone(parse(t, "T=1..140, P=0..0, S<=140", text), fmt.Sprintf("k%d_n%d_%s", x.k, x.n, x.w)))
	}
	return graphs
}

// TestGEMM runs products over the edges of tiles in every direction, with the
// blocks of a small GPU and of a large one.
func TestGEMM(t *testing.T) {
	for _, name := range []string{"apple-m3-pro", "h100"} {
		graphs := productsOverEdges(t)
		for _, checked := range []bool{false, true} {
			rows := []int64{1, 2, 7, 8, 9, 16, 17, 33, 64, 65, 129}
			if checked {
				graphs, rows = graphs[1:5], rows[6:8]
			}
			b := newBatchFor(t, graphs, checked, forTiles(t, name))
			requireTiles(t, b.plan)
			for i, g := range graphs {
				t.Run(fmt.Sprintf("%s/%s/checked=%t", name, g.Name, checked), func(t *testing.T) {
					for _, n := range rows {
						b.run(t, i, sym.Env{T: n}, uint64(n))
					}
				})
			}
		}
	}
}

// mixed gives the matrices of a model formats of their own: Q, K and V differ, so
// that each part of their kernel has its own main.
func mixed(name string) dtype.Type {
	for part, t := range map[string]dtype.Type{"q_proj": dtype.Q8_0, "k_proj": dtype.Q4_0, "v_proj": dtype.F16,
		"o_proj": dtype.Q5_1, "gate_proj": dtype.Q4_1, "up_proj": dtype.Q4_1, "down_proj": dtype.BF16} {
		if strings.Contains(name, part) {
			return t
		}
	}
	return dtype.F16
}

// TestPrefillInTiles runs whole small models whose products and attention are all
// in tiles: every prologue and epilogue, head_dims that tiles do not divide, a
// cache that is part full, weights of several formats.
func TestPrefillInTiles(t *testing.T) {
	models := tiny()
	for _, x := range []struct {
		model, pipeline, target string
		weights                 func(string) dtype.Type
	}{
		{"hd64", pipelineUnfused, "apple-m3-pro", nil}, {"hd64", pipelineFewest, "h100", mixed}, {"hd80", pipelineFewest, "apple-m3-pro", nil},
		{"hd128", pipelineDefault, "h100", nil}, {"hd6", pipelineFewest, "apple-m3-pro", nil},
	} {
		o := decoder.BuildOptions{Context: 96, Chunk: 80, Weights: dtype.F16, Cache: dtype.F16, WeightType: x.weights}
		on := forTiles(t, x.target)
		g := alone(entries(t, models[x.model], o, x.pipeline, on)[0].Graph, x.model)
		b := newBatchFor(t, []*ir.Graph{g}, false, on)
		if x.model != "hd6" { // six elements of a head are no tile
			requireTiles(t, b.plan)
		}
		t.Run(x.model+"/"+x.target, func(t *testing.T) {
			for seed, env := range []sym.Env{{T: 1, P: 3}, {T: 7}, {T: 33, P: 40}, {T: 80, P: 9}} {
				b.run(t, 0, env, uint64(seed))
			}
		})
	}
}
