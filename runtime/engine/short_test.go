package engine

import (
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/lower/compile"
	"foundry/lower/plan"
	"foundry/runtime"
	"foundry/runtime/cpu"
	"foundry/runtime/devicetest"
)

// Behind few tokens an entry runs whose attention is one pass, behind more one in parts: the
// ids are those of a plan that has the parts alone, before the switch and behind it, after
// going back across it, and when they are drawn.
func TestShortContextsGiveTheSameIDs(t *testing.T) {
	m := embedded(t)
	run := func(short []int) (ids []int32) {
		c, err := compile.Model(m, compile.Options{Target: "h100", Context: 1024, Sampler: true, Short: short})
		require.NoError(t, err)
		attention := map[string]bool{}
		for _, e := range c.Plan.Entries {
			for _, s := range e.Steps {
				if e.Role == plan.Decode && s.Dispatch != nil && s.Dispatch.Layer == 0 {
					attention[c.Plan.Kernels[s.Dispatch.Kernel].Name] = true
				}
			}
		}
		require.True(t, attention["attention_parts_3x64"])
		require.Equal(t, len(short) > 0, attention["attention_3x64"])
		dev, err := OpenDevice(t.Context(), CPU, cpu.Options{FewRuns: true})
		devicetest.Need(t, err)
		e, err := Load(t.Context(), dev, m, c.Plan, c.Graphs, nil)
		require.NoError(t, err)
		defer e.Close()
		s, err := e.NewSession()
		require.NoError(t, err)
		defer s.Close()
		require.NoError(t, s.IDs.Prefill(t.Context(), []int32{10, 20, 30, 40}))
		take := func(n int, how runtime.Sampling) {
			for id, err := range s.IDs.Generate(t.Context(), n, how) {
				require.NoError(t, err)
				ids = append(ids, id)
			}
		}
		take(30, runtime.Sampling{})
		require.NoError(t, s.IDs.Rewind(16))
		take(20, runtime.Sampling{Temperature: 0.9, Seed: 7})
		return ids
	}
	require.Equal(t, run([]int{}), run([]int{24}))
}
