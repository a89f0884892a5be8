package decoder

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/frontends/checkpoint"
	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/sym"
)

// small is a valid configuration.
var small = Config{Arch: Arch{ModelType: "qwen2", Class: "Qwen2ForCausalLM", QKVBias: true}, Layers: 2, Hidden: 8, Intermediate: 16, Heads: 2, KVHeads: 1, HeadDim: 4,
	Vocab: 10, MaxPositions: 32, NormEps: 1e-6, RopeTheta: 1e4}

// What a graph cannot be built of is refused at the ends of what it can.
func TestBuildAtTheEnds(t *testing.T) {
	options := BuildOptions{Context: 32, Chunk: 32, Weights: dtype.F16, Cache: dtype.F16}
	for name, c := range map[string]struct {
		change func(c *Config, o *BuildOptions)
		want   string
	}{
		"all positions":     {func(c *Config, o *BuildOptions) {}, ""},
		"one token":         {func(c *Config, o *BuildOptions) { o.Context, o.Chunk = 1, 1 }, ""},
		"one more position": {func(c *Config, o *BuildOptions) { o.Context = 33 }, "context is 33, want 1 to 32, the positions that the model's config.json allows"},
		"no token":          {func(c *Config, o *BuildOptions) { o.Context = 0 }, "context is 0, want 1 to 32, the positions that the model's config.json allows"},
		"a chunk too long":  {func(c *Config, o *BuildOptions) { o.Context, o.Chunk = 7, 8 }, "chunk is 8, want 1 to the context, 7"},
		"no chunk":          {func(c *Config, o *BuildOptions) { o.Chunk = 0 }, "chunk is 0, want 1 to the context, 32"},
		"an f32 cache":      {func(c *Config, o *BuildOptions) { o.Cache = dtype.F32 }, ""},
		"a bf16 cache":      {func(c *Config, o *BuildOptions) { o.Cache = dtype.BF16 }, "cache dtype is bf16, want f32 or f16"},
		"weights of i32":    {func(c *Config, o *BuildOptions) { o.Weights = dtype.I32 }, "weights dtype is i32, want a float or quantised one"},
		"of no family":      {func(c *Config, o *BuildOptions) { c.ModelType = "" }, "the configuration is of no family: its ModelType is empty"},
	} {
		conf, o := small, options
		c.change(&conf, &o)
		g, err := Build(conf, o)
		if c.want != "" {
			require.EqualError(t, err, c.want, name)
			continue
		}
		require.NoError(t, err, name)
		require.NoError(t, ir.Verify(g), name)
		require.Equal(t, sym.Bounds{TMin: 1, TMax: int64(o.Chunk), PMax: int64(o.Context - 1), SMax: int64(o.Context)}, g.Bounds, name)
	}
	options.AllLogits = true
	g, err := Build(small, options)
	require.NoError(t, err)
	require.Equal(t, ir.TypeOf(dtype.F32, sym.T, sym.Const(10)), g.Results[0].Value.Type)
	require.Equal(t, ir.TypeOf(dtype.I32, sym.Const(1)), g.Results[1].Value.Type)
	options.WeightType = func(name string) dtype.Type {
		if name == headName {
			return dtype.F32
		}
		return dtype.Invalid
	}
	g, err = Build(small, options)
	require.NoError(t, err)
	for _, p := range g.Params {
		if p.Param.Kind == ir.Weight && p.Type.Shape.Rank == 2 {
			require.Equal(t, p.Param.Name == headName, p.Type.DType == dtype.F32, p.Param.Name)
		}
	}
}

