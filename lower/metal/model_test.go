package metal_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"foundry/frontends/decoder"
	"foundry/frontends/qwen25"
	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/sym"
	"foundry/ir/target"
	"foundry/lower/metal"
	"foundry/lower/plan"
	"foundry/passes"
)

const (
	pipelineUnfused = "canonicalize,cse,legalize"
	pipelineDefault = "canonicalize,cse,drop-repeat-kv,fuse-rmsnorm-qkv,fuse-rope-kv,fuse-attention,fuse-residual,fuse-gate-up-swiglu,legalize"
	pipelineFewest  = "canonicalize,cse,drop-repeat-kv,split-norm,fuse-qkv-rope-kv,fuse-attention,fuse-residual,fuse-gate-up-swiglu,fuse-head,fuse-embedding-norm,legalize"
)

// entries builds prefill and decode of a model and runs the pipeline on both.
func entries(t testing.TB, c decoder.Config, o decoder.BuildOptions, pipeline string, x *target.Target) []metal.Entry {
	t.Helper()
	prefill, err := decoder.Build(c, o)
	require.NoError(t, err)
	decode, err := prefill.Specialise(1)
	require.NoError(t, err)
	decode.Name = "decode"
	for _, g := range []*ir.Graph{prefill, decode} {
		p, err := passes.Parse(pipeline)
		require.NoError(t, err)
		require.NoError(t, p.Run(g, &passes.Context{Target: x, Lowerable: metal.NewChoices(x).Lowerable}))
	}
	return []metal.Entry{{Name: "prefill", Role: plan.Prefill, Graph: prefill}, {Name: "decode", Role: plan.Decode, Graph: decode}}
}

func options(c decoder.Config, o decoder.BuildOptions, x *target.Target) metal.Options {
	return metal.Options{Target: x, Model: plan.Model{
		Name: "test", Layers: c.Layers, Hidden: c.Hidden, Vocab: c.Vocab, Context: o.Context, Chunk: o.Chunk,
	}, Meta: plan.Options{Weights: o.Weights, Cache: o.Cache}}
}

func dispatchesPerLayer(e *plan.Entry) (layer, total, waves int) {
	for _, s := range e.Steps {
		if s.Barrier {
			waves++
			continue
		}
		total++
		if s.Dispatch.Layer == 0 {
			layer++
		}
	}
	return layer, total, waves + 1
}

func TestDispatchCounts(t *testing.T) {
	c, err := qwen25.Family.Preset("0.5b")
	require.NoError(t, err)
	o := decoder.BuildOptions{Context: 4096, Chunk: 512, Weights: dtype.F16, Cache: dtype.F16}
	for _, x := range []struct {
		pipeline     string
		layer, total int
	}{{pipelineUnfused, 28, 28*24 + 5}, {pipelineDefault, 6, 6*24 + 5}, {pipelineFewest, 5, 5*24 + 3}} {
		in := entries(t, c, o, x.pipeline, m3Pro(t))
		start := time.Now()
		p, err := metal.Compile(in, options(c, o, m3Pro(t)))
		require.NoError(t, err)
		t.Logf("compile %v", time.Since(start))
		require.NoError(t, p.Check())
		e, err := p.Entry("decode")
		require.NoError(t, err)
		layer, total, waves := dispatchesPerLayer(e)
		t.Logf("%d kernels, %d waves, arena %d", len(p.Kernels), waves, p.ArenaBytes)
		for _, k := range p.Kernels {
			t.Log(k.Name, len(k.Slots), k.Threads, k.Params)
		}
		require.Equal(t, x.layer, layer)
		require.Equal(t, x.total, total)
	}
}

// tiny are models small enough for an emulated device.
func tiny() map[string]decoder.Config {
	return map[string]decoder.Config{
		"hd64":  {Arch: qwen25.Family.Arch, Layers: 2, Hidden: 192, Intermediate: 320, Heads: 3, KVHeads: 1, HeadDim: 64, Vocab: 300, MaxPositions: 256, NormEps: 1e-6, RopeTheta: 1e6, Tied: true},
		"hd80":  {Arch: qwen25.Family.Arch, Layers: 1, Hidden: 160, Intermediate: 200, Heads: 4, KVHeads: 2, HeadDim: 80, Vocab: 101, MaxPositions: 256, NormEps: 1e-6, RopeTheta: 1e4},
		"hd128": {Arch: qwen25.Family.Arch, Layers: 1, Hidden: 256, Intermediate: 330, Heads: 4, KVHeads: 2, HeadDim: 128, Vocab: 128, MaxPositions: 256, NormEps: 1e-6, RopeTheta: 1e6},
		"hd6":   {Arch: qwen25.Family.Arch, Layers: 1, Hidden: 35, Intermediate: 51, Heads: 6, KVHeads: 3, HeadDim: 6, Vocab: 33, MaxPositions: 256, NormEps: 1e-6, RopeTheta: 1e6},
	}
}

