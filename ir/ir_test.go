package ir_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/sym"
)

// mlp builds the MLP of a layer, with a cache write beside it.
func mlp(t *testing.T) *ir.Graph {
	t.Helper()
	g := ir.NewGraph("prefill", sym.Bounds{TMin: 1, TMax: 512, PMin: 0, PMax: 4095, SMax: 4096})
	c := sym.Const
	x := g.Param(ir.Input, "x", ir.TypeOf(dtype.F32, sym.T, c(64)))
	norm := g.Param(ir.Weight, "norm", ir.TypeOf(dtype.F32, c(64)))
	gate := g.Param(ir.Weight, "gate", ir.TypeOf(dtype.Q8_0, c(96), c(64)))
	up := g.Param(ir.Weight, "up", ir.TypeOf(dtype.F16, c(96), c(64)))
	down := g.Param(ir.Weight, "down", ir.TypeOf(dtype.F16, c(64), c(96)))
	cache := g.Param(ir.State, "layers.0.k", ir.TypeOf(dtype.F16, c(2), c(4096), c(32)))
	b := ir.Builder{Graph: g}
	h := b.Add(ir.OpRMSNorm, "layers.0.norm", ir.Attr{Eps: 1e-6}, x, norm)
	gv := b.Add(ir.OpMatmulNT, "layers.0.gate", ir.Attr{}, h, gate)
	k := b.Add(ir.OpKVRearrange, "layers.0.k", ir.Attr{Heads: 2}, h)
	kc := b.Add(ir.OpKVWrite, "layers.0.k", ir.Attr{Start: sym.P}, cache, k)
	uv := b.Add(ir.OpMatmulNT, "layers.0.up", ir.Attr{}, h, up)
	s := b.Add(ir.OpSilu, "layers.0.silu", ir.Attr{}, gv)
	m := b.Add(ir.OpMul, "layers.0.mul", ir.Attr{}, s, uv)
	d := b.Add(ir.OpMatmulNT, "layers.0.down", ir.Attr{}, m, down)
	y := b.Add(ir.OpAdd, "layers.0.resid", ir.Attr{}, d, x)
	require.NoError(t, b.Err())
	g.Return("y", y)
	g.Return("layers.0.k", kc)
	require.NoError(t, ir.Verify(g))
	return g
}

func nodesOf(g *ir.Graph, ops ...ir.Op) []*ir.Node {
	var out []*ir.Node
	for _, n := range g.Nodes() {
		for _, o := range ops {
			if n.Op == o {
				out = append(out, n)
			}
		}
	}
	return out
}

func TestPrintParse(t *testing.T) {
	g := mlp(t)
	_, err := g.Outline(nodesOf(g, ir.OpRMSNorm, ir.OpMatmulNT, ir.OpSilu, ir.OpMul)[:5], "gate-up", "layers.0.mlp")
	require.NoError(t, err)
	require.NoError(t, ir.Verify(g))
	text := g.String()
	p, err := ir.Parse("g.fir", text)
	require.NoError(t, err, text)
	require.Equal(t, text, p.String())
}

func TestOutlineInline(t *testing.T) {
	g := mlp(t)
	want := g.Canonical()
	swiglu, err := g.Outline(nodesOf(g, ir.OpSilu, ir.OpMul), "swiglu", "layers.0.swiglu")
	require.NoError(t, err)
	require.NoError(t, ir.Verify(g))
	down := g.Nodes()[len(g.Nodes())-2]
	require.Equal(t, ir.OpMatmulNT, down.Op)
	fused, err := g.Outline([]*ir.Node{swiglu, down, nodesOf(g, ir.OpAdd)[0]}, "swiglu-down", "layers.0.down")
	require.NoError(t, err)
	require.NoError(t, ir.Verify(g))
	require.Len(t, fused.Region.Nodes(), 4)
	kv, err := g.Outline(nodesOf(g, ir.OpKVRearrange, ir.OpKVWrite), "kv", "layers.0.kv")
	require.NoError(t, err)
	require.Equal(t, []int{1}, kv.Overwrites())
	roots := 0
	for _, r := range kv.Results {
		if ir.StateRoot(r) != r {
			roots++
			require.Same(t, kv.Args[1], ir.StateRoot(r), "what a region has written into a cache is that cache's")
		}
	}
	require.Equal(t, 1, roots)
	require.NoError(t, ir.Verify(g), g.String())
	add := nodesOf(g, ir.OpAdd)
	g.InlineAll()
	require.NoError(t, ir.Verify(g))
	require.Equal(t, want, g.Canonical())
	for _, n := range []*ir.Node{swiglu, fused, kv, down} {
		require.True(t, n.Dead(), "%s is in no graph any more", n)
	}
	for _, n := range append(add, g.Nodes()...) {
		require.False(t, n.Dead())
	}
}

// A fused node of other nodes is not put in their place.
func TestInsertFusedOfOthers(t *testing.T) {
	g := mlp(t)
	text := g.String()
	nodes := nodesOf(g, ir.OpSilu, ir.OpMul)
	fused, err := g.FusedNode(nodes, "swiglu", "layers.0.swiglu")
	require.NoError(t, err)
	fused.Results = append(fused.Results, fused.Results[0], fused.Results[0])
	require.EqualError(t, g.InsertFused(fused, nodes), fused.String()+": has 3 results, its nodes 1")
	require.Equal(t, text, g.String())
}

func TestOutlineRefusesCycle(t *testing.T) {
	g := mlp(t)
	before := g.String()
	_, err := g.Outline([]*ir.Node{g.Nodes()[0], nodesOf(g, ir.OpMul)[0]}, "x", "x")
	require.ErrorContains(t, err, "leave the region and come back")
	require.Equal(t, before, g.String())
}

