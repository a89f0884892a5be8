package bench

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/frontends/checkpoint"
	"foundry/frontends/model"
	"foundry/lower/compile"
	"foundry/lower/plan"
	"foundry/passes"
)

// planned is a variant's row of its own.
func planned(t *testing.T, m *model.Model, pipeline string, c compile.Options) Row {
	t.Helper()
	rows, err := Run(t.Context(), m, Options{Device: "cpu", Phase: "decode", Prompt: 128, Variants: []Variant{{Name: "own", Passes: pipeline}}, Compile: c})
	require.NoError(t, err)
	return rows[0]
}

// What a list says that a fusion saves is the difference of two plans that were compiled
// each for itself; of a fusion that costs stands what the cost model says of its sites.
func TestSavingsAreDifferencesOfPlans(t *testing.T) {
	m, err := model.Open("", checkpoint.Hub{})
	require.NoError(t, err)
	variants, err := ParseVariants("ladder,leave-one-out")
	require.NoError(t, err)
	onCPU := compile.Options{Target: "cpu"} // where fusions cost
	rows, err := Run(t.Context(), m, Options{Device: "cpu", Phase: "decode", Prompt: 128, Variants: variants, Compile: onCPU})
	require.NoError(t, err)
	saves, costs := 0, 0
	for _, r := range rows {
		s := r.Saves
		if s == nil {
			continue
		}
		saves++
		pair := map[string]Row{}
		for _, name := range []string{s.With, s.Without} {
			p, err := passes.Variant(name)
			require.NoError(t, err)
			pair[name] = planned(t, m, p.String(), onCPU)
		}
		with, without := pair[s.With], pair[s.Without]
		require.Equal(t, without.Dispatches-with.Dispatches, s.Dispatches)
		require.Equal(t, without.MovedBytes-with.MovedBytes, s.MovedBytes)
		for target, us := range s.Modelled {
			require.InDelta(t, without.Modelled[target]-with.Modelled[target], us, 1e-9)
		}
		if s.Why != "" {
			costs++
			require.Regexp(t, `^cpu: predicted [0-9.]+ us`, s.Why)
		}
	}
	require.Equal(t, len(passes.Ladder())-1+len(passes.LeaveOneOut()), saves, "each name stands once")
	require.Positive(t, costs)
}

func TestFusionsAreDifferencesOfPlans(t *testing.T) {
	m, err := model.Open("", checkpoint.Hub{})
	require.NoError(t, err)
	f, err := OfFusions(t.Context(), m, Options{Device: "cpu", Phase: "decode", Prompt: 128})
	require.NoError(t, err)
	p, err := passes.Parse(f.Whole.Passes)
	require.NoError(t, err)
	target, last := f.Whole.Target, 0.0
	saved := 0
	for i, r := range f.Each {
		sites := 0
		for _, g := range r.Reasons {
			sites += g.Count
		}
		for _, n := range r.Sites {
			sites -= n
		}
		require.Zero(t, sites, "every site has a reason")
		require.Equal(t, r.Sites[plan.Matched] > 0, r.Saves != nil)
		require.Equal(t, r.Sites[plan.NoSite] == 0, r.SavesAlone != nil)
		if r.Saves == nil {
			continue
		}
		saved++
		own := planned(t, m, pipelineWithout(p, func(c passes.Call) bool { return c.String() == r.Pass }).String(), compile.Options{})
		require.InDelta(t, own.Modelled[target]-f.Whole.Modelled[target], r.Saves.Modelled[target], 1e-9)
		require.Equal(t, own.Dispatches-f.Whole.Dispatches, r.Saves.Dispatches)
		require.True(t, i == 0 || r.Saves.Modelled[target] <= last, "what saves most stands first")
		last = r.Saves.Modelled[target]
	}
	require.Greater(t, saved, 5)
}

// Of 300 pairs of samples from one distribution about one in twenty is called sure, in
// turn or not; of samples that differ by far more than they scatter every one.
func TestDifferenceCoversZero(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	sample := func(n int, at float64) []float64 {
		out := make([]float64, n)
		for i := range out {
			out[i] = at * (1 + 0.05*r.NormFloat64())
		}
		return out
	}
	for _, n := range [][2]int{{12, 12}, {20, 15}} {
		sure := 0
		for range 300 {
			if difference(sample(n[0], 100), sample(n[1], 100)).Sure() {
				sure++
			}
		}
		require.Less(t, sure, 300*8/100)
		i := difference(sample(n[0], 150), sample(n[1], 100))
		require.True(t, i.Sure())
		require.True(t, i.Low < 50 && 50 < i.High, "%v", i)
	}
}
