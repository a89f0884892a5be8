package cuda

import (
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/frontends/decoder"
	"foundry/frontends/qwen25"
	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/target"
	"foundry/lower/metal"
	"foundry/lower/plan"
	"foundry/runtime/devicetest"
	"foundry/runtime/msl"
)

// TestSamplerCompiles compiles the entry sample for an H100, which needs NVRTC and
// no GPU: no thread's registers overflow into memory.
func TestSamplerCompiles(t *testing.T) {
	rtc, err := openNVRTC()
	devicetest.Need(t, err)
	h100, err := target.Find("h100")
	require.NoError(t, err)
	c, err := qwen25.Family.Preset("7b")
	require.NoError(t, err)
	g, err := decoder.Sampler(c, 4096)
	require.NoError(t, err)
	p, err := metal.Compile([]metal.Entry{{Name: g.Name, Graph: g}}, metal.Options{
		Target: h100, Model: plan.Model{Name: "7b", Layers: 1, Vocab: c.Vocab, Context: 4096},
		Meta: plan.Options{Weights: dtype.F16, Cache: dtype.F16},
	})
	require.NoError(t, err)
	requireInRegisters(t, rtc, p)
}

// TestSoftmaxCompiles does the same for a softmax alone in both forms, over rows of
// floats that begin anywhere and over blocks.
func TestSoftmaxCompiles(t *testing.T) {
	rtc, err := openNVRTC()
	devicetest.Need(t, err)
	h100, err := target.Find("h100")
	require.NoError(t, err)
	g, err := ir.Parse("softmax.fir", `graph @g (T=1..4, P=0..4000, S<=4000) {
  %0 = input "x" : f32[2, T, S]
  %1 = weight "w" : q4_k[2, 8192]
  %2 = weight "v" : q8_0[2, 8192]
  %a = softmax %0 {causal=true, start=P}
  %b = softmax %0 {causal=true, start=P, kernel="softmax-segments segment=1024"}
  %c = softmax %1 {causal=false, start=0, kernel="softmax-segments segment=1024"}
  %d = softmax %2 {causal=false, start=0}
  return a=%a, b=%b, c=%c, d=%d
}`)
	require.NoError(t, err)
	p, err := metal.Compile([]metal.Entry{{Name: g.Name, Graph: g}}, metal.Options{
		Target: h100, Model: plan.Model{Name: "softmax", Layers: 1, Context: 4000}, Meta: plan.Options{Weights: dtype.F16, Cache: dtype.F16}})
	require.NoError(t, err)
	requireInRegisters(t, rtc, p)
}

// requireInRegisters compiles every kernel of a plan for an H100 and looks at what
// its threads keep outside registers.
func requireInRegisters(t *testing.T, rtc *nvrtc, p *plan.Plan) {
	t.Helper()
	for _, k := range p.Kernels {
		k.File = "kernels/" + k.Name + ".metal"
		text, err := msl.CUDA(msl.Free, &k)
		require.NoError(t, err)
		code, err := rtc.compile(k.File, text, append([]string{"--gpu-architecture=sm_90"}, msl.CUDAOptions...))
		require.NoError(t, err, k.Name)
		registers, frame := usage(t, code)
		t.Logf("%s: %d threads, %d registers, %d bytes of stack, %d bytes of threadgroup memory", k.Name, k.Threads[0], registers, frame, msl.SharedBytes(&k))
		require.Zero(t, frame, "%s: bytes of a thread's stack", k.Name)
	}
}
