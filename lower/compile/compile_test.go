package compile

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/frontends/checkpoint"
	"foundry/frontends/model"
	"foundry/ir/dtype"
	"foundry/lower/plan"
)

func embedded(t *testing.T) *model.Model {
	t.Helper()
	m, err := model.Open("", checkpoint.Hub{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	return m
}

func TestForcedAttention(t *testing.T) {
	m := embedded(t)
	count := func(o Options, pattern string) (n int) {
		g, err := Fuse(m, o)
		require.NoError(t, err)
		for _, node := range g.Entries[1].Nodes() {
			if strings.Contains(node.Attr.Pattern, pattern) {
				n++
			}
		}
		return n
	}
	require.Zero(t, count(Options{Attention: "chained"}, "attention"))
	require.Equal(t, 5, count(Options{Attention: "flash"}, "attention"))
	require.Equal(t, 5, count(Options{Attention: "flash", Variant: "unfused"}, "attention"), "flash where the pipeline has no attention")
}

// A forced backend pins every pattern of attention that can get its kernel, and leaves out
// those that cannot; whether they pay is weighed as it was, but for plain attention.
func TestForcedAttentionPinsEveryPattern(t *testing.T) {
	const rest = "canonicalize,cse,dce,drop-repeat-kv"
	for _, c := range []struct{ backend, before, after string }{
		{"flash", "fuse-attention-split-o{when=cheaper},fuse-rope-attention{when=cheaper},fuse-attention{when=cheaper},fuse-residual",
			"fuse-rope-attention{when=cheaper,kernel=one-pass},fuse-attention{kernel=one-pass},fuse-residual"},
		{"split", "fuse-attention-split-o{when=cheaper},fuse-rope-attention{when=cheaper},fuse-attention{heads=false,when=cheaper},fuse-residual",
			"fuse-attention-split-o{when=cheaper},fuse-rope-attention{when=cheaper,kernel=attention-parts},fuse-attention{heads=false,kernel=attention-parts},fuse-residual"},
		{"split", "fuse-attention{kernel=one-pass},fuse-residual", "fuse-attention{kernel=attention-parts},fuse-residual"},
		{"split", "fuse-attention-split-o,fuse-residual", "fuse-attention-split-o,fuse-attention{kernel=attention-parts},fuse-residual"},
		{"flash", "fuse-residual,legalize", "fuse-residual,fuse-attention{kernel=one-pass},legalize"},
		{"chained", "fuse-rope-attention,fuse-attention,fuse-residual", "fuse-residual"},
	} {
		p, err := Options{Passes: rest + "," + c.before, Attention: c.backend}.Pipeline()
		require.NoError(t, err)
		require.Equal(t, rest+","+c.after, p.String())
	}
	for _, c := range []struct{ backend, before, after string }{ // at the ends of a pipeline, too
		{"flash", "fuse-attention-split-o,fuse-residual,legalize", "fuse-attention{kernel=one-pass},fuse-residual,legalize"},
		{"flash", "canonicalize,fuse-attention-split-o", "canonicalize,fuse-attention{kernel=one-pass}"},
		{"split", "fuse-residual", "fuse-residual,fuse-attention{kernel=attention-parts}"},
		{"auto", "fuse-attention,fuse-residual", "fuse-attention,fuse-residual"},
	} {
		p, err := Options{Passes: c.before, Attention: c.backend}.Pipeline()
		require.NoError(t, err)
		require.Equal(t, c.after, p.String())
	}
	m := embedded(t)
	for _, c := range []struct{ backend, passes, pattern string }{
		{"split", rest + ",fuse-attention-split-o", "attention-split-o"},
		{"split", rest + ",fuse-rope-attention", "rope-attention"},
		{"flash", rest + ",fuse-rope-attention", "rope-attention"},
	} {
		compiled, err := Model(m, Options{Passes: c.passes, Attention: c.backend})
		require.NoError(t, err, "%+v", c)
		sites := 0
		for _, n := range compiled.Entries[1].Nodes() {
			if n.Attr.Pattern == c.pattern {
				sites++
			}
		}
		require.Equal(t, 5, sites, "%+v", c)
		merges := 0
		for _, k := range compiled.Plan.Kernels {
			if k.Main == plan.AttentionParts {
				merges++
			}
		}
		require.Equal(t, c.backend == "split", merges > 0, "%+v", c)
	}
}

// A matrix whose rows the block does not divide stays f16, and one line says so.
func TestWeightsThatDoNotFitStayF16(t *testing.T) {
	m, err := model.Open("../../tests/testdata/rand-hd64", checkpoint.Hub{})
	require.NoError(t, err)
	defer m.Close()
	g, err := Fuse(m, Options{Weights: dtype.Q8_0, Variant: "unfused"})
	require.NoError(t, err)
	require.Empty(t, g.Notes, "128 and 352 are multiples of 32")
	m.Config.Intermediate = 350
	g, err = Fuse(m, Options{Weights: dtype.Q8_0, Variant: "unfused"})
	require.NoError(t, err)
	require.Equal(t, []string{"2 of 16 matrices stay f16: q8_0's blocks of 32 do not divide their rows"}, g.Notes)
}

// A variant is a name for a list of passes: the plan of the list differs in nothing else.
// An alias gives the plan of the name that it means.
func TestVariantsAreNames(t *testing.T) {
	m := embedded(t)
	compiled := func(o Options) plan.Plan {
		c, err := Model(m, o)
		require.NoError(t, err)
		return *c.Plan
	}
	for _, name := range []string{"unfused", "per-layer-6", "default", "fewest", "no-attention"} {
		named := compiled(Options{Variant: name})
		require.Equal(t, name, named.Options.Variant)
		listed := compiled(Options{Passes: named.Options.Passes})
		require.NotEqual(t, named.Hash, listed.Hash)
		listed.Options.Variant, listed.Hash = name, named.Hash
		require.Equal(t, named, listed, name)
	}
	for alias, name := range map[string]string{"none": "unfused", "six": "per-layer-6", "floor": "fewest"} {
		require.Equal(t, compiled(Options{Variant: name}), compiled(Options{Variant: alias}))
	}
}

// Prefill may have a pipeline of its own: its entry is what that pipeline alone would
// make of it, decode's is as before, and the plan says which was which.
func TestPrefillPasses(t *testing.T) {
	m := embedded(t)
	compiled := func(o Options) *Compiled {
		c, err := Model(m, o)
		require.NoError(t, err)
		return c
	}
	digest := func(c *Compiled, name string) string {
		e, err := c.Plan.Entry(name)
		require.NoError(t, err)
		return c.Plan.Digest(e)
	}
	fewest, perLayer6 := compiled(Options{Variant: "fewest"}), compiled(Options{Variant: "per-layer-6"})
	require.Empty(t, fewest.Plan.Options.PrefillPasses)
	both := compiled(Options{Variant: "fewest", PrefillPasses: perLayer6.Options.Passes})
	require.Equal(t, "fewest", both.Plan.Options.Variant)
	require.Equal(t, fewest.Options.Passes, both.Plan.Options.PassesOf("decode"))
	require.Equal(t, perLayer6.Options.Passes, both.Plan.Options.PassesOf("prefill"))
	require.Equal(t, digest(fewest, "decode"), digest(both, "decode"))
	require.Equal(t, digest(perLayer6, "prefill"), digest(both, "prefill"))
	require.NotEqual(t, digest(fewest, "prefill"), digest(both, "prefill"))

	same := compiled(Options{Variant: "fewest", PrefillPasses: fewest.Options.Passes})
	require.Equal(t, fewest.Plan.Hash, same.Plan.Hash, "the same pipeline twice is one")

	// A forced attention backend is forced in both.
	both = compiled(Options{Variant: "fewest", PrefillPasses: perLayer6.Options.Passes, Attention: "chained"})
	require.NotContains(t, both.Plan.Options.PassesOf("prefill"), "fuse-attention")

	_, err := Model(m, Options{PrefillPasses: SearchPasses})
	require.ErrorContains(t, err, "no pipeline yet")
	_, err = Model(m, Options{PrefillPasses: "fuse-atention"})
	require.ErrorContains(t, err, "did you mean")
}
