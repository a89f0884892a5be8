package mtl

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/lower/plan"
)

// TestGPUsThatCannotServe are refused where they are opened, so that `foundry devices`
// says so and auto takes another.
func TestGPUsThatCannotServe(t *testing.T) {
	for _, c := range []struct {
		limit   string
		value   int64
		options Options
		want    string
	}{
		{"family", 1005, Options{}, "metal: Apple M3 Pro is of family Apple5; kernels need Apple7 (M1) or later, for its simdgroup matrices: take --device cpu"},
		{"family", 1006, Options{}, "metal: Apple M3 Pro is of family Apple6; kernels need Apple7"},
		{"family", 1001, Options{}, "metal: Apple M3 Pro is of family Apple1; kernels need Apple7"},
		{"family", 0, Options{}, "metal: Apple M3 Pro is of no family of Apple's; kernels need"},
		{"family", 1009, Options{Ordinal: 1}, "metal: there is no GPU 1 that supports Metal"},
		{"macos", 13, Options{Indirect: true}, "metal: replay from indirect command buffers needs macOS 14, this is Version 13.0 (emulated); run without --indirect"},
	} {
		e := emulate(t)
		undo := e.Limit(c.limit, c.value)
		_, err := openOn(e, c.options)
		require.ErrorContains(t, err, c.want)
		require.NotContains(t, err.Error(), "\n")
		undo()
		require.Empty(t, e.Noted())
		require.Zero(t, e.Live())
	}
}

// TestDefaultGPU: where the system names no default, the first of all GPUs serves.
func TestDefaultGPU(t *testing.T) {
	for _, named := range []int64{1, 0} {
		e := emulate(t)
		undo := e.Limit("default-device", named)
		d, err := openOn(e, Options{})
		require.NoError(t, err)
		require.Equal(t, "Apple M3 Pro", d.Info().Name)
		require.NoError(t, d.Close())
		undo()
		require.Empty(t, e.Noted())
		require.Zero(t, e.Live())
	}
	_, err := Open(Options{Libraries: Libraries{ObjC: emulate(t).Path, Foundation: emulate(t).Path, CoreGraphics: "no/CoreGraphics", Metal: emulate(t).Path}})
	require.ErrorContains(t, err, "no/CoreGraphics does not load", "it is needed for a default GPU")
	require.Contains(t, SystemLibraries().CoreGraphics, "/CoreGraphics.framework/")
}

// TestInfo: the GPU's name leads to the target whose costs fit; of an unknown one
// the note says what plans are for.
func TestInfo(t *testing.T) {
	const known = "family Apple9, 12.9 GB of memory for it, buffers up to 9.66 GB, threadgroup memory 32768 bytes"
	for generation, want := range map[int64][2]string{
		3: {"apple-m3-pro", known},
		4: {"apple-m4-pro", known},
		9: {"", known + "; nothing is known of its costs: plans are for apple-m3-pro"},
	} {
		e := emulate(t)
		undo := e.Limit("generation", generation)
		d, err := openOn(e, Options{})
		require.NoError(t, err)
		require.Equal(t, want, [2]string{d.Info().Target, d.Info().Note})
		require.NoError(t, d.Close())
		undo()
	}
}

// TestLimitsOfTheDevice has the GPU say less of itself than the plan needs: each
// limit is one error that names what is too large.
func TestLimitsOfTheDevice(t *testing.T) {
	for _, c := range []struct {
		limit string
		value int64
		want  string
	}{
		{"threadgroup-memory", 64, "kernel copy wants 128 bytes of threadgroup memory, Apple M3 Pro has 64; the plan was compiled for apple-m3-pro"},
		{"buffer", 1 << 20, "buffer cache: metal: a buffer of 2.1 MB is wanted, the longest of Apple M3 Pro is 1.05 MB"},
		{"pipeline-threads", 16, "kernel copy runs 32 threads a threadgroup, its pipeline allows 16"},
		{"lanes", 64, "kernel copy has simdgroups of 64 lanes on this GPU; the plan needs 32"},
	} {
		t.Run(c.limit, func(t *testing.T) {
			e := emulate(t)
			defer e.Limit(c.limit, c.value)()
			d, err := openOn(e, Options{})
			require.NoError(t, err)
			p := copyPlan()
			p.Options.Target = "apple-m3-pro"
			p.Buffers = []plan.Buffer{{Name: "cache", Class: plan.State, Bytes: 2 << 20}}
			e.Prepare(context.Background(), p)
			_, err = d.Load(context.Background(), p, nil)
			require.ErrorContains(t, err, c.want)
			require.NoError(t, d.Close())
			require.Empty(t, e.Noted())
			require.Zero(t, e.Live(), "what was made before the error")
		})
	}
}
