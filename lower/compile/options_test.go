package compile

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/frontends/checkpoint"
	"foundry/frontends/model"
	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/sym"
)

var update = flag.Bool("update", false, "rewrite what options make of models, in testdata")

// TestOptions holds what each option makes of a model, or why it is refused: the options as
// they are recorded, entries, sizes, and what the user is told.
func TestOptions(t *testing.T) {
	language := embedded(t)
	file := t.TempDir() + "/two.fir"
	require.NoError(t, os.WriteFile(file, []byte(`graph @two (T=1..9, P=0..0, S<=9) {
  %0 = input "x" : f32[T, 64]
  %1 = weight "w" : f16[64, 64]
  %2 = matmul_nt %0, %1 : f32[T, 64] @"layers.2.product"
  %3 = silu %2 : f32[T, 64]
  return y=%3
}
`), 0o600))
	graph, err := model.OpenGraph(file)
	require.NoError(t, err)
	graph.Name = "two.fir" // wherever it lies
	eight := t.TempDir() + "/eight.gguf"
	_, err = model.Convert(context.Background(), language, dtype.Q8_0, eight, nil)
	require.NoError(t, err)
	stored, err := model.Open(eight, checkpoint.Hub{})
	require.NoError(t, err)
	defer func() { require.NoError(t, stored.Close()) }()
	stored.Name = "eight.gguf"
	fuel := func(n int) *int { return &n }
	var got strings.Builder
	for _, c := range []struct {
		m     *model.Model
		about string
		o     Options
	}{
		{language, "nothing", Options{}},
		{language, "sizes", Options{Context: 100, Chunk: 7}},
		{language, "a chunk of one", Options{Chunk: 1, Context: 16}},
		{language, "a context that is too long", Options{Context: 1 << 20}},
		{language, "a context that is none", Options{Context: -1}},
		{language, "all rows", Options{AllLogits: true, Sampler: true, Context: 64}},
		{language, "a sampler", Options{Sampler: true, Context: 64}},
		{language, "weights", Options{Weights: dtype.Q8_0, Cache: dtype.F32, Context: 64}},
		{language, "floats", Options{Floats: dtype.BF16, Context: 64}},
		{language, "weights that none can be made", Options{Weights: dtype.Q3_K}},
		{language, "a target", Options{Target: "h100", Context: 64}},
		{language, "a target that is none", Options{Target: "h99"}},
		{language, "an alias", Options{Variant: "six", Context: 64}},
		{language, "a variant that is none", Options{Variant: "sixty"}},
		{language, "both", Options{Variant: "fewest", Passes: "cse"}},
		{language, "passes", Options{Passes: "cse,dce", Context: 64}},
		{language, "passes of prefill", Options{Passes: "cse,dce", PrefillPasses: "cse", Context: 64}},
		{language, "passes that are none", Options{Passes: "cse,dee"}},
		{language, "a backend", Options{Attention: "split", AttentionChosen: "flag", Context: 64}},
		{language, "a backend that is none", Options{Attention: "splt", AttentionChosen: "flag"}},
		{language, "command buffers and chains", Options{CommandBuffers: 3, Chain: 5, Context: 64}},
		{language, "no fuel", Options{Fuel: fuel(0), Context: 64}},
		{language, "fuel", Options{Fuel: fuel(11), Context: 64}},
		{language, "fuel and short contexts", Options{Fuel: fuel(11), Short: []int{9}}},
		{language, "short contexts", Options{Short: []int{63, 2}, Context: 64}},
		{language, "one that is too short", Options{Short: []int{1}, Context: 64}},
		{language, "one that is too long", Options{Short: []int{64}, Context: 64}},
		{language, "one twice", Options{Short: []int{9, 8, 9}, Context: 64}},
		{stored, "weights as they are stored", Options{Context: 64}},
		{stored, "others than are stored", Options{Weights: dtype.F16, Context: 64}},
		{graph, "a graph", Options{}},
		{graph, "a graph, fused not", Options{Variant: "unfused"}},
		{graph, "a graph's prefill", Options{PrefillPasses: "cse"}},
		{graph, "a graph's short contexts", Options{Short: []int{4}}},
		{graph, "a graph's backend", Options{Attention: "flash"}},
	} {
		fmt.Fprintf(&got, "-- %s --\n", c.about)
		compiled, err := Model(c.m, c.o)
		if err != nil {
			fmt.Fprintln(&got, err)
			continue
		}
		p := compiled.Plan
		fmt.Fprintf(&got, "%+v\n%+v\n", p.Model, p.Options)
		for i := range p.Entries {
			e := &p.Entries[i]
			s := p.Stats(e, sym.Env{T: e.TMax})
			fmt.Fprintf(&got, "%s: role %s, T %d to %d, P to %d, chain %d, %d buffers, %d dispatches, %d waves, %d bytes moved\n",
				e.Name, e.Role, e.TMin, e.TMax, e.PMax, e.Chain, s.CommandBuffers, s.Dispatches, s.Waves, s.MovedBytes)
		}
		fmt.Fprintf(&got, "%d kernels, %d decisions, %d rewrites, last %s, notes %q\n", len(p.Kernels), len(p.Decisions), compiled.Rewrites, compiled.LastRewrite, compiled.Notes)
		for _, e := range compiled.Entries {
			found, err := compiled.Entry(e.Name)
			require.NoError(t, err)
			require.Same(t, e, found)
		}
		_, err = compiled.Entry("none")
		fmt.Fprintln(&got, err)
	}
	var seen []string
	_, err = Fuse(language, Options{Passes: "cse,dce", Context: 64, AfterPass: func(pass string, g *ir.Graph) { seen = append(seen, pass+" "+g.Name) }})
	require.NoError(t, err)
	require.Equal(t, []string{"input decode", "cse decode", "dce decode", "input prefill", "cse prefill", "dce prefill"}, seen)
	require.Equal(t, []string{"decode", "prefill", "prefill"}, []string{EntryOf(1), EntryOf(2), EntryOf(0)})
	const want = "testdata/options.txt"
	if *update {
		require.NoError(t, os.WriteFile(want, []byte(got.String()), 0o644))
	}
	kept, err := os.ReadFile(want)
	require.NoError(t, err)
	require.Equal(t, strings.Split(string(kept), "\n"), strings.Split(got.String(), "\n"), "rewrite with -update")
}
