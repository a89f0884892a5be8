package cost_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir"
	"foundry/ir/cost"
	"foundry/ir/kernel"
	"foundry/ir/sym"
	"foundry/ir/target"
	"foundry/ir/task"
)

func parse(t *testing.T, text string) *ir.Graph {
	t.Helper()
	g, err := ir.Parse("g.fir", text)
	require.NoError(t, err)
	return g
}

func find(t *testing.T, name string) *target.Target {
	t.Helper()
	x, err := target.Find(name)
	require.NoError(t, err)
	return x
}

// Bytes and operations counted by hand.
func TestMovedAndFlops(t *testing.T) {
	g := parse(t, `graph @g (T=1..4, P=0..36, S<=40) {
  %ids = input "ids" : i32[T]
  %table = weight "table" : q8_0[100, 64]
  %w = weight "w" : f16[32, 64]
  %b = weight "b" : f32[32]
  %k = state "k" : f16[1, 40, 32]
  %e = embedding %ids, %table
  %y = matmul_nt %e, %w
  %z = add %y, %b
  %h = kv_rearrange %z {heads=1}
  %kc = kv_write %k, %h {start=P}
  %view = slice %kc {axis=1, start=0, size=S}
  %s = bmm_nt %h, %view {scale=1}
  return s=%s, k=%kc
}`)
	n := g.Nodes()
	for i, want := range []struct{ moved, flops sym.Poly }{
		{sym.Poly{T: 4 + 68 + 256}, sym.Poly{}},                                        // ids, a row of two blocks, 64 floats
		{sym.Poly{C: 32 * 64 * 2, T: 256 + 128}, sym.Poly{T: 2 * 32 * 64}},             // weight, x, y
		{sym.Poly{C: 128, T: 128 + 128}, sym.Poly{T: 32}},                              // bias, y, z
		{sym.Poly{T: 128 + 128}, sym.Poly{}},                                           // in and out
		{sym.Poly{T: 128 + 64}, sym.Poly{}},                                            // rows of the cache only
		{sym.Poly{}, sym.Poly{}},                                                       // a view
		{sym.Poly{T: 128 + 64, P: 64, TT: 4, TP: 4}, sym.Poly{TT: 2 * 32, TP: 2 * 32}}, // q, S keys, T times S scores
	} {
		require.Equal(t, want.moved, cost.Moved(n[i]), "%s", n[i])
		require.Equal(t, want.flops, cost.Flops(n[i]), "%s", n[i])
	}
	fused, err := g.FusedNode(n[1:5], "x", "x")
	require.NoError(t, err)
	require.Equal(t, sym.Poly{C: 32*64*2 + 128, T: 256 + 128 + 64}, cost.Moved(fused)) // x, weight, bias; head layout is a result too
	require.Equal(t, sym.Poly{T: 2*32*64 + 32}, cost.Flops(fused))
}

const layer = `graph @decode (T=1..1, P=0..39, S<=40) {
  %x = input "x" : f32[1, 896]
  %g = weight "g" : f32[896]
  %wg = weight "wg" : f16[4864, 896]
  %wu = weight "wu" : f16[4864, 896]
  %h = rms_norm %x, %g {eps=1e-06}
  %gate = matmul_nt %h, %wg
  %up = matmul_nt %h, %wu
  %s = silu %gate
  %m = mul %s, %up
  return m=%m
}`

// Gate and up read the same norm and nothing of each other: they share a wave.
func TestWaves(t *testing.T) {
	g := parse(t, layer)
	s := cost.Summarise(g, cost.NewChoices(find(t, target.Default), nil), sym.Env{T: 1, P: 20})
	require.Equal(t, 5, s.Dispatches)
	require.Equal(t, 4, s.Waves)
	tgt := find(t, target.Default)
	kernels := cost.Run{Target: tgt, Bounds: g.Bounds, Env: sym.Env{T: 1, P: 20}}.Kernels
	fused, err := g.FusedNode(g.Nodes(), "gate-up-swiglu", "x")
	require.NoError(t, err)
	replaced := map[*ir.Node]*ir.Node{}
	for _, n := range g.Nodes() {
		replaced[n] = fused
	}
	waves := cost.Waves([]*ir.Node{fused}, replaced, kernels)
	require.Len(t, waves, 1)
	require.Len(t, waves[0], 1)
}

