package bench

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/frontends/checkpoint"
	"foundry/frontends/model"
	"foundry/lower/compile"
	"foundry/lower/plan"
	"foundry/runtime"
	"foundry/runtime/devicetest"
	"foundry/runtime/engine"
	"foundry/runtime/mtl"
	"foundry/runtime/mtl/emulator"
)

// TestBenchOnEmulatedMetal measures a variant encoded and replayed, each kernel by
// the GPU's clock, and captures a run; the machine is the emulated framework.
func TestBenchOnEmulatedMetal(t *testing.T) {
	f, err := emulator.Build("../mtl/testdata/build")
	devicetest.Need(t, err)
	m, err := model.Open("", checkpoint.Hub{})
	require.NoError(t, err)
	defer m.Close()
	o := Options{
		Device: engine.Metal, Compile: compile.Options{Context: 32, Chunk: 1, Target: "apple-m3-pro"},
		Phase: "decode", Prompt: 3, Tokens: 2, Reps: 1, PerKernel: true, Say: func(string) {},
	}
	o.Variants, err = ParseVariants("fewest")
	require.NoError(t, err)
	list, err := o.compileAll(t.Context(), m)
	require.NoError(t, err)
	open := func(indirect bool) runtime.Device {
		dev, err := mtl.Open(mtl.Options{Libraries: mtl.Libraries{ObjC: f.Path, Foundation: f.Path, CoreGraphics: f.Path, Metal: f.Path}, Indirect: indirect})
		require.NoError(t, err)
		return f.Wrap(dev)
	}
	where := &sharedDevice{dev: open(false), weights: runtime.NewWeights()}
	indirect := where.onAnother(open(true))
	measure := func(s ...compiledVariant) ([]Row, error) {
		rows := make([]Row, len(s))
		for i := range s {
			var err error
			rows[i], err = o.row(m, s[i])
			require.NoError(t, err)
		}
		return rows, o.measureOn(context.Background(), m, s, rows, where, indirect)
	}
	rows, err := measure(withReplays(list)...)
	require.NoError(t, err)
	require.Equal(t, []string{"fewest", "fewest indirect"}, []string{rows[0].Variant, rows[1].Variant})
	for _, r := range rows {
		require.NotNil(t, r.Measured)
		require.NotEmpty(t, r.Kernels)
		for _, k := range r.Kernels {
			require.Positive(t, k.Us, k.Kernel)
		}
	}

	uploaded := func(r Row) int64 {
		for _, p := range r.Startup {
			if p.Name == "weights: upload" {
				return p.Bytes
			}
		}
		return -1
	}
	require.Greater(t, uploaded(rows[0]), list[0].plan.ClassBytes(plan.Weight)-1)
	require.Equal(t, list[0].plan.ClassBytes(plan.Constant), uploaded(rows[1]), "the replayed row has the other's weights")

	o.PerKernel, o.Capture = false, filepath.Join(t.TempDir(), "step.gputrace")
	_, err = measure(list...)
	require.ErrorContains(t, err, "run with MTL_CAPTURE_ENABLED=1")
	defer f.Limit("capture", 1)()
	require.Empty(t, f.Noted())
	_, err = measure(list...)
	require.NoError(t, err)
	require.Contains(t, f.Noted(), "capture shows layers.0.qkv", "a trace has the dispatches' labels")
	trace, err := os.ReadFile(o.Capture)
	require.NoError(t, err)
	require.Regexp(t, `^[1-9]\d* command buffers\n$`, string(trace))
	_, err = measure(list...)
	require.ErrorContains(t, err, "exists already")

	require.NoError(t, errors.Join(indirect.close(), where.close()))
	require.Empty(t, f.Noted())
	require.Zero(t, f.Live())
}

func TestBenchAsksForMetal(t *testing.T) {
	for want, o := range map[string]Options{
		"replay from indirect command buffers needs an Apple GPU": {Indirect: true, Reps: 1, Device: engine.CPU},
		"a capture needs runs":        {Capture: "x", Device: engine.Metal},
		"a capture is of one variant": {Capture: "x", Reps: 1, Device: engine.Metal, Variants: make([]Variant, 2)},
	} {
		require.ErrorContains(t, o.checkMetal(), want)
	}
}
