package cuda

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir/dtype"
	"foundry/lower/plan"
	"foundry/runtime/devicetest"
)

// compilingDevice compiles for an H100, which needs NVRTC and no GPU.
func compilingDevice(t *testing.T) *Device {
	t.Helper()
	rtc, err := openNVRTC()
	devicetest.Need(t, err)
	return &Device{rtc: rtc, arch: "sm_90", opts: Options{CacheDir: t.TempDir()}}
}

// oneKind returns n kernels of prefill that share a unit: none has matrix units.
func oneKind(t *testing.T, n int) []plan.Kernel {
	t.Helper()
	return slices.DeleteFunc(prefillKernels(t, "0.5b", "unfused", dtype.F16), func(k plan.Kernel) bool { return k.Matrices > 0 })[:n]
}

func TestUnits(t *testing.T) {
	d := compilingDevice(t)
	kernels := oneKind(t, unitKernels+2)
	ctx := context.Background()
	var told int64
	cold, err := d.compile(ctx, kernels, make([]int, len(kernels)), func(_ string, done, _ int64) { told = max(told, done) })
	require.NoError(t, err)
	require.Equal(t, len(kernels), cold.fresh)
	require.EqualValues(t, len(kernels), told)
	require.Len(t, cold.code, 2, "two units")

	warm, err := d.compile(ctx, kernels, make([]int, len(kernels)), nil)
	require.NoError(t, err)
	require.Equal(t, &units{code: cold.code, of: cold.of}, warm)

	// What is cancelled stays undone, even where all is at hand.
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	_, err = d.compile(cancelled, kernels, make([]int, len(kernels)), nil)
	require.ErrorIs(t, err, context.Canceled)

	// One kernel of a unit is found by itself.
	one, err := d.compile(ctx, kernels[3:4], make([]int, 1), nil)
	require.NoError(t, err)
	require.Equal(t, &units{code: map[string][]byte{cold.of[3]: cold.code[cold.of[3]]}, of: cold.of[3:4]}, one)

	// A damaged unit is compiled again, a whole one is not.
	files, err := filepath.Glob(filepath.Join(d.opts.CacheDir, cold.of[0]+"*"))
	require.NoError(t, err)
	require.Len(t, files, 1)
	require.NoError(t, os.Truncate(files[0], 100))
	again, err := d.compile(ctx, kernels, make([]int, len(kernels)), nil)
	require.NoError(t, err)
	require.Equal(t, unitKernels+2-(unitKernels+2)/2, again.fresh)
	require.Equal(t, cold.code, again.code)
}

func TestUnitErrorNamesItsKernel(t *testing.T) {
	d := compilingDevice(t)
	kernels := oneKind(t, 3)
	last := strings.LastIndex(kernels[1].Source, "}")
	kernels[1].Source = kernels[1].Source[:last] + "missing;\n}\n"
	_, err := d.compile(context.Background(), kernels, make([]int, len(kernels)), nil)
	require.ErrorContains(t, err, "kernel "+kernels[1].Name+" does not compile: "+kernels[1].File+":")
	require.ErrorContains(t, err, `identifier "missing" is undefined`)
	left, err := os.ReadDir(d.opts.CacheDir)
	require.NoError(t, err)
	require.Empty(t, left, "nothing of a unit that failed is kept")
}

func TestSplit(t *testing.T) {
	for n, want := range map[int][]int{0: {}, 1: {1}, unitKernels: {8}, unitKernels + 1: {4, 5}, 25: {6, 6, 6, 7}} {
		lengths := []int{}
		for _, p := range split(make([]int, n)) {
			lengths = append(lengths, len(p))
		}
		require.Equal(t, want, lengths)
	}
}
