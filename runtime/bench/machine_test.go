package bench

import (
	"context"
	"hash/crc32"
	"testing"

	"foundry/ir/dtype"
	"foundry/runtime/cpu"
	"foundry/runtime/engine"

	"foundry/runtime/devicetest"
	"github.com/stretchr/testify/require"
)

// What a benchmark on a GPU measures of the machine, small, on the cpu.
func TestMeasureMachine(t *testing.T) {
	dev, err := engine.OpenDevice(t.Context(), engine.CPU, cpu.Options{FewRuns: true})
	devicetest.Need(t, err)
	defer dev.Close()
	m, err := measureMachine(context.Background(), dev, "h100", machineSize{1 << 20, 64, 128, 128})
	require.NoError(t, err)
	require.Positive(t, m.ReadGBs)
	require.Positive(t, m.MatmulTFlops)
	require.Contains(t, m.MatmulKernel, "128x128")
	require.Equal(t, [3]int{64, 128, 128}, m.MatmulShape)
	require.Equal(t, int64(1<<20), m.ReadBytes)
	small := dev.Info()
	small.MemoryBytes = 4 << 20
	m, err = measureMachine(context.Background(), informed{dev, small}, "h100", machineSize{1 << 20, 64, 128, 128})
	require.NoError(t, err)
	require.Equal(t, int64(1<<19), m.ReadBytes, "an eighth of the memory at most")
}

// Noise is finite in every dtype that it is written as, and the same in every benchmark.
func TestNoiseIsFinite(t *testing.T) {
	require.Equal(t, uint32(0xf12fa118), crc32.ChecksumIEEE(noiseBytes(1000)))
	for _, d := range []dtype.Type{dtype.F32, dtype.F16, dtype.BF16} {
		values := make([]float32, 1<<16)
		dtype.Dequantise(d, noiseBytes(d.Bytes(1<<16)), values)
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