// The graph that chooses again runs behind each token that has run, the last of a context too.
func TestSamplerGraph(t *testing.T) {
	g, err := Sampler(small, 32)
	require.NoError(t, err)
	require.NoError(t, ir.Verify(g))
	require.Equal(t, sym.Bounds{TMin: 1, TMax: 1, PMin: 1, PMax: 32, SMax: 33}, g.Bounds)
	have := map[string]string{}
	for _, p := range g.Params {
		have[p.Param.Name] = fmt.Sprint(p.Type)
	}
	require.Equal(t, map[string]string{"logits": "f32[1, 10]", "step.sampling": "f32[5]", "step.random": "i32[3]", "history": "i32[33]"}, have)
	require.Len(t, g.Results, 1)
	require.Equal(t, "token", g.Results[0].Name)
	require.Equal(t, "i32[1]", fmt.Sprint(g.Results[0].Value.Type))
	_, err = Sampler(small, 33)
	require.EqualError(t, err, "qwen2: context is 33, want 1 to 32, the positions that the model's config.json allows")
}

// What a checkpoint has otherwise than its configuration is said in these words.
func TestCheckSaysWhatIsWrong(t *testing.T) {
	check := func(c Config, change func(map[string][]int64)) error {
		all := map[string][]int64{}
		for _, w := range Weights(c) {
			all[w.Name] = w.Shape
		}
		change(all)
		var shapes []checkpoint.Shape
		for name, shape := range all {
			shapes = append(shapes, checkpoint.Shape{Name: name, Shape: shape})
		}
		s, err := checkpoint.Synth("m", shapes, nil)
		require.NoError(t, err)
		return Check(c, s)
	}
	tied := small
	tied.Tied = true
	for want, c := range map[string]struct {
		config Config
		change func(map[string][]int64)
	}{
		"": {small, func(m map[string][]int64) { m["x.rotary_emb.inv_freq"] = []int64{2} }},
		`m: tensor "model.layers.1.mlp.up_proj.weight" is missing`:                                        {small, func(m map[string][]int64) { delete(m, "model.layers.1.mlp.up_proj.weight") }},
		`m: tensor "model.norm.weight" is missing; there is "model.norms.weight"`:                         {small, func(m map[string][]int64) { delete(m, "model.norm.weight"); m["model.norms.weight"] = []int64{8} }},
		`m: tensor "lm_head.weight" has shape [10 9], the configuration wants [10 8]`:                     {small, func(m map[string][]int64) { m["lm_head.weight"] = []int64{10, 9} }},
		`m: tensor "model.layers.2.mlp.up_proj.weight" is no part of a qwen2 model of 2 layers`:           {small, func(m map[string][]int64) { m["model.layers.2.mlp.up_proj.weight"] = []int64{16, 8} }},
		`m: tensor "model.layers.0.mlp.up_proj.bias" is not zero; that part of a qwen2 model has no bias`: {small, func(m map[string][]int64) { m["model.layers.0.mlp.up_proj.bias"] = []int64{16} }},
		`m: tensor "lm_head.weight" is not "model.embed_tokens.weight", though tie_word_embeddings is true: set that to false where the head shall count, or leave the tensor out`: {
			tied, func(m map[string][]int64) { m["lm_head.weight"] = []int64{10, 8} }},
	} {
		err := check(c.config, c.change)
		if want == "" {
			require.NoError(t, err)
			continue
		}
		require.EqualError(t, err, want)
	}
}

// A family knows its sizes, in either case of letters, and the nearest of another.
func TestSizesOfAFamily(t *testing.T) {
	f := &Family{Name: "F", Arch: Arch{ModelType: "f", HeadNorms: true}, Shared: Config{MaxPositions: 9, NormEps: 0.5}, Sizes: []Preset{{"1b", 1, 2, 3, 4, 5, 6, 7, true}, {"22b", 8, 9, 10, 11, 12, 13, 14, false}}}
	require.Equal(t, []string{"1b", "22b"}, f.SizeNames())
	c, err := f.Preset("22B")
	require.NoError(t, err)
	require.Equal(t, Config{Arch: f.Arch, MaxPositions: 9, NormEps: 0.5, Layers: 8, Hidden: 9, Intermediate: 10, Heads: 11, KVHeads: 12, HeadDim: 13, Vocab: 14}, c)
	_, err = f.Preset("22bb")
	require.EqualError(t, err, `there is no F of size "22bb", sizes are 1b, 22b; did you mean "22b"?`)
}
