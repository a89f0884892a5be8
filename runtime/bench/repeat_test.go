package bench

import (
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/frontends/checkpoint"
	"foundry/frontends/model"
	"foundry/lower/compile"
	"foundry/passes"
	"foundry/tests/covering"
)

// What few layers say of many is what many say of themselves: every number of every
// row, for sets that hold every two choices together, both phases, two targets.
func TestRepeatedLayersAreCounted(t *testing.T) {
	all, err := layerSets()
	require.NoError(t, err)
	subsets := covering.Pairs(all, func(s passes.Subset) []string { return s.Names }) // with FOUNDRY_COMPLETE all of whole fusions
	if os.Getenv("FOUNDRY_COMPLETE") != "" {
		subsets = slices.DeleteFunc(all, func(s passes.Subset) bool { return !s.Whole })
	}
	for _, x := range []struct{ model, phase, target string }{
		{"synth:qwen2.5-0.5b", "decode", "apple-m3-pro"}, {"synth:qwen2.5-0.5b", "prefill", "apple-m3-pro"}, {"synth:qwen2.5-7b", "decode", "h100"},
	} {
		m, err := model.Open(x.model, checkpoint.Hub{})
		require.NoError(t, err)
		m.Config.Layers = 5
		o := Options{Device: "cpu", Phase: x.phase, Prompt: 700, Tokens: 1, Compile: compile.Options{Target: x.target}}
		for _, s := range subsets {
			o.Variants = append(o.Variants, Variant{Name: s.String(), Passes: s.Pipeline.String()})
		}
		b, variants, err := o.distinctPlans(m)
		require.NoError(t, err)
		c, err := b.counter()
		require.NoError(t, err)
		require.NotNil(t, c.longer)
		have, err := c.count(variants)
		require.NoError(t, err)
		_, want, err := b.compile(variants)
		require.NoError(t, err)
		require.Equal(t, len(want), len(have))
		for i := range want {
			have[i].predict()
			want[i].predict()
			for name, us := range want[i].row.Modelled {
				require.InEpsilon(t, us, have[i].row.Modelled[name], 1e-9, "%s %s", want[i].row.Variant, name)
			}
			require.Zero(t, have[i].row.ArenaBytes)
			have[i].row.Modelled, have[i].row.ArenaBytes = want[i].row.Modelled, want[i].row.ArenaBytes
			require.Equal(t, want[i].row, have[i].row)
		}
		for i := range want { // the same plans are found to be the same
			for j := range i {
				require.Equal(t, want[i].digest == want[j].digest, have[i].digest == have[j].digest, "%s and %s", want[i].row.Variant, want[j].row.Variant)
			}
		}
	}
}

// Layers that differ are all compiled.
func TestUnevenLayersAreNotRepeated(t *testing.T) {
	m, err := model.Open("synth:qwen2.5-0.5b", checkpoint.Hub{})
	require.NoError(t, err)
	m.Config.Layers = 6
	o := Options{Device: "cpu", Phase: "decode", Prompt: 128, Tokens: 1}
	b, _, err := o.distinctPlans(m)
	require.NoError(t, err)
	require.True(t, even(b.graph))
	for _, n := range b.graph.Nodes() {
		if n.Layer() == 4 && n.Attr.Eps != 0 {
			n.Attr.Eps *= 2
			break
		}
	}
	require.False(t, even(b.graph))
	c, err := b.counter()
	require.NoError(t, err)
	require.Nil(t, c.longer)
}
