package passes_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/frontends/decoder"
	"foundry/frontends/qwen25"
	"foundry/ir"
	"foundry/ir/cost"
	"foundry/ir/dtype"
	"foundry/ir/kernel"
	"foundry/ir/target"
	"foundry/lower/plan"
	"foundry/passes"
)

// What others have measured and published, against what the cost model predicts
// and chooses. The numbers of the target are not fitted to any of these cases.

// predicted runs a variant over a size's decode graph and returns its waves on t
// with a hundred tokens cached.
func predicted(t *testing.T, size, variant string, weights dtype.Type, x *target.Target) [][]cost.Kernel {
	t.Helper()
	c, err := qwen25.Family.Preset(size)
	require.NoError(t, err)
	g, err := decoder.Build(c, decoder.BuildOptions{Context: 4096, Chunk: 512, Weights: weights, Cache: dtype.F16})
	require.NoError(t, err)
	g, err = g.Specialise(1)
	require.NoError(t, err)
	p, err := passes.Variant(variant)
	require.NoError(t, err)
	require.NoError(t, p.Run(g, &passes.Context{Target: x}))
	e := cost.Typical(g.Bounds)
	e.P = 100
	return cost.Waves(g.Nodes(), nil, cost.Run{Target: x, Bounds: g.Bounds, Env: e}.Kernels)
}

func tokensPerSecond(waves [][]cost.Kernel, x *target.Target) float64 {
	us, _ := cost.Total(waves, x, 0)
	return 1e6 / us
}

// Metallic on an M3 Pro: the norm in front of gate and up pays at 0.5b, and no
// more from 8,192 rows on, where 1.5b, 3b and 7b lie, as every threadgroup computes
// it again. With sums that are there already it always does.
func TestNormPrologueAsPublished(t *testing.T) {
	m3 := machine(t, "apple-m3-pro")
	for size, pays := range map[string]bool{"0.5b": true, "1.5b": false, "3b": false, "7b": false} {
		n, log := chosen(t, size, m3, "gate_proj", "split-norm")
		require.Equal(t, pays, holds(n, ir.OpRMSNorm), size)
		require.Equal(t, "gate-up-swiglu", n.Attr.Pattern, size)
		for _, d := range log {
			if !pays && d.Pattern == "gate-up-swiglu" && d.Layer == 1 {
				require.Regexp(t, `not more: rms_norm, 2 matmul_nt, silu, mul would (save|lose) [0-9.]+ [mun]?s, this saves [0-9.]+ [mun]?s$`, d.Reason, size)
			}
		}
		n, _ = chosen(t, size, m3, "gate_proj")
		require.True(t, holds(n, ir.OpRMSScale), size)
	}
}

// Metallic on an M3 Pro: SwiGLU as the epilogue of gate and up, with rows dealt out
// for it, made 0.5b 1.8 % faster in a first form and 6 % in a tuned one.
func TestSwiGLUEpilogueAsPublished(t *testing.T) {
	m3 := machine(t, "apple-m3-pro")
	for _, w := range []dtype.Type{dtype.F16, dtype.Q8_0} {
		gain := tokensPerSecond(predicted(t, "0.5b", "swiglu", w, m3), m3)/tokensPerSecond(predicted(t, "0.5b", "gate-up", w, m3), m3) - 1
		t.Logf("%v: %.1f %%", w, 100*gain)
		require.InDelta(t, 0.039, gain, 0.022, "%v", w)
	}
}

// A grid of QKV sized by the largest of its matrices (896 rows for 0.5b) starves K and
// V, and was measured to lose 6 %: it is dealt out by all 1,152 rows.
func TestGridOfQKVAsPublished(t *testing.T) {
	m3 := machine(t, "apple-m3-pro")
	n, _ := chosen(t, "0.5b", m3, "q_proj")
	require.Equal(t, "qkv-rope-kv", n.Attr.Pattern)
	k := cost.Run{Target: m3, Bounds: n.Region.Bounds, Env: cost.Typical(n.Region.Bounds)}.Kernels(n)[0]
	rows := kernelsOf(t, n, m3)[0].(kernel.ProductRows)
	require.Equal(t, float64(rows.Groups(896+2*128, 1)), k.Groups)
	require.Greater(t, k.Groups, float64(rows.Groups(896, 1)))
}

