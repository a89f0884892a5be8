package bench

import (
	"context"
	"path/filepath"
	"testing"

	"foundry/frontends/checkpoint"
	"foundry/frontends/model"
	"foundry/lower/compile"
	"foundry/runtime/cpu"
	"foundry/runtime/engine"

	"foundry/runtime/devicetest"
	"github.com/stretchr/testify/require"
)

// Attention at one point: every backend has a row, auto says what it took and what
// share of the step it is, and the rows are ranked.
func TestContexts(t *testing.T) {
	dev, err := engine.OpenDevice(t.Context(), engine.CPU, cpu.Options{FewRuns: true})
	devicetest.Need(t, err)
	require.NoError(t, dev.Close())
	m, err := model.Open(filepath.Join("..", "..", "tests", "testdata", "rand-hd64"), checkpoint.Hub{})
	require.NoError(t, err)
	defer m.Close()
	rows, err := Contexts(context.Background(), m, ContextOptions{
		Bench:    Options{Device: engine.CPU, CPU: cpu.Options{OneRun: true}, Reps: 1, Tokens: 2},
		Contexts: []int{12}, Rows: []int{1, 4}, Backends: []string{"chained"},
	})
	require.NoError(t, err)
	require.Len(t, rows, 4)
	ranked := 0
	for _, r := range rows {
		require.Equal(t, 12, r.P)
		require.Equal(t, 16, r.Cache)
		require.Equal(t, "emulation", r.Times)
		require.Empty(t, r.Refused)
		require.NotNil(t, r.Measured)
		require.GreaterOrEqual(t, *r.OverBest, 0.0)
		if *r.OverBest == 0 {
			ranked++
		}
		if r.Backend == "chained" {
			require.Equal(t, "chained", r.Chosen)
			continue
		}
		require.NotEmpty(t, r.Chosen)
		require.Positive(t, *r.Attention)
		require.Less(t, *r.Attention, 1.0)
	}
	require.Equal(t, 2, ranked)

	// auto's plan for the largest cache is measured beside one for a smaller cache only.
	rows, err = Contexts(context.Background(), m, ContextOptions{
		Bench:    Options{Device: engine.CPU, CPU: cpu.Options{OneRun: true}, Reps: 1, Tokens: 2},
		Contexts: []int{8, 12}, Rows: []int{1}, Backends: []string{"auto"},
	})
	require.NoError(t, err)
	var full []bool
	for _, r := range rows {
		full = append(full, r.ForLargest)
	}
	require.Equal(t, []bool{false, true, false}, full)

	for what, o := range map[string]ContextOptions{
		"a context of 1048576 tokens is longer than the ": {Contexts: []int{1 << 20}, Rows: []int{1}},
		" does not fit the model's ":                      {Contexts: []int{12}, Rows: []int{1 << 20}},
	} {
		o.Bench, o.Backends = Options{Device: engine.CPU, CPU: cpu.Options{OneRun: true}, Reps: 1, Tokens: 1}, []string{"auto"}
		_, err = Contexts(context.Background(), m, o)
		require.ErrorContains(t, err, what)
	}
}

// What a step takes is said of the entry that runs it: behind few tokens of a large cache,
// of the one for short contexts.
func TestBackendOfTheEntryThatRuns(t *testing.T) {
	m, err := model.Open("synth:qwen2.5-0.5b", checkpoint.Hub{})
	require.NoError(t, err)
	defer m.Close()
	c, err := compile.Model(m, compile.Options{Target: "h200", Context: 32768, Short: []int{512}})
	require.NoError(t, err)
	for _, x := range []struct {
		tokens, past   int
		entry, backend string
	}{{1, 143, "decode_512", "flash"}, {1, 511, "decode_512", "flash"}, {1, 512, "decode", "split"}, {4, 143, "prefill", "flash"}} {
		require.Equal(t, x.entry, entryAt(c.Plan, x.tokens, x.past))
		backend, err := backendOf(c.Graphs, x.entry)
		require.NoError(t, err)
		require.Equal(t, x.backend, backend, x.entry)
	}
}
