package bench

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir/dtype"
	"foundry/lower/plan"
	fruntime "foundry/runtime"
	"foundry/runtime/engine"
)

// What is ahead is said where kernels that are not in the cache take ten seconds: each text
// once, 0.4 s of a processor on cpu and 1.4 s on cuda, shared by all processors.
func TestEstimate(t *testing.T) {
	processors := runtime.GOMAXPROCS(0)
	plans := func(n int) []compiledVariant {
		var list []compiledVariant
		for range 2 { // of the same kernels
			p := &plan.Plan{}
			for i := range n {
				p.Kernels = append(p.Kernels, plan.Kernel{SHA256: fmt.Sprint(i)})
			}
			list = append(list, compiledVariant{plan: p})
		}
		return list
	}
	few := 25 * processors // 10 s of cpu
	for range 2 {
		require.Empty(t, estimate(engine.CPU, plans(few-1)))
		require.Equal(t, fmt.Sprintf("2 plans with %d kernels: to compile those takes about 10 s where none is in the cache, before the first run", few), estimate(engine.CPU, plans(few)))
		require.Contains(t, estimate(engine.CUDA, plans(10*processors)), "takes about 14 s where")
		for _, silent := range []string{engine.Ref, engine.Metal, "gpu"} {
			require.Empty(t, estimate(silent, plans(1000*processors)))
		}
	}
}

// informed is a device that says what it is.
type informed struct {
	fruntime.Device
	info fruntime.Info
}

func (d informed) Info() fruntime.Info { return d.info }

// Variants may lie in memory together where what they share and what each has of its own fit:
// within 2 GiB where times are emulation, each weight once but on ref.
func TestFit(t *testing.T) {
	of := func(state, arena, weight int64, tensor string) compiledVariant {
		return compiledVariant{plan: &plan.Plan{ArenaBytes: arena, Buffers: []plan.Buffer{
			{Class: plan.State, Bytes: state}, {Class: plan.Input, Bytes: 1 << 40},
			{Class: plan.Weight, Bytes: weight, DType: dtype.F16, Weight: &plan.WeightRecipe{Tensor: tensor}},
		}}}
	}
	const gib = 1 << 30
	var ref *sharedDevice
	for _, c := range []struct {
		list []compiledVariant
		fits bool
	}{
		{[]compiledVariant{of(8*gib, gib, gib, "a")}, true}, // alone whatever it takes
		{[]compiledVariant{of(gib/2, gib/4, gib/4, "a"), of(gib/2, gib/4, gib/4, "a")}, true},
		{[]compiledVariant{of(gib/2, gib/4, gib/4, "a"), of(gib/2, gib/4, gib/4+1, "a")}, false}, // on ref each has its own
		{[]compiledVariant{of(0, gib, 0, "a"), of(gib, 0, 0, "a")}, true}, {[]compiledVariant{of(0, gib, 0, "a"), of(gib+1, 0, 0, "a")}, false},
	} {
		require.Equal(t, c.fits, ref.fit(c.list))
	}
	on := func(info fruntime.Info) *sharedDevice { return &sharedDevice{dev: informed{info: info}} }
	shared := []compiledVariant{of(0, 0, 3*gib, "a"), of(0, 0, 3*gib, "a")}
	for i, c := range []struct {
		info fruntime.Info
		fits bool
	}{
		{fruntime.Info{MemoryBytes: 6 * gib}, true}, {fruntime.Info{MemoryBytes: 6*gib - 2}, false}, {fruntime.Info{MemoryBytes: 100 * gib, Emulation: true}, false},
	} {
		require.Equal(t, c.fits, on(c.info).fit(shared), "half of a GPU's memory, %d", i)
	}
	require.Equal(t, weightKey(&of(0, 0, 1, "a").plan.Buffers[2]), weightKey(&of(1, 1, 2, "a").plan.Buffers[2]))
	require.NotEqual(t, weightKey(&of(0, 0, 1, "a").plan.Buffers[2]), weightKey(&of(0, 0, 1, "b").plan.Buffers[2]))
	require.Empty(t, weightKey(&plan.Buffer{}))
}

// Too little time, a fifth of a second of a processor, tells nothing of other processes; no
// share is more than all, or less than none.
func TestSharesOfOthers(t *testing.T) {
	from := busyness{all: 10, busy: 5, own: 1, known: true}
	to := func(all, busy, own float64) *float64 {
		return busyness{all: 10 + all, busy: 5 + busy, own: 1 + own, known: true}.others(from)
	}
	require.Nil(t, to(0.19, 0.19, 0))
	require.InDelta(t, 0.5, *to(0.25, 0.125, 0), 1e-9)
	require.InDelta(t, 0, *to(1, 0.5, 0.75), 1e-9)
	require.InDelta(t, 1, *to(1, 2, 0), 1e-9)
}
