package qwen25

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"foundry/frontends/checkpoint"
	"foundry/frontends/decoder"
	"foundry/ir"
	"foundry/ir/dtype"

	"github.com/stretchr/testify/require"
)

func options(c decoder.Config) decoder.BuildOptions {
	context := min(c.MaxPositions, 4096)
	return decoder.BuildOptions{Context: context, Chunk: min(context, 512), Weights: dtype.F16, Cache: dtype.F16}
}

func TestBuildEveryPreset(t *testing.T) {
	for _, size := range Family.SizeNames() {
		c, err := Family.Preset(size)
		require.NoError(t, err)
		for _, all := range []bool{false, true} {
			o := options(c)
			o.AllLogits = all
			g, err := decoder.Build(c, o)
			require.NoError(t, err)
			require.NoError(t, ir.Verify(g), size)
			decode, err := g.Specialise(1)
			require.NoError(t, err)
			require.NoError(t, ir.Verify(decode), size)
			for _, g := range []*ir.Graph{g, decode} {
				back, err := ir.Parse("g.fir", g.String())
				require.NoError(t, err)
				require.Equal(t, g.String(), back.String(), size)
			}
		}
	}
}

// A decode layer is 28 operations that move data, and four views of it.
func TestLayerOps(t *testing.T) {
	c, err := Family.Preset("7b")
	require.NoError(t, err)
	g, err := decoder.Build(c, options(c))
	require.NoError(t, err)
	counts := map[ir.Op]int{}
	labels := map[string]bool{}
	for _, n := range g.Nodes() {
		require.False(t, labels[n.Label], "label %s stands twice", n.Label)
		labels[n.Label] = true
		if n.Layer() == 7 {
			counts[n.Op]++
		}
	}
	views, work := 0, 0
	for op, n := range counts {
		if op.Is(ir.View) {
			views += n
		} else {
			work += n
		}
	}
	require.Equal(t, 4, views) // k and v views, attn_heads, attn_rows
	require.Equal(t, 28, work)
	require.Equal(t, 2, counts[ir.OpRepeatKV])
	var weights, states int
	for _, p := range g.Params {
		switch p.Param.Kind {
		case ir.Weight:
			weights++
			want := dtype.F32
			if p.Type.Shape.Rank == 2 {
				want = dtype.F16
			}
			require.Equal(t, want, p.Type.DType, p.Param.Name)
		case ir.State:
			states++
		}
	}
	require.Equal(t, len(decoder.Weights(c)), weights)
	require.Equal(t, 2*c.Layers, states)
	require.Equal(t, []string{"logits", "token", "layers.0.k", "layers.0.v"},
		[]string{g.Results[0].Name, g.Results[1].Name, g.Results[2].Name, g.Results[3].Name})
}

func TestWeightType(t *testing.T) {
	c, err := Family.Preset("0.5b")
	require.NoError(t, err)
	o := options(c)
	o.Weights = dtype.Q8_0
	o.WeightType = func(name string) dtype.Type {
		if strings.HasSuffix(name, "down_proj.weight") {
			return dtype.F16
		}
		return dtype.Invalid
	}
	g, err := decoder.Build(c, o)
	require.NoError(t, err)
	require.NoError(t, ir.Verify(g))
	require.Contains(t, g.String(), `"model.layers.0.mlp.down_proj.weight" : f16[896, 4864]`)
	require.Contains(t, g.String(), `"model.layers.0.mlp.up_proj.weight" : q8_0[4864, 896]`)
}

func TestBuildRefuses(t *testing.T) {
	c, err := Family.Preset("0.5b")
	require.NoError(t, err)
	for want, change := range map[string]func(*decoder.BuildOptions){
		"context is 99999999999, want 1 to 32768": func(o *decoder.BuildOptions) { o.Context = 99999999999 },
		"context is 0, want":                      func(o *decoder.BuildOptions) { o.Context = 0 },
		"chunk is 5000, want 1 to the context":    func(o *decoder.BuildOptions) { o.Chunk = 5000 },
		"cache dtype is q8_0, want f32 or f16":    func(o *decoder.BuildOptions) { o.Cache = dtype.Q8_0 },
		"weights dtype is i32, want a float":      func(o *decoder.BuildOptions) { o.Weights = dtype.I32 },
	} {
		o := options(c)
		change(&o)
		_, err := decoder.Build(c, o)
		require.ErrorContains(t, err, want)
	}
}

