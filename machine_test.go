package foundry

import (
	"context"
	"testing"

	"foundry/ir/dtype"
	"foundry/runtime/cpu"

	"github.com/stretchr/testify/require"
)

// What a benchmark on a GPU measures of the machine, small, on the cpu.
func TestMeasureMachine(t *testing.T) {
	dev, err := OpenDevice(CPU, cpu.Options{})
	if err != nil {
		t.Skip(err)
	}
	defer dev.Close()
	m, err := measureMachine(context.Background(), dev, "h100", machineSize{1 << 20, 64, 128, 128})
	require.NoError(t, err)
	require.Positive(t, m.ReadGBs)
	require.Positive(t, m.MatmulTFlops)
	require.Contains(t, m.MatmulKernel, "128x128")
}

// Noise is finite in every dtype that it is written as.
func TestNoiseIsFinite(t *testing.T) {
	for _, d := range []dtype.Type{dtype.F32, dtype.F16, dtype.BF16} {
		values := make([]float32, 1<<16)
		dtype.Dequantise(d, noise(d.Bytes(1<<16)), values)
		negative := 0
		for _, v := range values {
			require.Less(t, v*v, float32(1))
			if v < 0 {
				negative++
			}
		}
		require.InDelta(t, 1<<15, negative, 1<<12)
	}
}

// Every phase that comes before a run is named once, and its time is there.
func TestStartupPhases(t *testing.T) {
	m := embedded(t)
	e, err := Start(context.Background(), m, StartOptions{Compile: CompileOptions{Device: CPU, Context: 64}, CPU: cpu.Options{CacheDir: t.TempDir()}})
	if err != nil {
		t.Skip(err)
	}
	defer e.Close()
	_, err = e.Evaluate(context.Background(), EvalOptions{IDs: []int32{1, 2}, Greedy: 2, Top: 1})
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
		"weights: read and convert", "weights: upload", "record decode"}, names)
}
