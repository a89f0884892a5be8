package metal_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/frontends/decoder"
	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/sym"
	"foundry/ir/target"
	"foundry/lower/metal"
	"foundry/lower/plan"
	"foundry/passes"
)

// weightFormats lists every dtype that a matrix may have; of affine ones, every
// number of bits, of group, of scales and of zero forms.
func weightFormats() []dtype.Type {
	var out []dtype.Type
	for _, t := range dtype.AllButAffine() {
		if t.Float() || t.Quantised() {
			out = append(out, t)
		}
	}
	for _, a := range []dtype.Affine{
		{Bits: 2, Group: 32, Scales: dtype.F32},
		{Bits: 3, Group: 128, Scales: dtype.F16, Zeros: true},
		{Bits: 4, Group: 64, Scales: dtype.BF16},
		{Bits: 4, Group: 128, Scales: dtype.F16, Zeros: true},
		{Bits: 5, Group: 64, Scales: dtype.F16},
		{Bits: 6, Group: 32, Scales: dtype.F32, Zeros: true},
		{Bits: 8, Group: 64, Scales: dtype.F16},
		{Bits: 8, Group: 32, Scales: dtype.BF16, Zeros: true},
	} {
		t, _ := a.Type()
		out = append(out, t)
	}
	return out
}

// productAndRow is a product of rows weight rows of n elements, and an embedding.
func productAndRow(w dtype.Type, n, rows int64) string {
	return fmt.Sprintf("%%0 = input \"x\" : f32[T, %d]\n%%1 = weight \"w\" : %s[%d, %d]\n%%2 = input \"ids\" : i32[T]\n%%3 = weight \"e\" : %s[11, %d]\n"+
		"%%4 = matmul_nt %%0, %%1 : f32[T, %d]\n%%5 = embedding %%2, %%3 : f32[T, %d]\nreturn y=%%4, row=%%5", n, w, rows, n, w, n, rows, n)
}

// TestWeightFormats runs a product and an embedding of every format against the
// interpreter on the dequantised weights: as few and as many tokens as take other
// paths, rows of a part of a simdgroup and of many rounds.
func TestWeightFormats(t *testing.T) {
	for bounds, tokens := range map[string][]int64{
		"T=1..1, P=0..8, S<=9":  {1},
		"T=1..9, P=0..8, S<=16": {1, 2, 7, 8, 9},
	} {
		var graphs []*ir.Graph
		for _, w := range weightFormats() {
			for _, n := range []int64{32, 256, 896} {
				if per, _ := w.Block(); n%int64(per) == 0 {
					graphs = append(graphs, alone(parse(t, bounds, productAndRow(w, n, 37)), fmt.Sprintf("%s_%d", w, n)))
				}
			}
		}
		b := newBatch(t, graphs, false)
		for i, g := range graphs {
			t.Run(fmt.Sprintf("%s/T<=%d", g.Name, g.Bounds.TMax), func(t *testing.T) {
				for seed, n := range tokens {
					b.run(t, i, sym.Env{T: n, P: 3}, uint64(seed))
				}
			})
		}
	}
}

// TestWeightFormatsChecked looks at every access, of the shortest rows of each
// format: whatever reads past a block reads past the buffer's end in the last row.
func TestWeightFormatsChecked(t *testing.T) {
	var graphs []*ir.Graph
	for _, w := range weightFormats() {
		n, _ := w.Block()
		graphs = append(graphs, alone(parse(t, "T=1..2, P=0..8, S<=16", productAndRow(w, int64(max(n, 32)), 5)), w.String()))
	}
	b := newBatch(t, graphs, true)
	for i, g := range graphs {
		t.Run(g.Name, func(t *testing.T) { b.run(t, i, sym.Env{T: 2}, 5) })
	}
}