// TestAttentionInParts runs attention over contexts long enough for several parts,
// at positions that leave parts empty, full and cut.
func TestAttentionInParts(t *testing.T) {
	var graphs []*ir.Graph
	models := tiny()
	for _, name := range []string{"hd64", "hd6"} {
		c := models[name]
		c.MaxPositions = 1200
		for _, pattern := range []string{"attention{kernel=attention-parts}", "attention-split-o"} {
			o := decoder.BuildOptions{Context: 1200, Chunk: 9, Weights: dtype.F16, Cache: dtype.F16}
			pipeline := "canonicalize,cse,drop-repeat-kv,fuse-rmsnorm-qkv,fuse-rope-kv,fuse-" + pattern + ",fuse-residual,fuse-gate-up-swiglu,legalize"
			for _, in := range entries(t, c, o, pipeline, m3Pro(t)) {
				graphs = append(graphs, alone(in.Graph, identifier(name+"_"+pattern+"_"+in.Name)))
			}
		}
	}
	b := newBatch(t, graphs, false)
	parts := map[int64]bool{}
	for _, k := range b.plan.Kernels {
		for _, p := range k.Params {
			if p.Name == "parts" {
				parts[p.Value] = true
			}
		}
	}
	require.True(t, parts[5], "parts %v", parts)
	for i, g := range graphs {
		t.Run(g.Name, func(t *testing.T) {
			for seed, env := range []sym.Env{{T: 1}, {T: 1, P: 255}, {T: 1, P: 256}, {T: 1, P: 1199}, {T: 9, P: 700}} {
				if env.T <= g.Bounds.TMax {
					b.run(t, i, env, uint64(seed))
				}
			}
		})
	}
}

func identifier(s string) string { return strings.ReplaceAll(s, "-", "_") }

// TestModels runs whole small models in several fusions against the interpreter.
func TestModels(t *testing.T) {
	pipelines := map[string]string{
		"unfused":     pipelineUnfused,
		"default":     pipelineDefault,
		"fewest":      pipelineFewest,
		"eight":       "canonicalize,cse,drop-repeat-kv,fuse-qkv-rope-kv,fuse-rope-attention,fuse-residual-norm,fuse-gate-up,fuse-swiglu,fuse-head,fuse-embedding-norm,legalize",
		"split":       "canonicalize,cse,drop-repeat-kv,fuse-rmsnorm-qkv,fuse-rope-kv,fuse-attention{kernel=attention-parts},fuse-residual,fuse-swiglu-down,legalize",
		"split-o":     "canonicalize,cse,drop-repeat-kv,split-norm,fuse-qkv-rope-kv,fuse-attention-split-o,fuse-residual,fuse-gate-up-swiglu,fuse-head,fuse-embedding-norm,legalize",
		"parts":       "canonicalize,cse,drop-repeat-kv,fuse-qkv,fuse-rope-qk,fuse-attention,fuse-elementwise,legalize",
		"swiglu-down": "canonicalize,cse,drop-repeat-kv,fuse-rmsnorm-qkv,fuse-rope-kv,fuse-attention,fuse-swiglu-down,fuse-residual,legalize",
	}
	// One model in every fusion, the others in those with the largest kernels; with
	// FOUNDRY_COMPLETE in all three of them.
	short := map[string][]string{"hd6": {"unfused", "fewest"}, "hd80": {"default"}, "hd128": {"fewest"}}
	var graphs []*ir.Graph
	models := tiny()
	for _, name := range slices.Sorted(maps.Keys(models)) {
		for _, variant := range slices.Sorted(maps.Keys(pipelines)) {
			largest := short[name]
			if complete {
				largest = []string{"unfused", "default", "fewest"}
			}
			if name != "hd64" && !slices.Contains(largest, variant) {
				continue
			}
			o := decoder.BuildOptions{Context: 96, Chunk: 33, Weights: dtype.F16, Cache: dtype.F16}
			for _, in := range entries(t, models[name], o, pipelines[variant], m3Pro(t)) {
				graphs = append(graphs, alone(in.Graph, identifier(name+"_"+variant+"_"+in.Name)))
			}
		}
	}
	for _, checked := range []bool{false, true} {
		if checked { // every access is looked at, in one model
			graphs = slices.DeleteFunc(graphs, func(g *ir.Graph) bool {
				return !strings.HasPrefix(g.Name, "hd64_unfused") && !strings.HasPrefix(g.Name, "hd64_fewest") && !strings.HasPrefix(g.Name, "hd64_default")
			})
		}
		b := newBatch(t, graphs, checked)
		for i, g := range graphs {
			steps := []sym.Env{{T: 1}, {T: 1, P: 1}, {T: 1, P: 70}}
			if g.Bounds.TMax > 1 {
				steps = []sym.Env{{T: 1, P: 3}, {T: 7}, {T: 33, P: 40}}
			}
			if checked {
				steps = steps[1:2]
			}
			t.Run(fmt.Sprintf("%s/checked=%t", g.Name, checked), func(t *testing.T) {
				for seed, env := range steps {
					b.run(t, i, env, uint64(seed))
				}
			})
		}
	}
}