// kernelsOf lists the kernels that a fused node can get, what is chosen first.
func kernelsOf(t *testing.T, n *ir.Node, x *target.Target) []kernel.Kernel {
	t.Helper()
	return slices.Collect(cost.Run{Target: x, Bounds: n.Region.Bounds, Env: cost.Typical(n.Region.Bounds)}.Candidates(n))
}

// partsOf is into how many parts a decode step of a size cuts the keys where it does.
func partsOf(t *testing.T, size string, x *target.Target) int64 {
	t.Helper()
	g := decode(t, size)
	require.NoError(t, parse(t, "canonicalize,cse,dce,drop-repeat-kv,fuse-attention").Run(g, &passes.Context{Target: x}))
	at := slices.IndexFunc(g.Nodes(), func(n *ir.Node) bool { return n.Attr.Pattern == "attention" })
	require.GreaterOrEqual(t, at, 0)
	for _, k := range kernelsOf(t, g.Nodes()[at], x) {
		if rows, ok := k.(kernel.AttentionRows); ok && rows.Parts > 0 {
			return rows.Parts
		}
	}
	t.Fatal("attention cannot be had in parts")
	return 0
}

// Folding the merge of split attention into o_proj makes each of its threadgroups
// read all parts: at 7b with 16 parts about four times the bytes of o_proj's
// weights. It is refused with the numbers, and a sixth dispatch is taken.
func TestMergeFoldAsPublished(t *testing.T) {
	h100 := machine(t, "h100")
	n, log := chosen(t, "7b", h100, "scores")
	require.Equal(t, "attention", n.Attr.Pattern)
	require.Len(t, cost.Run{Target: h100, Bounds: n.Region.Bounds, Env: cost.Typical(n.Region.Bounds)}.Kernels(n), 2, "parts and their merge")
	found := false
	for _, d := range log {
		if d.Pattern == "attention-split-o" && d.Layer == 1 {
			require.Equal(t, plan.Unprofitable, d.Outcome)
			require.Regexp(t, `predicted [0-9.]+ [mun]?s with qkv-rope-kv and attention-split-o, against [0-9.]+ [mun]?s with qkv-rope-kv and attention and residual or `, d.Reason)
			found = true
		}
	}
	require.True(t, found)

	require.EqualValues(t, 16, partsOf(t, "7b", h100))
	g := decode(t, "7b")
	require.NoError(t, parse(t, "canonicalize,cse,dce,drop-repeat-kv,fuse-attention-split-o").Run(g, &passes.Context{Target: h100}))
	at := slices.IndexFunc(g.Nodes(), func(n *ir.Node) bool { return n.Attr.Pattern == "attention-split-o" })
	require.GreaterOrEqual(t, at, 0)
	ks := cost.Run{Target: h100, Bounds: g.Bounds, Env: cost.Typical(g.Bounds)}.Kernels(g.Nodes()[at])
	require.Len(t, ks, 2)
	times := ks[1].PrologueCache / (3584 * 3584 * 2)
	t.Logf("%.0f threadgroups read parts of %.1f times the weights", ks[1].Groups, times)
	require.InDelta(t, 4, times, 1)
}

// One pass or few parts are enough at the default context on the default target,
// and no dispatch more than five a layer is taken for them.
func TestFewPartsAtTheDefaultContext(t *testing.T) {
	m3 := machine(t, target.Default)
	for _, size := range []string{"0.5b", "1.5b", "3b", "7b"} {
		require.LessOrEqual(t, partsOf(t, size, m3), int64(3), size)
		n, _ := chosen(t, size, m3, "scores")
		require.True(t, n.Attr.Pattern == "attention-split-o" || len(cost.Run{Target: m3, Bounds: n.Region.Bounds, Env: cost.Typical(n.Region.Bounds)}.Kernels(n)) == 1, size)
	}
}