// TestNormFormats runs norms of rows in every format: alone, of one dim and of three,
// and as the prologue of products, row by row and in tiles.
func TestNormFormats(t *testing.T) {
	var graphs []*ir.Graph
	for at, w := range weightFormats() {
		per, _ := w.Block()
		n := int64(max(per, 32))
		graphs = append(graphs, alone(parse(t, "T=1..1, P=0..8, S<=9", fmt.Sprintf(`%%0 = weight "x" : %s[3, 2, %[2]d]
			%%1 = weight "g" : f32[%[2]d]
			%%2 = weight "z" : %[1]s[%[3]d]
			%%3 = weight "h" : f32[%[3]d]
			%%4 = rms_norm %%0, %%1 {eps=1e-6} : f32[3, 2, %[2]d]
			%%5 = rms_norm %%2, %%3 {eps=1e-2} : f32[%[3]d]
			return many=%%4, one=%%5`, w, n, 3*n)), w.String()))
		if w == dtype.F32 {
			continue // the prologue of every other test
		}
		for i, rows := range []int{1, 64} {
			if i == 1 && at%2 == 1 && !complete {
				continue // tiles read rows by the functions of the kernels by row beside them
			}
			g := parse(t, "T=1..1, P=0..8, S<=9", fmt.Sprintf(`%%0 = weight "x" : %s[%d, %[3]d]
				%%1 = weight "g" : f32[%[3]d]
				%%2 = weight "w" : f16[96, %[3]d]
				%%3 = weight "v" : f16[32, %[3]d]
				%%4 = rms_norm %%0, %%1 {eps=1e-6} : f32[%[2]d, %[3]d]
				%%5 = matmul_nt %%4, %%2 : f32[%[2]d, 96]
				%%6 = matmul_nt %%4, %%3 : f32[%[2]d, 32]
				return y=%%5, z=%%6`, w, rows, n))
			_, err := g.Outline(slices.Clone(g.Nodes()), "norm-products", "norm-products")
			require.NoError(t, err)
			graphs = append(graphs, alone(g, fmt.Sprintf("%s_products_%d", w, i)))
		}
	}
	// The narrowest loads that each format has; of products every third, and of many rows
	// with FOUNDRY_COMPLETE, as all of them.
	var narrow []*ir.Graph
	for i, g := range graphs {
		if !complete && (strings.HasSuffix(g.Name, "_products_1") || strings.HasSuffix(g.Name, "_products_0") && i%3 > 0) {
			continue
		}
		c := g.Clone()
		for _, n := range c.Nodes() {
			pinLast(c, n, m3Pro(t), "rows width=1")
		}
		narrow = append(narrow, c)
	}
	for _, graphs := range [][]*ir.Graph{graphs, narrow} {
		b := newBatch(t, graphs, true)
		for i, g := range graphs {
			t.Run(g.Name, func(t *testing.T) { b.run(t, i, sym.Env{T: 1, P: 3}, 7) })
		}
		require.True(t, &graphs[0] == &narrow[0] || slices.ContainsFunc(b.plan.Kernels, func(k plan.Kernel) bool { return k.Main == plan.ProductTiles }))
	}
}

