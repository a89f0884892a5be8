package eval

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/frontends/checkpoint"
	"foundry/frontends/model"
	"foundry/lower/compile"
	"foundry/runtime/cpu"
	"foundry/runtime/devicetest"
	"foundry/runtime/engine"
)

// Every phase that comes before a run is named once, and its time is there.
func TestStartupPhases(t *testing.T) {
	m, err := model.Open("", checkpoint.Hub{})
	require.NoError(t, err)
	defer m.Close()
	e, err := engine.Start(context.Background(), m, engine.Options{Device: engine.CPU, Compile: compile.Options{Context: 64}, CPU: cpu.Options{CacheDir: t.TempDir(), FewRuns: true}})
	devicetest.Need(t, err)
	defer e.Close()
	_, err = Prompt(context.Background(), e, Options{IDs: []int32{1, 2}, Greedy: 2, Top: 1})
	require.NoError(t, err)
	var names []string
	for _, p := range e.Startup() {
		names = append(names, p.Name)
		require.Positive(t, p.Seconds, p.Name)
		if p.Name == "compile kernels (C++)" {
			require.Equal(t, len(e.Plan.Kernels), p.Fresh)
		}
	}
	require.Equal(t, []string{"compile the model", "build or load the executor", "compile kernels (C++)", "load kernels",
		"weights: read and convert", "weights: upload", "prepare", "record decode"}, names)
}
