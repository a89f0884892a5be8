package metal_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir"
	"foundry/ir/sym"
	"foundry/lower/plan"
)

// rareRegions are regions that no pipeline makes of a layer, and that passes of one's own may.
func rareRegions() map[string]string {
	const product = `%0 = input "x" : f32[{T}, {N}]
		%1 = input "b" : f32[{N}]
		%2 = weight "w" : f16[37, {N}]
		%3 = add %0, %1 : f32[{T}, {N}]
		%4 = matmul_nt %3, %2 : f32[{T}, 37]
		return h=%3, y=%4`
	const elements = `%0 = input "x" : f32[T, {N}]
		%1 = input "v" : f32[{M}]
		%2 = silu %0 : f32[T, {N}]
		%3 = silu %1 : f32[{M}]
		return `
	const squares = `%0 = input "x" : f32[{T}, 96]
		%1 = input "b" : f32[96]
		%2 = add %0, %1 : f32[{T}, 96]
		%3 = sum_squares %2 {size={N}} : f32[{T}, {M}]
		return h=%2, s=%3`
	const long = `%0 = input "x" : f32[{T}, 12288]
		%1 = weight "g" : f32[12288]
		%2 = weight "w" : f16[5, 12288]
		%3 = rms_norm %0, %1 {eps=1e-6} : f32[{T}, 12288]
		%4 = matmul_nt %3, %2 : f32[{T}, 5]
		return y=%4`
	const turned = `%0 = input "x" : f32[3, T, {D}]
		%1 = input "f" : f32[{H}]
		%2 = rope %0, %1 {start=P} : f32[3, T, {D}]
		%3 = slice %2 {axis=2, start={A}, size={B}} : f32[3, T, {B}]
		%4 = silu %3 : f32[3, T, {B}]
		return y=%4`
	const heads = `%0 = input "x" : f32[3, {T}, 80]
		%1 = weight "g" : f32[80]
		%2 = input "f" : f32[40]
		%3 = rms_norm %0, %1 {eps=1e-6} : f32[3, {T}, 80]
		%4 = rope %3, %2 {start=P} : f32[3, {T}, 80]
		return y=%4`
	const attention = `%0 = input "x" : f32[4, T, {D}]
		%1 = state "k" : f16[2, 63, 64]
		%2 = state "v" : f16[2, 63, 64]
		%3 = slice %0 {axis=2, start={A}, size=64} : f32[4, T, 64]
		%4 = slice %1 {axis=1, start=0, size=S} : f16[2, S, 64]
		%5 = slice %2 {axis=1, start=0, size=S} : f16[2, S, 64]
		%6 = bmm_nt %3, %4 {scale=0.125} : f32[4, T, S]
		%7 = softmax %6 {causal=true, start=P} : f32[4, T, S]
		%8 = bmm_nn %7, %5 : f32[4, T, 64]
		return y=%8`
	of := func(text string, pairs ...string) string { return strings.NewReplacer(pairs...).Replace(text) }
	return map[string]string{
		"prologue kept of one":              of(product, "{T}", "1", "{N}", "96"),
		"prologue kept":                     of(product, "{T}", "T", "{N}", "96"),
		"prologue kept, rows end in blocks": of(product, "{T}", "T", "{N}", "100"),
		"prologue kept, odd rows":           of(product, "{T}", "T", "{N}", "33"),
		"results of T and few":              of(elements, "{N}", "64", "{M}", "8") + "y=%2, z=%3",
		"results of few and T":              of(elements, "{N}", "64", "{M}", "8") + "z=%3, y=%2",
		"results of T and many":             of(elements, "{N}", "8", "{M}", "4096") + "y=%2, z=%3",
		"results of many and T":             of(elements, "{N}", "8", "{M}", "4096") + "z=%3, y=%2",
		"results of T and some":             of(elements, "{N}", "8", "{M}", "64") + "y=%2, z=%3",
		"squares of one":                    of(squares, "{T}", "1", "{N}", "8", "{M}", "12"),
		"squares":                           of(squares, "{T}", "T", "{N}", "8", "{M}", "12"),
		"squares of four":                   of(squares, "{T}", "T", "{N}", "4", "{M}", "24"),
		"squares of T times S":              of(squares, "{T}", "T, S", "{N}", "32", "{M}", "3"),
		"queries that begin anywhere":       of(attention, "{D}", "65", "{A}", "1"),
		"queries by four":                   of(attention, "{D}", "68", "{A}", "4"),
		"long vector in segments":           of(long, "{T}", "1"),
		"long vectors in segments":          of(long, "{T}", "T"),
		"half of a turn":                    of(turned, "{D}", "64", "{H}", "32", "{A}", "16", "{B}", "32"),
		"odd part of a turn":                of(turned, "{D}", "6", "{H}", "3", "{A}", "1", "{B}", "4"),
		"low half of a turn":                of(turned, "{D}", "8", "{H}", "4", "{A}", "0", "{B}", "4"),
		"high half of a turn":               of(turned, "{D}", "8", "{H}", "4", "{A}", "4", "{B}", "4"),
		"normed heads of 80":                of(heads, "{T}", "T"),
		"normed heads of 80 of one":         of(heads, "{T}", "1"),
	}
}

// rareGraphs are graphs of one such region each, for up to 33 tokens.
func rareGraphs(t *testing.T) (out []*ir.Graph) {
	texts := rareRegions()
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		g := parse(t, "T=1..33, P=0..30, S<=63", texts[name])
		outline(t, g)
		name = strings.NewReplacer(" ", "_", ",", "").Replace(name)
		if strings.HasPrefix(name, "prologue_kept_") || name == "prologue_kept" {
			c := g.Clone()
			pinLast(c, c.Nodes()[0], m3Pro(t), "tiles")
			if c.Nodes()[0].Attr.Kernel != "" {
				out = append(out, alone(c, name+"_in_tiles"))
			}
		}
		out = append(out, alone(g, name))
	}
	return out
}

// Regions that no pipeline makes of a layer compute what they mean, too.
func TestRareRegions(t *testing.T) {
	graphs := rareGraphs(t)
	b := newBatch(t, graphs, true)
	for i, g := range graphs {
		t.Run(g.Name, func(t *testing.T) {
			b.run(t, i, sym.Env{T: 3, P: 7}, 1)
		})
	}
	mains := map[plan.Main]bool{}
	for i := range b.plan.Kernels {
		mains[b.plan.Kernels[i].Main] = true
	}
	require.Subset(t, mains, map[plan.Main]bool{plan.ProductRows: true, plan.ProductTiles: true, plan.Elementwise: true})
}