// TestPlanes runs products and embeddings of weights whose rows lie in planes, every
// access checked: one row, a few, and as many as tiles take.
func TestPlanes(t *testing.T) {
	x, err := target.Find("h100")
	require.NoError(t, err)
	x.TFlops, x.MatrixTFlops, x.Cores = 1e-6, 0, 1 // many rows go to tiles, however few
	var graphs []*ir.Graph
	planed := 0
	for i, bounds := range []string{"T=1..1, P=0..8, S<=9", "T=1..9, P=0..8, S<=16", "T=1..64, P=0..8, S<=72"} {
		for _, w := range weightFormats() {
			for _, n := range []int64{96, 256, 1536} {
				// Long rows take as many rounds with one row as with many.
				if w.HasPlanes(n) && (n != 96 || i == 0) && (n != 1536 || i < 2 || complete) {
					planed += 2
					text := productAndRow(w, n, 37)
					if i == 0 { // a decode step's shapes
						text = strings.NewReplacer("[T,", "[1,", "[T]", "[1]").Replace(text)
					}
					graphs = append(graphs, alone(parse(t, bounds, text), fmt.Sprintf("%s_%d_%d", w, n, i)))
				}
			}
		}
	}
	graphs = append(graphs, alone(parse(t, "T=1..1, P=0..8, S<=9", "%0 = weight \"w\" : q8_0[5, 256]\n%1 = softmax %0 : f32[5, 256]\nreturn y=%1"), "softmax"))
	b := newBatchFor(t, graphs, true, x)
	for i, g := range graphs {
		t.Run(g.Name, func(t *testing.T) { b.run(t, i, sym.Env{T: g.Bounds.TMax, P: 3}, 7) })
	}
	kinds := map[string]int{}
	for i := range b.plan.Buffers {
		if w := b.plan.Buffers[i].Weight; w != nil {
			kinds[w.Kind]++
		}
	}
	require.Equal(t, map[string]int{plan.Planes: planed + 1}, kinds)
	var text strings.Builder
	for i := range b.plan.Kernels {
		text.WriteString(b.plan.Kernels[i].Source)
	}
	for _, part := range []string{"weight_q8_0_planes<1536u, 32u>", "dequant4_q4_1_planes<256u>", "gemm_weights<weight_q5_0_planes<256u, 16u>", "gemv_sliced<weight_q6_k_planes", "seat"} {
		require.True(t, strings.Contains(text.String(), part), part)
	}
}

// Chunks of eight weights in planes, which products get whose lanes have little to do.
func TestNarrowChunks(t *testing.T) {
	x, err := target.Find("h100")
	require.NoError(t, err)
	var graphs []*ir.Graph
	for _, w := range []string{"q8_0", "q4_0", "q4_1"} {
		for _, n := range []int64{96, 896} {
			text := fmt.Sprintf("%%0 = input \"x\" : f32[1, %[2]d]\n%%1 = weight \"w\" : %[1]s[37, %[2]d]\n%%2 = matmul_nt %%0, %%1 {kernel=\"rows width=8\"} : f32[1, 37]\nreturn y=%%2", w, n)
			graphs = append(graphs, alone(parse(t, "T=1..1, P=0..8, S<=9", text), fmt.Sprintf("%s_%d", w, n)))
		}
	}
	b := newBatchFor(t, graphs, true, x)
	for i, g := range graphs {
		t.Run(g.Name, func(t *testing.T) { b.run(t, i, sym.Env{T: 1, P: 3}, 7) })
	}
	for i := range b.plan.Kernels {
		require.Contains(t, b.plan.Kernels[i].Source, "u, 8u>, ROWS", b.plan.Kernels[i].Name)
	}
}

// Products of a decode step have a kernel, within threadgroup memory, in every format
// and for rows and lengths of every model.
func TestProductShapes(t *testing.T) {
	for _, name := range []string{"apple-m3-pro", "h100"} {
		x, err := target.Find(name)
		require.NoError(t, err)
		for _, w := range weightFormats() {
			for _, n := range []int64{256, 512, 768, 896, 1024, 1536, 2048, 3584, 4864, 8192, 8960, 18944} {
				if per, _ := w.Block(); n%int64(per) != 0 {
					continue
				}
				for _, rows := range []int64{37, 896, 3584, 37888} {
					g := parse(t, "T=1..1, P=0..8, S<=9", fmt.Sprintf("%%0 = input \"x\" : f32[1, %d]\n%%1 = weight \"w\" : %s[%d, %d]\n%%2 = matmul_nt %%0, %%1 : f32[1, %d]\nreturn y=%%2", n, w, rows, n, rows))
					require.NoError(t, metal.NewChoices(x).Lowerable(g.Nodes()[0]), "%s of %d x %d on %s", w, rows, n, name)
				}
			}
		}
	}
}

