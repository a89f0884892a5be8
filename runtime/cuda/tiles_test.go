package cuda

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/frontends/decoder"
	"foundry/frontends/qwen25"
	"foundry/ir/dtype"
	"foundry/ir/target"
	"foundry/lower/metal"
	"foundry/lower/plan"
	"foundry/passes"
	"foundry/runtime/msl"
)

// TestTilesCompile compiles the prefill kernels of the real shapes for an H100,
// which needs NVRTC and no GPU: they use the tensor cores and no thread's
// registers overflow into memory.
func TestTilesCompile(t *testing.T) {
	d := compilingDevice(t)
	for _, x := range []struct {
		preset, variant, name string // of kernels that begin so
		weights               dtype.Type
	}{{"0.5b", "default", "", dtype.F16}, {"7b", "default", "", dtype.F16}, {"7b", "per-layer-6", "gate_up", dtype.Q4_0}, {"7b", "unfused", "bmm", dtype.F16}} {
		for _, k := range prefillKernels(t, x.preset, x.variant, x.weights) {
			if !strings.Contains(k.Name, "_tiles") && k.Matrices == 0 || !strings.HasPrefix(k.Name, x.name) {
				continue
			}
			code, err := d.unit(msl.Free, []*plan.Kernel{&k})
			require.NoError(t, err, k.Name)
			registers, frame := usage(t, code)
			t.Logf("%s %s %s: %d threads, %d registers, %d bytes of threadgroup memory, %v", x.preset, x.weights, k.Name, k.Threads[0], registers, msl.SharedBytes(&k), k.Params)
			// CUDA's sin and cos keep 32 bytes for angles that do not occur.
			require.LessOrEqual(t, frame, 32, "%s: bytes of a thread's stack", k.Name)
			require.LessOrEqual(t, registers*k.Threads[0], 65536, k.Name)
		}
	}
}

// prefillKernels compiles one layer of a preset for target h100.
func prefillKernels(t *testing.T, preset, variant string, weights dtype.Type) []plan.Kernel {
	t.Helper()
	c, err := qwen25.Family.Preset(preset)
	require.NoError(t, err)
	c.Layers = 1
	o := decoder.BuildOptions{Context: 4096, Chunk: 512, Weights: weights, Cache: dtype.F16}
	g, err := decoder.Build(c, o)
	require.NoError(t, err)
	h100, err := target.Find("h100")
	require.NoError(t, err)
	pipeline, err := passes.Variant(variant)
	require.NoError(t, err)
	require.NoError(t, pipeline.Run(g, &passes.Context{Target: h100}))
	p, err := metal.Compile([]metal.Entry{{Name: "prefill", Graph: g}}, metal.Options{
		Target: h100, Model: plan.Model{Name: preset, Layers: 1, Hidden: c.Hidden, Vocab: c.Vocab, Context: o.Context, Chunk: o.Chunk},
		Meta: plan.Options{Weights: weights, Cache: dtype.F16},
	})
	require.NoError(t, err)
	for i := range p.Kernels {
		p.Kernels[i].File = "kernels/" + p.Kernels[i].Name + ".metal"
	}
	return p.Kernels
}

// usage reads a cubin's notes: registers and stack bytes of its kernel.
func usage(t *testing.T, code []byte) (registers, frame int) {
	t.Helper()
	notes, err := notesOf(code)
	require.NoError(t, err)
	for _, n := range notes { // of one kernel, and of functions that it calls, which have none
		registers, frame = max(registers, n.registers), max(frame, n.frame)
	}
	require.NotZero(t, registers)
	return registers, frame
}
