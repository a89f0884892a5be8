package passes

import (
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/frontends/decoder"
	"foundry/frontends/qwen25"
	"foundry/frontends/qwen3"
	"foundry/ir"
	"foundry/ir/cost"
	"foundry/ir/dtype"
	"foundry/ir/target"
)

// graphsOfThreeLayers are prefill and decode of a small model of each family.
func graphsOfThreeLayers(t *testing.T) (out []*ir.Graph) {
	t.Helper()
	for size, family := range map[string]*decoder.Family{"0.5b": &qwen25.Family, "0.6b": &qwen3.Family} {
		c, err := family.Preset(size)
		require.NoError(t, err)
		c.Layers = 3
		prefill, err := decoder.Build(c, decoder.BuildOptions{Context: 4096, Chunk: 512, Weights: dtype.F16, Cache: dtype.F16})
		require.NoError(t, err)
		decode, err := prefill.Specialise(1)
		require.NoError(t, err)
		out = append(out, prefill, decode)
	}
	return out
}

// matchesOf returns what each pattern would take of g wherever it matches, in its largest form.
func matchesOf(t *testing.T, g *ir.Graph) (out []*site) {
	t.Helper()
	r, err := newRun(g, &Context{})
	require.NoError(t, err)
	for _, pass := range builtIn().passes {
		if pass.fusion == nil {
			continue
		}
		r.call = Call{Pass: pass}
		for _, anchor := range pass.fusion.anchors(r.view()) {
			for _, f := range pass.fusion.forms {
				if s, _, _ := r.locate(pass.fusion, f, anchor, true); s != nil {
					out = append(out, s)
					break
				}
			}
		}
	}
	return out
}

// In models every rival's anchor stands within reach of a site, and what tells sites apart,
// twice that far, holds all operations of whatever is weighed against them.
func TestReachHoldsRivals(t *testing.T) {
	anchor, members := 0, 0 // the farthest of rivals', and of what stands within reach
	for _, g := range graphsOfThreeLayers(t) {
		for _, edits := range []string{"", ",drop-repeat-kv", ",drop-repeat-kv,split-norm"} {
			p, err := Parse(prepare + edits)
			require.NoError(t, err)
			g := g.Clone()
			require.NoError(t, p.Run(g, &Context{}))
			all := matchesOf(t, g)
			for _, s := range all {
				lo, hi := s.extent()
				for _, m := range all {
					away := max(lo-m.anchor.index, m.anchor.index-hi)
					if m.shares(s) {
						anchor = max(anchor, away)
					}
					if away <= reach {
						first, last := m.extent()
						members = max(members, lo-first, last-hi)
					}
				}
			}
		}
	}
	require.LessOrEqual(t, anchor, reach)
	require.LessOrEqual(t, members, 2*reach)
	require.Greater(t, anchor, reach/2, "reach is no farther than it must be")
}

// What a longer reach would see besides, rivals of rivals up to 18 operations away, changes
// no choice of default.
func TestLongerReachChoosesAlike(t *testing.T) {
	p, err := Variant("default")
	require.NoError(t, err)
	for _, name := range []string{"apple-m1", target.Default, "apple-m4-max", "apple-m5", "h100", "cpu"} {
		tgt, err := target.Find(name)
		require.NoError(t, err)
		choices := cost.NewChoices(tgt, nil)
		for _, g := range graphsOfThreeLayers(t) {
			behind := func(reach int) string {
				r, err := newRun(g.Clone(), &Context{Target: tgt, Choices: choices, Lowerable: choices.Lowerable})
				require.NoError(t, err)
				r.reach = reach
				require.NoError(t, r.runAll(p))
				return r.graph.Canonical()
			}
			require.Equal(t, behind(reach), behind(100), "%s, %s", name, g.Name)
		}
	}
}