// TestMixedFormats runs a model whose matrices all differ in format through every
// kind of kernel around products: Q, K and V, gate and up in one dispatch, with
// norms, rope and caches, SwiGLU in front of the down projection, and the head.
func TestMixedFormats(t *testing.T) {
	mixed := []dtype.Type{dtype.Q8_0, dtype.Q4_0, dtype.F16, dtype.Q5_1, dtype.Q4_1, dtype.Q5_0, dtype.BF16}
	given := map[string]dtype.Type{}
	o := decoder.BuildOptions{Context: 96, Chunk: 12, Weights: dtype.F16, Cache: dtype.F16, WeightType: func(name string) dtype.Type {
		if given[name] == dtype.Invalid {
			given[name] = mixed[len(given)%len(mixed)]
		}
		return given[name]
	}}
	var graphs []*ir.Graph
	for name, pipeline := range map[string]string{
		"default": pipelineDefault, "fewest": pipelineFewest,
		"swiglu-down": "canonicalize,cse,drop-repeat-kv,fuse-qkv,fuse-rope-kv,fuse-attention,fuse-swiglu-down,fuse-gate-up,fuse-head,legalize",
	} {
		for _, in := range entries(t, tiny()["hd64"], o, pipeline, m3Pro(t)) {
			graphs = append(graphs, alone(in.Graph, name+"_"+in.Name))
		}
	}
	b := newBatch(t, graphs, false)
	for i, g := range graphs {
		t.Run(g.Name, func(t *testing.T) {
			b.run(t, i, sym.Env{T: 1, P: 3}, 1)
			if g.Bounds.TMax > 1 {
				b.run(t, i, sym.Env{T: 12, P: 40}, 2)
			}
		})
	}
}

// A format that the target has no kernels for is refused by name, alone and in a
// region, and never becomes another one.
func TestFormatSwitchedOff(t *testing.T) {
	x := m3Pro(t)
	x.Limits.Weights = []string{"f32", "f16"}
	for _, body := range []string{
		"%0 = input \"x\" : f32[T, 64]\n%1 = weight \"w\" : q8_0[37, 64]\n%2 = matmul_nt %0, %1 : f32[T, 37]\nreturn y=%2",
		"%0 = input \"ids\" : i32[T]\n%1 = weight \"w\" : q8_0[37, 64]\n%2 = embedding %0, %1 : f32[T, 64]\nreturn y=%2",
	} {
		g := parse(t, "T=1..9, P=0..8, S<=16", body)
		for _, n := range g.Nodes() {
			require.ErrorContains(t, metal.NewChoices(x).Lowerable(n), "no kernel for q8_0 weights, only for ")
			require.NoError(t, metal.NewChoices(m3Pro(t)).Lowerable(n))
		}
		_, err := metal.Compile([]metal.Entry{{Name: "g", Graph: g}}, metal.Options{Target: x})
		require.ErrorContains(t, err, "no kernel for q8_0 weights")
	}
}

// Passes refuse each fusion over a format that is switched off with that reason,
// and the pipeline ends with it: nothing falls back to another format.
func TestFusionOfFormatSwitchedOff(t *testing.T) {
	x := m3Pro(t)
	x.Limits.Weights = []string{"f32", "f16"}
	g, err := decoder.Build(tiny()["hd64"], decoder.BuildOptions{Context: 96, Chunk: 1, Weights: dtype.Q8_0, Cache: dtype.F16})
	require.NoError(t, err)
	p, err := passes.Parse(pipelineDefault)
	require.NoError(t, err)
	log := &passes.Log{}
	err = p.Run(g, &passes.Context{Target: x, Log: log, Lowerable: metal.NewChoices(x).Lowerable})
	require.ErrorContains(t, err, "no kernel for q8_0 weights")
	refused := map[string]bool{}
	for _, d := range log.Decisions {
		if d.Outcome == plan.Refused && strings.Contains(d.Reason, "no kernel for q8_0 weights") {
			refused[d.Pattern] = true
		}
	}
	require.Subset(t, refused, map[string]bool{"rmsnorm-qkv": true, "residual": true, "gate-up-swiglu": true})
}
