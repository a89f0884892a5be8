package compile

import (
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/frontends/checkpoint"
	"foundry/frontends/model"
	"foundry/lower/plan"
)

// decodes lists the p_max of a plan's entries decode, 0 for the one without.
func decodes(p *plan.Plan) (out []int64) {
	for _, e := range p.Entries {
		if e.Role == plan.Decode {
			out = append(out, e.PMax)
		}
	}
	return out
}

// A target that deals out attention by the most keys of a run gets entries for fewer; one
// that does not, a small cache and a forced backend get none. They share all kernels but
// attention's and those that know the context, and drivers find the smallest that will do.
func TestShortContexts(t *testing.T) {
	m, err := model.Open("synth:qwen2.5-0.5b", checkpoint.Hub{})
	require.NoError(t, err)
	small := m.WithLayers(3)
	for _, c := range []struct {
		o    Options
		want []int64
	}{
		{Options{Target: "h200", Context: 32768}, []int64{0, 4095, 511}},
		{Options{Target: "h200", Context: 4096}, []int64{0, 511}},
		{Options{Target: "h200", Context: 2048}, []int64{0, 511}},
		{Options{Target: "h200", Context: 2047}, []int64{0}},
		{Options{Target: "h200", Context: 32768, Short: []int{}}, []int64{0}},
		{Options{Target: "h200", Context: 32768, Attention: "flash"}, []int64{0}},
		{Options{Target: "h200", Context: 1024, Short: []int{300, 40}}, []int64{0, 299, 39}},
		{Options{Target: "apple-m3-pro", Context: 32768}, []int64{0}},
	} {
		compiled, err := Model(small, c.o)
		require.NoError(t, err)
		require.Equal(t, c.want, decodes(compiled.Plan), "%+v", c.o)
	}
	compiled, err := Model(small, Options{Target: "h200", Context: 32768})
	require.NoError(t, err)
	p := compiled.Plan
	for past, want := range map[int64]string{0: "decode_512", 511: "decode_512", 512: "decode_4096", 4095: "decode_4096", 4096: "decode", 32767: "decode"} {
		require.Equal(t, want, p.Entries[p.EntryAt(plan.Decode, past)].Name, "P = %d", past)
	}
	require.Equal(t, "decode", p.Entries[p.EntryFor(plan.Decode)].Name)
	without, err := Model(small, Options{Target: "h200", Context: 32768, Short: []int{}})
	require.NoError(t, err)
	require.Less(t, len(p.Kernels)-len(without.Plan.Kernels), 10, "products of decode are shared")
	require.Equal(t, without.Plan.ArenaBytes, p.ArenaBytes)
}

// An entry for short contexts has two positions at least, fewer than the context, and is one
// of its size.
func TestLimitsOfShortContexts(t *testing.T) {
	m := embedded(t)
	for _, c := range []struct {
		short []int
		want  string
	}{
		{[]int{2, 63}, ""}, {[]int{}, ""}, {[]int{1}, "a decode entry for 1 positions, want 2 to 63 in a context of 64"},
		{[]int{64}, "a decode entry for 64 positions, want 2 to 63 in a context of 64"}, {[]int{8, 9, 8}, "two decode entries for 8 positions"},
	} {
		_, _, err := Options{Context: 64, Short: c.short}.Resolve(m)
		if c.want == "" {
			require.NoError(t, err)
		} else {
			require.EqualError(t, err, m.Name+": "+c.want)
		}
	}
	_, _, err := Options{Context: 64, Short: []int{8}, Fuel: new(int)}.Resolve(m)
	require.EqualError(t, err, "fuel and decode entries for short contexts are both given; take one")
	for tokens, want := range map[int]string{1: "decode", 2: "prefill", 512: "prefill"} {
		require.Equal(t, want, EntryOf(tokens))
	}
}

// Entries for short contexts are weighed where the context is four times as long as the first
// of them, and nothing is forced or counted; what is asked for is made.
func TestWhereShortContextsAreWeighed(t *testing.T) {
	m, err := model.Open("synth:qwen2.5-0.5b", checkpoint.Hub{})
	require.NoError(t, err)
	for _, c := range []struct {
		o       Options
		weighed bool
	}{
		{Options{Context: 2048}, true}, {Options{Context: 2047}, false}, {Options{Context: 32768}, true}, {Options{Context: 64, Short: []int{8}}, true},
		{Options{Context: 32768, Short: []int{}}, false}, {Options{Context: 32768, Attention: "split"}, false}, {Options{Context: 32768, Fuel: new(int)}, false},
	} {
		g, err := Build(m, c.o)
		require.NoError(t, err)
		require.Equal(t, c.weighed, g.decode != nil, "%+v", c.o)
	}
	for attention, parts := range map[string]bool{"flash": false, "split": true, "chained": false} {
		g, err := Fuse(embedded(t), Options{Attention: attention})
		require.NoError(t, err)
		require.Equal(t, parts, g.inParts(g.Entries[1]), attention)
	}
}
