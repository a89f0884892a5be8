package compile

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/frontends/checkpoint"
	"foundry/frontends/model"
	"foundry/ir/dtype"
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
	require.Equal(t, 5, count(Options{Attention: "flash", Variant: "none"}, "attention"), "flash where the pipeline has no attention")
}

// A matrix whose rows the block does not divide stays f16, and one line says so.
func TestWeightsThatDoNotFitStayF16(t *testing.T) {
	m, err := model.Open("../../tests/testdata/rand-hd64", checkpoint.Hub{})
	require.NoError(t, err)
	defer m.Close()
	g, err := Fuse(m, Options{Weights: dtype.Q8_0, Variant: "none"})
	require.NoError(t, err)
	require.Empty(t, g.Notes, "128 and 352 are multiples of 32")
	m.Config.Intermediate = 350
	g, err = Fuse(m, Options{Weights: dtype.Q8_0, Variant: "none"})
	require.NoError(t, err)
	require.Equal(t, []string{"2 of 16 matrices stay f16: q8_0's blocks of 32 do not divide their rows"}, g.Notes)
}

// Prefill may have a pipeline of its own: its entry is what that pipeline alone would
// make of it, decode's is as before, and the plan says which was which.
func TestPrefillPasses(t *testing.T) {
	m := embedded(t)
	plan := func(o Options) *Compiled {
		c, err := Model(m, o)
		require.NoError(t, err)
		return c
	}
	digest := func(c *Compiled, name string) string {
		e, err := c.Plan.Entry(name)
		require.NoError(t, err)
		return c.Plan.Digest(e)
	}
	floor, six := plan(Options{Variant: "floor"}), plan(Options{Variant: "six"})
	require.Empty(t, floor.Plan.Options.PrefillPasses)
	both := plan(Options{Variant: "floor", PrefillPasses: six.Options.Passes})
	require.Equal(t, "floor", both.Plan.Options.Variant)
	require.Equal(t, floor.Options.Passes, both.Plan.Options.PassesOf("decode"))
	require.Equal(t, six.Options.Passes, both.Plan.Options.PassesOf("prefill"))
	require.Equal(t, digest(floor, "decode"), digest(both, "decode"))
	require.Equal(t, digest(six, "prefill"), digest(both, "prefill"))
	require.NotEqual(t, digest(floor, "prefill"), digest(both, "prefill"))

	same := plan(Options{Variant: "floor", PrefillPasses: floor.Options.Passes})
	require.Equal(t, floor.Plan.Hash, same.Plan.Hash, "the same pipeline twice is one")

	// A forced attention backend is forced in both.
	both = plan(Options{Variant: "floor", PrefillPasses: six.Options.Passes, Attention: "chained"})
	require.NotContains(t, both.Plan.Options.PassesOf("prefill"), "fuse-attention")

	_, err := Model(m, Options{PrefillPasses: SearchPasses})
	require.ErrorContains(t, err, "no pipeline yet")
	_, err = Model(m, Options{PrefillPasses: "fuse-atention"})
	require.ErrorContains(t, err, "did you mean")
}
