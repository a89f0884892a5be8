package eval

import (
	"context"
	"fmt"
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
// the plan is called something else then. Rows of caches that the graph does not write are
// the same ones wherever it runs.
func TestGraphResultNamedLikeAWeight(t *testing.T) {
	file := filepath.Join(t.TempDir(), "named.fir")
	require.NoError(t, os.WriteFile(file, []byte(`graph @named (T=1..4, P=0..3, S<=4) {
  %0 = input "x" : f32[T, 8]
  %1 = weight "y" : f32[6, 8]
  %2 = input "z" : f32[T, 6]
  %rows = input "rows" : f32[2, T, 8]
  %a = state "a" : f16[2, 4, 8]
  %b = state "b" : f16[2, 4, 8]
  %3 = matmul_nt %0, %1 : f32[T, 6]
  %4 = add %3, %2 : f32[T, 6]
  %5 = kv_write %a, %rows {start=P}
  %6 = kv_write %b, %rows {start=P}
  return y=%4, a=%5, b=%6
}
`), 0o666))
	m, err := model.Open(file, checkpoint.Hub{})
	require.NoError(t, err)
	defer m.Close()
	run := func(device string) []GraphResult {
		r, err := RunGraph(context.Background(), m, GraphOptions{Device: device, P: 2})
		require.NoError(t, err)
		require.Len(t, r.Results, 3)
		require.Equal(t, []int{2, 6}, r.Results[0].Shape)
		return r.Results
	}
	if dev, err := engine.OpenDevice(t.Context(), engine.CPU, cpu.Options{FewRuns: true}); err != nil {
		devicetest.Need(t, err)
	} else {
		require.NoError(t, dev.Close())
	}
	want, have := run(engine.Ref), run(engine.CPU)
	for i, w := range want {
		h := have[i]
		require.Equal(t, w.Name, h.Name)
		require.Equal(t, w.Shape, h.Shape)
		for _, of := range [][2]float64{{w.RMS, h.RMS}, {w.Mean, h.Mean}, {w.Min, h.Min}, {w.Max, h.Max}} {
			require.InDelta(t, of[0], of[1], 1e-5*w.RMS, w.Name)
		}
	}
	require.NotEqual(t, want[1].Mean, want[2].Mean, "each cache has rows of its own")
}

// What auto took is told to whoever wants to know.
func TestGraphOnAnyDevice(t *testing.T) {
	file := filepath.Join(t.TempDir(), "any.fir")
	require.NoError(t, os.WriteFile(file, []byte("graph @any (T=1..4, P=0..3, S<=4) {\n  %0 = input \"x\" : f32[T, 8]\n  %1 = silu %0\n  return y=%1\n}\n"), 0o666))
	m, err := model.Open(file, checkpoint.Hub{})
	require.NoError(t, err)
	defer m.Close()
	o := GraphOptions{Device: engine.Auto, CPU: cpu.Options{CXX: filepath.Join(t.TempDir(), "no-compiler")}}
	quiet, err := RunGraph(t.Context(), m, o)
	require.NoError(t, err)
	said := ""
	o.Say = func(line string) { said += line }
	told, err := RunGraph(t.Context(), m, o)
	require.NoError(t, err)
	require.Contains(t, said, "device auto: took "+told.Device)
	require.Equal(t, quiet.Device, told.Device)
	require.Equal(t, int64(4), told.T)
	for _, outside := range []GraphOptions{{Device: engine.Ref, T: 5}, {Device: engine.Ref, T: 1, P: 4}} {
		_, err := RunGraph(t.Context(), m, outside)
		require.EqualError(t, err, fmt.Sprintf("%s: T=%d P=%d lies outside the graph's bounds T=1..4 P=0..3 S<=4", m.Name, outside.T, outside.P))
	}
}
