package verify_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir/dtype"
	"foundry/ir/sym"
	"foundry/lower/plan"
	"foundry/runtime/cpu"
	"foundry/runtime/devicetest"
	"foundry/verify"
)

// doubling is a plan of one kernel, y = 2 x, in up to eight rows.
func doubling(t *testing.T, body string) *plan.Plan {
	t.Helper()
	k := plan.Kernel{Name: "doubled", Threads: [3]int{32, 1, 1}, Builtins: []plan.Builtin{plan.ThreadPosition, plan.ThreadIndex},
		Slots: []plan.Slot{{Name: "x", Type: "float", Space: "device", Access: plan.Read}, {Name: "y", Type: "float", Space: "device", Access: plan.Write}}}
	text := plan.Text{About: "y = 2 x", Body: body}
	k.Source = text.Join(&k)
	shape := []sym.Dim{sym.T, sym.Const(32)}
	p := &plan.Plan{
		MSL: "3.0", Options: plan.Options{Target: "apple-m3-pro", Weights: dtype.F32, Cache: dtype.F32}, Kernels: []plan.Kernel{k},
		Buffers: []plan.Buffer{
			{Name: "x", Class: plan.Input, Bytes: 1024, DType: dtype.F32, Shape: shape},
			{Name: "y", Class: plan.Output, Bytes: 1024, DType: dtype.F32, Shape: shape}},
		Entries: []plan.Entry{{Name: "double", TMin: 1, TMax: 8, CommandBuffers: []plan.CommandBuffer{{First: 0, Last: 1}},
			Results: []plan.Result{{Name: "y", Buffer: 1}},
			Steps: []plan.Step{{Dispatch: &plan.Dispatch{Label: "double", Layer: -1,
				Grid: [3]plan.GridDim{{N: sym.T, Div: 1}, {N: sym.Const(1), Div: 1}, {N: sym.Const(1), Div: 1}},
				Bind: []plan.Binding{{Buffer: 0, Bytes: 1024, Access: plan.Read}, {Buffer: 1, Bytes: 1024, Access: plan.Write}}}}}}},
	}
	require.NoError(t, p.Rehash())
	require.NoError(t, p.Check())
	return p
}

// What a kernel touches beyond what its plan says is found by running it.
func TestBundle(t *testing.T) {
	d, err := cpu.Open(t.Context(), cpu.Options{})
	devicetest.Need(t, err)
	require.NoError(t, d.Close())
	const double = "    y[position.x] = 2.0f * x[position.x];\n"
	runs, err := verify.Bundle(t.Context(), doubling(t, double), cpu.Options{}, nil)
	require.NoError(t, err)
	require.Equal(t, []verify.BundleRun{{Entry: "double", T: 1, Dispatches: 1}, {Entry: "double", T: 5, Dispatches: 1}}, runs)

	p := doubling(t, "    y[position.x] += 2.0f * x[position.x];\n")
	_, err = verify.Bundle(t.Context(), p, cpu.Options{}, nil)
	require.ErrorContains(t, err, "entry double at T=1 P=0: double: cpu: dispatch double: kernel doubled")
	require.ErrorContains(t, err, `reads byte 0 of slot 1 "y", which has 1024 bytes and is bound for writing only`)

	p = doubling(t, double)
	p.Entries[0].Steps[0].Dispatch.Bind[0].Bytes = 4 * 32
	require.NoError(t, p.Check())
	_, err = verify.Bundle(t.Context(), p, cpu.Options{}, nil)
	require.ErrorContains(t, err, "entry double at T=5 P=0")

	_, err = verify.Bundle(t.Context(), doubling(t, "    asm(1u);\n"), cpu.Options{}, nil)
	require.ErrorContains(t, err, `"asm"`)
}