// A region whose results nobody uses has none, and would print as no node does.
func TestOutlineRefusesWhatNothingUses(t *testing.T) {
	g := mlp(t)
	dead, err := g.Add(ir.OpSilu, "dead", ir.Attr{}, g.Params[0])
	require.NoError(t, err)
	deader, err := g.Add(ir.OpSilu, "deader", ir.Attr{}, dead)
	require.NoError(t, err)
	before := g.String()
	_, err = g.Outline([]*ir.Node{dead.Def, deader.Def}, "x", "x")
	require.ErrorContains(t, err, "nothing uses what the region would compute")
	require.Equal(t, before, g.String())
	again, err := ir.Parse("g.fir", before)
	require.NoError(t, err)
	require.Equal(t, before, again.String())
}

func TestSpecialise(t *testing.T) {
	g := mlp(t)
	d, err := g.Specialise(1)
	require.NoError(t, err)
	require.NoError(t, ir.Verify(d))
	require.Equal(t, "f32[1, 64]", d.Results[0].Value.Type.String())
	_, err = g.Specialise(513)
	require.Error(t, err)
}

func TestVerifyStaleCache(t *testing.T) {
	g := mlp(t)
	cache := g.Params[5]
	v, err := g.Add(ir.OpSlice, "late", ir.Attr{Axis: 1, Size: sym.Const(1)}, cache)
	require.NoError(t, err)
	g.Return("late", v)
	require.ErrorContains(t, ir.Verify(g), "has overwritten")
}

func TestParseErrors(t *testing.T) {
	for text, want := range map[string]string{
		"graph @g (T=1..1, P=0..0, S<=1) {\n %0 = input \"x\" : f32[1]\n %1 = silo %0\n return y=%1\n}": `g.fir:3:7: unknown op "silo"; did you mean "silu"?`,
		"graph @g (T=1..1, P=0..0, S<=1) {\n %0 = input \"x\" : f33[1]\n}":                              `g.fir:2:19: unknown dtype "f33"; did you mean "f32"?`,
		"graph @g (T=1..1, P=0..0, S<=1) {\n %0 = silu %7\n}":                                           `g.fir:2:13: %7 is not defined before this`,
		"graph @g (T=1..1, P=0..0, S<=1) {\n %0 = input \"x\" : f32[1]\n %1 = fused %0 {pattern=\"p\"} {\n %2 = arg : f32[1]\n %3 = fused %2 {pattern=\"q\"} {\n %4 = arg : f32[1]\n %5 = silu %4\n return %5\n }\n return %3\n }\n return y=%1\n}": `g.fir:5:30: regions do not nest`,
		"graph @g (T=1..0": `g.fir:1:17: want ",", have the end of the file`,
	} {
		_, err := ir.Parse("g.fir", text)
		require.ErrorContains(t, err, want)
	}
}

func TestFusedNodeLeavesTheGraphAlone(t *testing.T) {
	g := mlp(t)
	before := g.String()
	tail := g.Nodes()[len(g.Nodes())-5:]
	formed, err := g.FusedNode(tail, "x", "layers.0.x")
	require.NoError(t, err)
	require.Equal(t, before, g.String())
	require.NoError(t, ir.Verify(g))
	applied, err := g.Outline(tail, "x", "layers.0.x")
	require.NoError(t, err)
	require.Equal(t, applied.Key(), formed.Key())
	_, err = g.FusedNode(nil, "x", "x")
	require.Error(t, err)
}

func TestNormInTwoSteps(t *testing.T) {
	g, err := ir.Parse("g.fir", `graph @g (T=1..4, P=0..0, S<=4) {
  %x = input "x" : f32[T, 64]
  %w = weight "w" : f32[64]
  %s = sum_squares %x {size=8} : f32[T, 8]
  %y = rms_scale %x, %s, %w {eps=1e-06} : f32[T, 64]
  return y=%y
}`)
	require.NoError(t, err)
	x, w := g.Params[0], g.Params[1]
	_, err = g.Add(ir.OpSumSquares, "bad", ir.Attr{Size: sym.Const(7)}, x)
	require.ErrorContains(t, err, "size=7 does not divide the row length 64")
	_, err = g.Add(ir.OpSumSquares, "bad", ir.Attr{}, x)
	require.Error(t, err)
	_, err = g.Add(ir.OpRMSScale, "bad", ir.Attr{}, x, w, w)
	require.ErrorContains(t, err, "leading dims")
}

// Kernels hold an op's numbers as f32, where 1e300 would be infinite.
func TestNumbersFitKernels(t *testing.T) {
	g := ir.NewGraph("g", sym.Bounds{TMin: 1, TMax: 1, SMax: 1})
	x := g.Param(ir.Input, "x", ir.TypeOf(dtype.F32, sym.Const(2), sym.Const(4), sym.Const(8)))
	w := g.Param(ir.Weight, "w", ir.TypeOf(dtype.F32, sym.Const(8)))
	for _, v := range []float64{1e300, -1e-6, math.NaN(), math.Inf(1)} {
		_, err := g.Add(ir.OpRMSNorm, "n", ir.Attr{Eps: v}, x, w)
		require.ErrorContains(t, err, "wants 0 or a positive number that fits f32")
	}
	for _, v := range []float64{1e300, -1e300, math.NaN(), math.Inf(1)} {
		_, err := g.Add(ir.OpBmmNT, "s", ir.Attr{Scale: v}, x, x)
		require.ErrorContains(t, err, "wants a number that fits f32")
	}
}