func TestInvFreq(t *testing.T) {
	c := decoder.Config{HeadDim: 4, RopeTheta: 1e6}
	require.Equal(t, []float32{1, 1e-3}, c.InvFreq())
}

func TestCheck(t *testing.T) {
	c := decoder.Config{Arch: Family.Arch, Layers: 2, Hidden: 8, Intermediate: 16, Heads: 2, KVHeads: 1, HeadDim: 4, Vocab: 10, MaxPositions: 32, NormEps: 1e-6, RopeTheta: 1e4}
	check := func(change func(map[string][]int64)) error {
		tensors := map[string][]int64{}
		for _, w := range decoder.Weights(c) {
			tensors[w.Name] = w.Shape
		}
		change(tensors)
		var shapes []checkpoint.Shape
		for name, shape := range tensors {
			shapes = append(shapes, checkpoint.Shape{Name: name, Shape: shape})
		}
		s, err := checkpoint.Synth("m", shapes, nil)
		require.NoError(t, err)
		return decoder.Check(c, s)
	}
	require.NoError(t, check(func(map[string][]int64) {}))
	require.NoError(t, check(func(m map[string][]int64) { m["model.layers.0.self_attn.rotary_emb.inv_freq"] = []int64{2} }))
	require.EqualError(t, check(func(m map[string][]int64) { delete(m, "model.layers.1.mlp.up_proj.weight") }),
		`m: tensor "model.layers.1.mlp.up_proj.weight" is missing`)
	require.EqualError(t, check(func(m map[string][]int64) {
		delete(m, "model.norm.weight")
		m["model.norms.weight"] = []int64{8}
	}), `m: tensor "model.norm.weight" is missing; there is "model.norms.weight"`)
	require.EqualError(t, check(func(m map[string][]int64) { m["lm_head.weight"] = []int64{10, 9} }),
		`m: tensor "lm_head.weight" has shape [10 9], the configuration wants [10 8]`)
	require.EqualError(t, check(func(m map[string][]int64) { m["model.layers.2.mlp.up_proj.weight"] = []int64{16, 8} }),
		`m: tensor "model.layers.2.mlp.up_proj.weight" is no part of a qwen2 model of 2 layers`)
}

// The head of a tied model may lie beside the embedding, as its copy.
func TestTiedHead(t *testing.T) {
	c := decoder.Config{Arch: Family.Arch, Layers: 1, Hidden: 8, Intermediate: 16, Heads: 2, KVHeads: 1, HeadDim: 4, Vocab: 10, MaxPositions: 32, NormEps: 1e-6, RopeTheta: 1e4, Tied: true}
	check := func(head checkpoint.Tensor) error {
		tensors := []checkpoint.Tensor{head}
		for _, w := range decoder.Weights(c) {
			n := int64(4)
			for _, d := range w.Shape {
				n *= d
			}
			tensors = append(tensors, checkpoint.Tensor{Name: w.Name, DType: dtype.F32, Shape: w.Shape, Data: make([]byte, n)})
		}
		path := filepath.Join(t.TempDir(), "model.safetensors")
		var file bytes.Buffer
		require.NoError(t, checkpoint.WriteSafetensors(&file, tensors))
		require.NoError(t, os.WriteFile(path, file.Bytes(), 0o666))
		s, err := checkpoint.Open(path)
		require.NoError(t, err)
		defer s.Close()
		return decoder.Check(c, s)
	}
	head := checkpoint.Tensor{Name: "lm_head.weight", DType: dtype.F32, Shape: []int64{10, 8}, Data: make([]byte, 320)}
	require.NoError(t, check(head))
	head.Data[319] = 1
	require.ErrorContains(t, check(head), `tensor "lm_head.weight" is not "model.embed_tokens.weight", though tie_word_embeddings is true: set that to false`)
	head.Shape = []int64{8, 10}
	require.ErrorContains(t, check(head), `is not "model.embed_tokens.weight"`)
}

// The cost of a layer stays flat as layers are added.
func BenchmarkBuild(b *testing.B) {
	for _, size := range []string{"0.5b", "14b", "72b"} {
		c, err := Family.Preset(size)
		require.NoError(b, err)
		b.Run(fmt.Sprintf("layers=%d", c.Layers), func(b *testing.B) {
			for b.Loop() {
				_, err := decoder.Build(c, options(c))
				require.NoError(b, err)
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*c.Layers), "us/layer")
		})
	}
}
