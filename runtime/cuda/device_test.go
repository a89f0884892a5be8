package cuda

import (
	"testing"

	"github.com/stretchr/testify/require"

	fruntime "foundry/runtime"
	"foundry/runtime/child"
	"foundry/runtime/devicetest"
)

// TestConformance runs the device suite on a GPU, with and without dependent
// launches.
func TestConformance(t *testing.T) {
	for _, dependent := range []bool{false, true} {
		o := Options{Dependent: dependent, CacheDir: t.TempDir(), TrustKernels: true}
		dev, err := Open(o)
		devicetest.Need(t, err)
		require.NoError(t, dev.Close())
		name := "in order"
		if dependent {
			name = "dependent"
		}
		t.Run(name, func(t *testing.T) {
			devicetest.Run(t, func() (fruntime.Device, error) { return Open(o) })
		})
	}
}

// A GPU is one of those that the driver has; whatever call fails is named, and what was made
// before is given back.
func TestOpeningADevice(t *testing.T) {
	d, m := emulatedDevice(t, Options{})
	require.Equal(t, fruntime.Info{Kind: "cuda", Name: "NVIDIA H200", MemoryBytes: 141 << 30, Note: "sm_90, 132 multiprocessors, driver API 12.8, NVRTC 12.8", Target: "h200"}, d.Info())
	require.Equal(t, "sm_90", d.arch)
	require.Equal(t, 132, d.cores)
	require.Equal(t, 227<<10, d.sharedMax)
	require.Len(t, d.Startup(), 1)
	require.Equal(t, "make the context", d.Startup()[0].Name)
	for ordinal, want := range map[int]string{-1: "cuda: GPU -1 asked for, the driver has 2", 2: "cuda: GPU 2 asked for, the driver has 2"} {
		err := emulatedFound(Options{Ordinal: ordinal}).pick()
		require.EqualError(t, err, want)
		require.ErrorIs(t, err, child.ErrAbsent)
	}
	last := emulatedFound(Options{Ordinal: 1})
	require.NoError(t, last.pick())
	require.Equal(t, int32(4), last.ordinal)
	for _, name := range []string{"cuDeviceGetCount", "cuDeviceGet", "cuDeviceGetName", "cuDeviceTotalMem_v2", "cuDeviceGetAttribute", "cuDriverGetVersion"} {
		m.failAt = map[string]int{name: m.calls[name] + 1}
		err := emulatedFound(Options{}).pick()
		require.ErrorContains(t, err, "cuda: "+name, name)
		require.ErrorContains(t, err, "error 999")
	}
	require.NoError(t, d.Close())
	for _, name := range []string{"cuDevicePrimaryCtxRetain", "cuCtxSetCurrent", "cuStreamCreate"} {
		d := emulatedFound(Options{})
		require.NoError(t, d.pick())
		released := m.calls["cuDevicePrimaryCtxRelease_v2"]
		m.failAt = map[string]int{name: m.calls[name] + 1}
		require.ErrorContains(t, d.start(), name)
		if name != "cuDevicePrimaryCtxRetain" {
			require.Equal(t, released+1, m.calls["cuDevicePrimaryCtxRelease_v2"], name)
		}
	}
	require.Empty(t, m.kinds())
}
