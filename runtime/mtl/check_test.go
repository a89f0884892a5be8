package mtl

import (
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/lower/plan"
	fruntime "foundry/runtime"
)

// A launch is looked at before it is encoded: its kernel, its operands and their bytes to
// the last, its grid on each axis.
func TestChecksOfALaunch(t *testing.T) {
	d, other := &Device{dev: 7}, &Device{dev: 8}
	g := &program{d: d, kernels: []kernel{{name: "other"}, {name: "copy", slots: []plan.Slot{{Name: "x"}, {Name: "y"}}}}}
	of := func(d *Device, buf id) *memory { return &memory{d: d, buf: buf, size: 128} }
	sound := func() *fruntime.Launch {
		return &fruntime.Launch{Kernel: 1, Label: "step", Grid: [3]int64{1, 1, 1}, Bind: []fruntime.Operand{
			{Memory: of(d, 1), Offset: 64, Bytes: 64, Access: plan.Read}, {Memory: of(&Device{dev: 7}, 2), Bytes: 128, Access: plan.Write}}}
	}
	k, err := g.check(sound())
	require.NoError(t, err)
	require.Same(t, &g.kernels[1], k)
	for _, c := range []struct {
		change func(l *fruntime.Launch)
		want   string
	}{
		{func(l *fruntime.Launch) { l.Kernel = -1 }, "kernel -1 of 2"}, {func(l *fruntime.Launch) { l.Kernel = 2 }, "kernel 2 of 2"},
		{func(l *fruntime.Launch) { l.Bind = l.Bind[:1] }, "step: 1 operands bound, kernel copy has 2 slots"},
		{func(l *fruntime.Launch) { l.Bind[0].Memory = of(other, 1) }, `step: operand "x" lies on another device`},
		{func(l *fruntime.Launch) { l.Bind[1].Memory = nil }, `step: operand "y" lies on another device`},
		{func(l *fruntime.Launch) { l.Bind[1].Memory = of(d, 0) }, `step: the memory of operand "y" was freed`},
		{func(l *fruntime.Launch) { l.Bind[0].Offset = 65 }, `step: operand "x" is bytes 65..129 of a buffer of 128`},
		{func(l *fruntime.Launch) { l.Bind[0].Offset = -1 }, `step: operand "x" is bytes -1..63 of a buffer of 128`},
		{func(l *fruntime.Launch) { l.Grid[0] = 0 }, "step: the grid is [0 1 1], wants at least one threadgroup each way"},
		{func(l *fruntime.Launch) { l.Grid[1] = 0 }, "step: the grid is [1 0 1], wants at least one threadgroup each way"},
		{func(l *fruntime.Launch) { l.Grid[2] = -1 }, "step: the grid is [1 1 -1], wants at least one threadgroup each way"},
	} {
		l := sound()
		c.change(l)
		_, err := g.check(l)
		require.EqualError(t, err, "metal: "+c.want)
	}
}

// Kernels pass the gate before anything is asked of the GPU, unless they are trusted; then
// the language is looked at.
func TestGateBeforeTheGPU(t *testing.T) {
	p := copyPlan() // whose kernels are written by hand
	p.MSL = "9.9"
	const language = `metal: the plan wants Metal language "9.9", which this version does not know`
	_, err := (&Device{}).Load(t.Context(), p, nil)
	require.ErrorContains(t, err, `metal: kernel "copy" is refused: `)
	require.NotContains(t, err.Error(), "language")
	_, err = (&Device{opts: Options{TrustKernels: true}}).Load(t.Context(), p, nil)
	require.EqualError(t, err, language)
	_, err = (&Device{}).Load(t.Context(), &plan.Plan{MSL: "9.9"}, nil)
	require.EqualError(t, err, language)
}
