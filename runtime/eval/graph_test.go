package eval

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/frontends/checkpoint"
	"foundry/frontends/model"
	"foundry/runtime/cpu"
	"foundry/runtime/devicetest"
	"foundry/runtime/engine"
)

// A result may have a param's name: what is read is the result, though its buffer in
// the plan is called something else then.
func TestGraphResultNamedLikeAWeight(t *testing.T) {
	file := filepath.Join(t.TempDir(), "named.fir")
	require.NoError(t, os.WriteFile(file, []byte(`graph @named (T=1..4, P=0..3, S<=4) {
  %0 = input "x" : f32[T, 8]
  %1 = weight "y" : f32[6, 8]
  %2 = input "z" : f32[T, 6]
  %3 = matmul_nt %0, %1 : f32[T, 6]
  %4 = add %3, %2 : f32[T, 6]
  return y=%4
}
`), 0o666))
	m, err := model.Open(file, checkpoint.Hub{})
	require.NoError(t, err)
	defer m.Close()
	run := func(device string) GraphResult {
		r, err := RunGraph(context.Background(), m, GraphOptions{Device: device})
		require.NoError(t, err)
		require.Len(t, r.Results, 1)
		return r.Results[0]
	}
	if dev, err := engine.OpenDevice(t.Context(), engine.CPU, cpu.Options{FewRuns: true}); err != nil {
		devicetest.Need(t, err)
	} else {
		require.NoError(t, dev.Close())
	}
	want, have := run(engine.Ref), run(engine.CPU)
	require.Equal(t, want.Shape, have.Shape)
	require.InDelta(t, want.RMS, have.RMS, 1e-5*want.RMS)
	require.InDelta(t, want.Mean, have.Mean, 1e-5*want.RMS)
}
