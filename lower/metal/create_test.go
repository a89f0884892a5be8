package metal_test

import (
	"encoding/binary"
	"io/fs"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/lower/plan"
	"foundry/runtime"
	"foundry/runtime/cpu"
	"foundry/runtime/devicetest"
	"foundry/shaders"
)

// TestPhiloxKernel gives the stage's own generator the vectors that the authors of
// Random123 publish for philox4x32 with ten rounds: counter, key, result. The
// operation reaches counters whose upper half is zero only.
func TestPhiloxKernel(t *testing.T) {
	const ones = 0xffffffff
	vectors := [][10]uint32{
		{0, 0, 0, 0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
		{ones, ones, ones, ones, ones, ones, 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd},
		{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0, 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1},
	}
	stage, err := fs.ReadFile(shaders.FS, "main/create.metal")
	require.NoError(t, err)
	k := plan.Kernel{
		Name: "known_answers", File: "kernels/known_answers.metal", Threads: [3]int{32, 1, 1}, Builtins: []plan.Builtin{plan.ThreadIndex},
		Slots: []plan.Slot{{Name: "in", Type: "uint", Space: "device", Access: plan.Read}, {Name: "out", Type: "uint4", Space: "device", Access: plan.Write}},
		Source: "#include <metal_stdlib>\nusing namespace metal;\n" + string(stage) + `
kernel void known_answers(device const uint *in [[buffer(0)]], device uint4 *out [[buffer(1)]], uint i [[thread_index_in_threadgroup]])
{
    device const uint *v = in + 6u * i;
    if (i < 3u) out[i] = philox(uint4(v[0], v[1], v[2], v[3]), v[4], v[5]);
}
`,
	}
	d, err := cpu.Open(background, cpu.Options{TrustKernels: true}) // it is written by hand
	devicetest.Need(t, err)
	defer d.Close()
	program, err := d.Load(background, &plan.Plan{Kernels: []plan.Kernel{k}}, nil)
	require.NoError(t, err)
	defer program.Close()
	var in []byte
	var want []uint32
	for _, v := range vectors {
		for _, word := range v[:6] {
			in = binary.LittleEndian.AppendUint32(in, word)
		}
		want = append(want, v[6:]...)
	}
	bind := func(bytes int, a plan.Access) runtime.Operand {
		m, err := d.Alloc(int64(bytes), runtime.Shared)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, m.Free()) })
		return runtime.Operand{Memory: m, Bytes: int64(bytes), Access: a}
	}
	x, y := bind(len(in), plan.Read), bind(4*len(want), plan.Write)
	require.NoError(t, x.Memory.Write(0, in))
	enc, err := program.Begin()
	require.NoError(t, err)
	require.NoError(t, enc.Dispatch(&runtime.Launch{Kernel: 0, Grid: [3]int64{1, 1, 1}, Bind: []runtime.Operand{x, y}}))
	require.NoError(t, enc.Commit())
	require.NoError(t, enc.Wait())
	out := make([]byte, 4*len(want))
	require.NoError(t, y.Memory.Read(0, out))
	for i, w := range want {
		require.Equal(t, w, binary.LittleEndian.Uint32(out[4*i:]), "word %d", i)
	}
}
