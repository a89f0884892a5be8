package viz_test

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/frontends/checkpoint"
	models "foundry/frontends/model"
	"foundry/ir/names"
	"foundry/lower/compile"
	"foundry/lower/plan"
	"foundry/passes"
	"foundry/viz"
)

var markedCluster = regexp.MustCompile(`subgraph "cluster ([^"]*?)(?: #\d+)?" \{\n[^\n]*color="#c05a00"`)

// Two plans stand side by side; marked are the dispatches that plan.Diff finds in one of
// them only, and none where a plan is beside itself.
func TestDiffMarksWhatDiffers(t *testing.T) {
	m, err := models.Open("synth:qwen2.5-0.5b", checkpoint.Hub{})
	require.NoError(t, err)
	p, err := passes.Variant("per-layer-6")
	require.NoError(t, err)
	side := func(name, pipeline string) viz.Side {
		c, err := compile.Model(m, compile.Options{Passes: pipeline})
		require.NoError(t, err)
		g, err := c.Entry("decode")
		require.NoError(t, err)
		return viz.Side{Name: name, Plan: c.Plan, Graph: g}
	}
	whole := side("whole", p.String())
	less := side("less", strings.Replace(p.String(), "fuse-gate-up-swiglu,", "", 1))
	for _, b := range []viz.Side{whole, less} {
		d, err := plan.Diff(whole.Name, whole.Plan, b.Name, b.Plan)
		require.NoError(t, err)
		var want []string
		for _, list := range [][]plan.DiffDispatch{d.OnlyA.Dispatches, d.OnlyB.Dispatches} {
			for _, x := range list {
				if x.Entry == "decode" {
					want = append(want, names.InLayer(x.Label))
				}
			}
		}
		text, err := viz.Diff(whole, b, "decode")
		require.NoError(t, err)
		var have []string
		for _, found := range markedCluster.FindAllStringSubmatch(text, -1) {
			have = append(have, names.InLayer(found[1]))
		}
		slices.Sort(want)
		slices.Sort(have)
		require.Equal(t, want, have)
		require.Equal(t, b.Name == "less", len(want) > 0)
		if b.Name == "less" {
			var page bytes.Buffer
			require.NoError(t, viz.WriteDiff(t.Context(), &page, whole, b, "decode", d))
			require.Contains(t, page.String(), "<svg")
			for _, label := range want {
				require.Contains(t, page.String(), ">"+label+"<")
			}
			require.NotContains(t, page.String(), "<script")
		}
	}
	whole.Graph = nil // as of a plan from disk
	_, err = viz.Diff(whole, less, "prefil")
	require.ErrorContains(t, err, "prefill")
}