// llama.cpp issue 29134: more fusion packed chains back to back that had run side
// by side, and cost 6.8 %. Here a product that takes up the sum behind it has to
// wait for the other operand: where the two filled the machine only together the
// fusion is refused, where each fills it alone it is taken.
func TestLostConcurrencyAsPublished(t *testing.T) {
	for rows, want := range map[string]string{"32": plan.Unprofitable, "8192": plan.Matched} {
		g, err := ir.Parse("two.fir", `graph @decode (T=1..1, P=0..39, S<=40) {
  %x = input "x" : f32[1, 16384]
  %z = input "z" : f32[1, 16384]
  %wa = weight "a" : f16[`+rows+`, 16384]
  %wb = weight "b" : f16[`+rows+`, 16384]
  %a = matmul_nt %x, %wa @"a"
  %b = matmul_nt %z, %wb @"b"
  %y = add %a, %b @"y"
  return y=%y
}`)
		require.NoError(t, err)
		var log passes.Log
		require.NoError(t, parse(t, "fuse-residual{when=cheaper}").Run(g, &passes.Context{Log: &log}))
		require.Len(t, log.Decisions, 1)
		t.Log(log.Decisions[0].Outcome, log.Decisions[0].Reason)
		require.Equal(t, want, log.Decisions[0].Outcome, "%s rows: %s", rows, log.Decisions[0].Reason)
	}
}

// tvm issue 18877, MLC on an M4 Max: the 262 dispatches of 0.5b in one command
// buffer instead of one each are 1.95 times as fast; the model says 4.5 times. It has the
// direction and not the size: it charges 20 us at every border of two buffers, which so
// many of them evidently do not cost. It never takes more than a few. mlx issue 4521:
// fewer command buffers than mlx-lm's ten or more for some 480 dispatches gain 5 to 8 %.
func TestCommandBuffersAsPublished(t *testing.T) {
	m4 := machine(t, "apple-m4-max")
	waves := predicted(t, "0.5b", "rmsnorm-qkv", dtype.Q4_0, m4) // 245 dispatches
	one, _ := cost.Total(waves, m4, 1)
	each, _ := cost.Total(waves, m4, 245)
	t.Logf("one for all is %.2f times as fast as one each", each/one)
	require.Greater(t, each/one, 1.95)
	require.Less(t, each/one, 2.4*1.95)
	waves = predicted(t, "0.5b", "attention", dtype.Q4_0, m4)
	best, n := cost.Total(waves, m4, 0)
	twelve, _ := cost.Total(waves, m4, 12)
	t.Logf("%d command buffers gain %.1f %% over 12", n, 100*(twelve/best-1))
	require.Less(t, n, 10)
	require.InDelta(t, 0.05, twelve/best-1, 0.03)
}

// Published decode speeds are a share of what the model predicts for the same
// number of dispatches: it knows what cannot be faster, not what is lost beyond.
func TestPredictionsBoundPublishedSpeeds(t *testing.T) {
	for _, p := range []struct {
		engine, size, variant, machine string
		weights                        dtype.Type
		speed                          float64
	}{
		{"Metallic, six dispatches", "0.5b", "per-layer-6", "apple-m3-pro", dtype.F16, 105.5},
		{"Metallic, six dispatches", "0.5b", "per-layer-6", "apple-m3-pro", dtype.Q8_0, 164},
		{"llama.cpp, 21 dispatches", "7b", "attention", "apple-m3-pro", dtype.Q8_0, 17.3},
		{"torch.compile and CUDA graphs", "0.5b", "attention", "h100", dtype.F16, 632},
		{"torch.compile and CUDA graphs", "1.5b", "attention", "h100", dtype.F16, 379},
		{"torch.compile and CUDA graphs", "7b", "attention", "h100", dtype.F16, 146},
	} {
		x := machine(t, p.machine)
		most := tokensPerSecond(predicted(t, p.size, p.variant, p.weights, x), x)
		t.Logf("%-30s %-4s %-4v %-12s %5.1f of %5.1f tokens a second, %.2f", p.engine, p.size, p.weights, p.machine, p.speed, most, p.speed/most)
		require.Less(t, p.speed, most*1.01, p.engine)
		require.Greater(t, p.speed, most/2, p.engine)
	}
}