// What reads a replaced node waits for the one in its place; kernels that run early stand in the
// wave before, which is none before the first; nodes that are elsewhere are there from the start.
func TestWavesBehindReplacedNodes(t *testing.T) {
	g := parse(t, "graph @g (T=1..4, P=0..3, S<=4) {\n%x = input \"x\" : f32[T, 64]\n%a = silu %x\n%b = silu %a\n%c = silu %b\n%d = silu %x\n%e = add %c, %d\nreturn e=%e\n}")
	n := g.Nodes()
	fused, err := g.FusedNode(n[:2], "two", "two")
	require.NoError(t, err)
	names := map[*ir.Node]string{n[0]: "a", n[1]: "b", n[2]: "c", n[3]: "d", n[4]: "e", fused: "ab"}
	kernels := func(n *ir.Node) []cost.Kernel {
		k := cost.Kernel{Name: names[n]}
		if k.Name == "c" || k.Name == "d" {
			return []cost.Kernel{{Name: k.Name + " early", Early: true}, k, {Name: k.Name + " merge"}}
		}
		return []cost.Kernel{k}
	}
	of := func(nodes []*ir.Node, replaced map[*ir.Node]*ir.Node) (out [][]string) {
		for _, w := range cost.Waves(nodes, replaced, kernels) {
			var wave []string
			for _, k := range w {
				wave = append(wave, k.Name)
			}
			out = append(out, wave)
		}
		return out
	}
	require.Equal(t, [][]string{{"a", "d early"}, {"b", "c early", "d"}, {"c", "d merge"}, {"c merge"}, {"e"}}, of(n, nil))
	replaced := map[*ir.Node]*ir.Node{n[0]: fused, n[1]: fused}
	require.Equal(t, [][]string{{"ab", "c early", "d early"}, {"c", "d"}, {"c merge", "d merge"}, {"e"}}, of([]*ir.Node{fused, n[2], n[3], n[4]}, replaced))
	require.Equal(t, [][]string{{"c early", "d early"}, {"c", "d"}, {"c merge", "d merge"}, {"e"}}, of(n[2:], nil), "a and b are elsewhere")
	require.Empty(t, of(nil, nil))
}

// Two kernels side by side take as long as their bytes, and less than one after
// the other.
func TestWaveSharesTheMachine(t *testing.T) {
	tgt := find(t, target.Default)
	k := cost.Kernel{Memory: 8 << 20, Groups: 400, Threads: 256}
	one, two := cost.Wave([]cost.Kernel{k}, tgt), cost.Wave([]cost.Kernel{k, k}, tgt)
	require.Greater(t, two, 2*k.Us(tgt))
	require.Less(t, two, 2*one)
	small := cost.Kernel{Memory: 64 << 10, Groups: 2, Threads: 256}
	require.Less(t, cost.Wave([]cost.Kernel{small, small}, tgt)-tgt.WaveUs-2*tgt.DispatchUs, 1.5*small.Us(tgt), "small grids fill the machine together")
	require.Zero(t, cost.Wave(nil, tgt))
}

// A prologue that reduces makes every threadgroup wait; one that finishes sums
// that are there does not.
func TestPrologues(t *testing.T) {
	tgt := find(t, target.Default)
	e := sym.Env{T: 1, P: 20}
	us := func(text string, first int) float64 {
		g := parse(t, text)
		fused, err := g.FusedNode(g.Nodes()[first:], "x", "x")
		require.NoError(t, err)
		ks := cost.Run{Target: tgt, Bounds: g.Bounds, Env: e}.Kernels(fused)
		require.Len(t, ks, 1)
		return ks[0].Us(tgt)
	}
	split := `graph @decode (T=1..1, P=0..39, S<=40) {
  %x = input "x" : f32[1, 896]
  %g = weight "g" : f32[896]
  %wg = weight "wg" : f16[4864, 896]
  %wu = weight "wu" : f16[4864, 896]
  %ss = sum_squares %x {size=8}
  %h = rms_scale %x, %ss, %g {eps=1e-06}
  %gate = matmul_nt %h, %wg
  %up = matmul_nt %h, %wu
  %s = silu %gate
  %m = mul %s, %up
  return m=%m
}`
	without, normed, finished := us(layer, 1), us(layer, 0), us(split, 1)
	require.Less(t, without, finished)
	require.Less(t, finished, normed)
	require.Less(t, finished-without, (normed-without)/4)
}

