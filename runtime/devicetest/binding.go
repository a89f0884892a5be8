package devicetest

import (
	"github.com/stretchr/testify/require"

	"foundry/lower/plan"
	"foundry/runtime"
)

func stepArgument(r *rig) {
	prog := r.load(source{
		name:    "reads_step",
		prelude: "struct Step { uint T; uint P; uint S; int token; uint rest[28]; };\n",
		slots: []plan.Slot{
			{Name: "step", Type: "Step", Space: "constant", Access: plan.Read}, out("y", "uint"),
		},
		builtins: []plan.Builtin{plan.ThreadIndex},
		threads:  [3]int{8, 1, 1},
		body:     `    y[thread_index] = step.T * 1000000u + step.P * 1000u + step.S + thread_index + uint(step.token + 2);`,
	})
	step := make([]uint32, plan.StepBytes/4)
	step[plan.StepT], step[plan.StepP], step[plan.StepS], step[plan.StepToken] = 3, 40, 43, ^uint32(0)
	ms, my := r.put(step), r.alloc(32)
	defer ms.Free()
	defer my.Free()
	run := func() []uint32 {
		r.once(prog, [3]int64{1, 1, 1}, whole(ms, plan.StepBytes, plan.Read), whole(my, 32, plan.Write))
		return get[uint32](r, my, 8)
	}
	for i, v := range run() {
		require.Equal(r, uint32(3040044+i), v)
	}
	// The content is read when the dispatch runs, not when the kernel is loaded.
	require.NoError(r, ms.Write(4*plan.StepP, []byte{41, 0, 0, 0}))
	for i, v := range run() {
		require.Equal(r, uint32(3041044+i), v)
	}
}

// operandOffset: a slot sees memory from its offset on, and the bytes before
// and behind the range stay as they are.
func operandOffset(r *rig) {
	const n, offset = 64, 512
	prog := r.load(source{
		name:     "increment",
		slots:    []plan.Slot{inout("x", "uint")},
		builtins: []plan.Builtin{plan.ThreadIndex},
		threads:  [3]int{n, 1, 1},
		body:     `    x[thread_index] += 1u;`,
	})
	total := 2*offset/4 + n
	x := make([]uint32, total)
	for i := range x {
		x[i] = uint32(i) << 8
	}
	m := r.put(x)
	defer m.Free()
	r.once(prog, [3]int64{1, 1, 1}, runtime.Operand{Memory: m, Offset: offset, Bytes: 4 * n, Access: plan.ReadWrite})
	for i := range x[offset/4 : offset/4+n] {
		x[offset/4+i]++
	}
	require.Equal(r, x, get[uint32](r, m, total))
}

// sameNames: kernels are separate texts, so what one declares another may
// declare differently.
func sameNames(r *rig) {
	kernel := func(name, value string) source {
		return source{
			name:     name,
			prelude:  "struct Pair { uint a; };\nconstant uint kValue = " + value + ";\ninline uint value(Pair p) { return p.a + kValue; }\n",
			slots:    []plan.Slot{out("y", "uint")},
			builtins: []plan.Builtin{plan.ThreadIndex},
			threads:  [3]int{4, 1, 1},
			body:     `    Pair p = {thread_index}; y[thread_index] = value(p);`,
		}
	}
	prog := r.load(kernel("first", "10u"), kernel("second", "20u"))
	a, b := r.alloc(16), r.alloc(16)
	defer a.Free()
	defer b.Free()
	r.run(prog, func(enc runtime.Encoder) {
		for i, m := range []runtime.Memory{a, b} {
			require.NoError(r, enc.Dispatch(&runtime.Launch{
				Kernel: i, Label: "same names", Grid: [3]int64{1, 1, 1},
				Bind: []runtime.Operand{whole(m, 16, plan.Write)},
			}))
		}
	})
	require.Equal(r, []uint32{10, 11, 12, 13}, get[uint32](r, a, 4))
	require.Equal(r, []uint32{20, 21, 22, 23}, get[uint32](r, b, 4))
}
