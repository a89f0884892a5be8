package metal_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/sym"
	"foundry/lower/metal"
	"foundry/lower/plan"
	"foundry/runtime/devicetest"
	"foundry/runtime/msl/strict"
)

// turned are the kernels by element that rotate: q heads alone, q and k, and q and k
// behind their projections with both cache writes.
func turned(t *testing.T, heads, groups, d int) []*ir.Graph {
	t.Helper()
	const bounds = "T=1..33, P=0..32767, S<=32768"
	texts := map[string]string{
		"rope": `%0 = input "q" : f32[{H}, T, {D}]
			%1 = weight "f" : f32[{h}]
			%2 = rope %0, %1 {start=P} : f32[{H}, T, {D}]
			return y=%2`,
		"rope-qk": `%0 = input "q" : f32[{H}, T, {D}]
			%1 = input "k" : f32[{G}, T, {D}]
			%2 = weight "f" : f32[{h}]
			%3 = rope %0, %2 {start=P} : f32[{H}, T, {D}]
			%4 = rope %1, %2 {start=P} : f32[{G}, T, {D}]
			return y=%3, z=%4`,
		"rope-kv": `%0 = input "q" : f32[T, {H}*{D}]
			%1 = input "k" : f32[T, {G}*{D}]
			%2 = input "v" : f32[T, {G}*{D}]
			%3 = weight "f" : f32[{h}]
			%4 = state "ck" : f16[{G}, 96, {D}]
			%5 = state "cv" : f16[{G}, 96, {D}]
			%6 = kv_rearrange %0 {heads={H}} : f32[{H}, T, {D}]
			%7 = kv_rearrange %1 {heads={G}} : f32[{G}, T, {D}]
			%8 = kv_rearrange %2 {heads={G}} : f32[{G}, T, {D}]
			%9 = rope %6, %3 {start=P} : f32[{H}, T, {D}]
			%10 = rope %7, %3 {start=P} : f32[{G}, T, {D}]
			%11 = kv_write %4, %10 {start=P} : f16[{G}, 96, {D}]
			%12 = kv_write %5, %8 {start=P} : f16[{G}, 96, {D}]
			return y=%9, ck=%11, cv=%12`,
	}
	var out []*ir.Graph
	for _, name := range []string{"rope", "rope-qk", "rope-kv"} {
		text, b := texts[name], bounds
		if name == "rope-kv" {
			b = "T=1..33, P=0..95, S<=96"
		}
		for in, n := range map[string]int{"{H}*{D}": heads * d, "{G}*{D}": groups * d} {
			text = strings.ReplaceAll(text, in, fmt.Sprint(n))
		}
		for in, n := range map[string]int{"{H}": heads, "{G}": groups, "{D}": d, "{h}": d / 2} {
			text = strings.ReplaceAll(text, in, fmt.Sprint(n))
		}
		g := parse(t, b, text)
		_, err := g.Outline(slices.Clone(g.Nodes()), name, name)
		require.NoError(t, err)
		out = append(out, alone(g, fmt.Sprintf("%s_%d_%d_%d", strings.ReplaceAll(name, "-", "_"), heads, groups, d)))
	}
	return out
}

// Every kernel by element that rotates computes the same where a threadgroup makes a
// position, whatever its heads: a cosine and a sine a pair, for all of them. Each number
// of heads has one head_dim, and every access is looked at of a third of them; with
// FOUNDRY_COMPLETE all have all.
func TestSharedTurns(t *testing.T) {
	var graphs []*ir.Graph
	for heads := 1; heads <= 14; heads++ {
		for i, d := range []int{64, 80, 128} {
			if complete || i == heads%3 {
				graphs = append(graphs, turned(t, heads, 1+heads/3%3, d)...)
			}
		}
	}
	byContext := map[int64][]*ir.Graph{} // a plan's caches hold its context
	for _, g := range graphs {
		byContext[g.Bounds.SMax] = append(byContext[g.Bounds.SMax], g)
	}
	for _, graphs := range byContext {
		for _, checked := range []bool{false, true} {
			if checked && !complete {
				graphs = graphs[:len(graphs)/3]
			}
			b := newBatch(t, graphs, checked)
			for i := range b.plan.Kernels {
				k := &b.plan.Kernels[i]
				require.Len(t, k.Threadgroup, 2, "%s: no cosines and sines in threadgroup memory", k.Name)
				require.Equal(t, 1, strings.Count(k.Source[strings.Index(k.Source, "// ---- kernel ----"):], "rope_turn("), k.Name)
			}
			for i, g := range graphs {
				for seed, rows := range []int64{1, 7, 33} {
					b.run(t, i, sym.Env{T: rows, P: g.Bounds.SMax - rows}, uint64(seed))
				}
				require.False(t, t.Failed(), g.Name)
			}
		}
	}
}

// A region of which no threadgroup can make a position keeps a turn a thread.
func TestSharedTurnsElsewhere(t *testing.T) {
	g := parse(t, "T=1..9, P=0..8, S<=17", `%0 = input "q" : f32[3, T, 64]
		%1 = input "x" : f32[T, 5]
		%2 = weight "f" : f32[32]
		%3 = rope %0, %2 {start=P} : f32[3, T, 64]
		%4 = silu %1 : f32[T, 5]
		return y=%3, z=%4`)
	_, err := g.Outline(slices.Clone(g.Nodes()), "both", "both")
	require.NoError(t, err)
	b := newBatch(t, []*ir.Graph{alone(g, "g")}, true)
	require.Empty(t, b.plan.Kernels[0].Threadgroup)
	b.run(t, 0, sym.Env{T: 9, P: 3}, 1)
}

func TestSharedTurnsAreMSL(t *testing.T) {
	clang, err := strict.Find()
	devicetest.Need(t, err)
	var entries []metal.Entry
	for _, d := range []int{64, 80, 128} {
		for _, g := range turned(t, 14, 2, d) {
			entries = append(entries, metal.Entry{Name: g.Name, Graph: g})
		}
	}
	p, err := metal.Compile(entries, metal.Options{
		Target: m3Pro(t), Model: plan.Model{Name: "test", Layers: 1, Context: 32768},
		Meta: plan.Options{Weights: dtype.F16, Cache: dtype.F16},
	})
	require.NoError(t, err)
	require.NoError(t, strict.CheckAll(background, clang, p.Kernels))
}