// More command buffers hide encoding, until their borders cost more.
func TestCommandBuffers(t *testing.T) {
	tgt := find(t, target.Default)
	var waves [][]cost.Kernel
	for range 600 {
		waves = append(waves, []cost.Kernel{{Memory: 1 << 20, Groups: 400, Threads: 256}})
	}
	one, _ := cost.Total(waves, tgt, 1)
	best, n := cost.Total(waves, tgt, 0)
	many, _ := cost.Total(waves, tgt, 60)
	require.Greater(t, n, 1)
	require.Less(t, best, one)
	require.Less(t, best, many)
	same, _ := cost.Total(waves, tgt, n)
	require.Equal(t, best, same)
}

func TestTypical(t *testing.T) {
	require.Equal(t, sym.Env{T: 1, P: 2047}, cost.Typical(sym.Bounds{TMin: 1, TMax: 1, PMin: 0, PMax: 4095, SMax: 4096}))
	require.Equal(t, sym.Env{T: 512, P: 0}, cost.Typical(sym.Bounds{TMin: 1, TMax: 512, PMin: 0, PMax: 4095, SMax: 4096}))
	b := sym.Bounds{TMin: 1, TMax: 9, PMin: 4, PMax: 7, SMax: 8}
	require.True(t, b.Contains(cost.Typical(b)))
}

// A block is as deep as the weights that are read at once, on every target.
func TestBlocksHoldWhatIsReadAtOnce(t *testing.T) {
	found := 0
	for _, x := range target.All() {
		x.TFlops, x.Cores = x.TFlops/1e6, 1 // lanes so slow that products go to tiles
		for _, tokens := range []int64{17, 64, 512} {
			for _, cols := range []int64{96, 192, 896, 3584} {
				g := parse(t, fmt.Sprintf("graph @g (T=1..%d, P=0..0, S<=512) {\n%%x = input \"x\" : f32[T, %d]\n%%w = weight \"w\" : affine5_g32_bf16[74, %d]\n%%y = matmul_nt %%x, %%w\nreturn y=%%y\n}", tokens, cols, cols))
				r, err := task.In(g.Nodes()[0], g.Bounds, &x)
				require.NoError(t, err)
				chosen, err := cost.Choose(r, &x)
				require.NoError(t, err)
				if tiles, ok := chosen.(kernel.ProductTiles); ok {
					require.Zero(t, tiles.Depth%32, "%s, %d tokens, %d columns: %+v", x.Name, tokens, cols, tiles)
					found++
				}
			}
		}
	}
	require.Greater(t, found, 50)
}

// A decode step over a window reads the window's keys and values, not the cache's; a
// block of rows in tiles reads those that any of its rows sees.
func TestWindowsAreNotRead(t *testing.T) {
	memory := func(window string) float64 {
		g := parse(t, `graph @g (T=1..1, P=0..8191, S<=8192) {
  %q = input "q" : f32[4, 1, 64]
  %k = state "k" : f16[2, 8192, 64]
  %v = state "v" : f16[2, 8192, 64]
  %ks = slice %k {axis=1, start=0, size=S}
  %vs = slice %v {axis=1, start=0, size=S}
  %s = bmm_nt %q, %ks {scale=0.125}
  %w = softmax %s {causal=true, start=P`+window+`}
  %y = bmm_nn %w, %vs
  return y=%y
}`)
		n := g.Nodes()
		fused, err := g.FusedNode(n[2:], "attention", "attention")
		require.NoError(t, err)
		ks := cost.Run{Target: find(t, target.Default), Bounds: g.Bounds, Env: sym.Env{T: 1, P: 8000}}.Kernels(fused)
		require.NotEmpty(t, ks)
		return ks[0].Memory // in one pass or in parts, whichever is chosen
	}
	const row = 2 * 64 * 2 * 2 // bytes of two heads' key and value
	require.InDelta(t, 8001*row, memory(""), 0)
	require.InDelta(t, 500*row, memory(", window=500"), 0)
}
