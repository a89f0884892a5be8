package cuda

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/frontends/checkpoint"
	"foundry/frontends/model"
	"foundry/ir/dtype"
	"foundry/lower/compile"
	"foundry/lower/plan"
)

// A kernel whose threadgroups all run at once gets the registers that it likes; of the
// head, whose do not, registers are weighed.
func TestRegistersByGrid(t *testing.T) {
	d := compilingDevice(t)
	m, err := model.Open("synth:qwen2.5-7b", checkpoint.Hub{})
	require.NoError(t, err)
	c, err := compile.Model(m.WithLayers(1), compile.Options{Weights: dtype.F16, Target: "h200", Variant: "fewest", Context: 512, Chunk: 1})
	require.NoError(t, err)
	var kernels []plan.Kernel
	var share []int
	for i, n := range shares(c.Plan, 132) {
		if k := c.Plan.Kernels[i]; k.Name == "attention_28x128" || k.Name == "head_3584x152064_f16" {
			k.File = "kernels/" + k.Name + ".metal"
			kernels, share = append(kernels, k), append(share, n)
		}
	}
	require.Len(t, kernels, 2)
	u, err := d.compile(context.Background(), kernels, share, nil)
	require.NoError(t, err)
	for i, k := range kernels {
		used, err := notesOf(u.code[u.of[i]])
		require.NoError(t, err)
		if strings.HasPrefix(k.Name, "attention") {
			require.Equal(t, 1, share[i])
			require.Greater(t, used[k.Name].registers, 64) // 71; weighed 64
		} else {
			require.Greater(t, share[i], 8)
			require.Less(t, used[k.Name].registers, 100) // 78; free 138
		}
	}
	warm, err := d.compile(context.Background(), kernels, share, nil)
	require.NoError(t, err)
	require.Zero(t, warm.fresh)
	require.Equal(t, u.of, warm.of)
}

// How many threadgroups are tried at once: all, or half in even turns, where these are
// enough threads and have room.
func TestTurnsThatAreTried(t *testing.T) {
	for _, c := range []struct {
		threads, shared, share int
		want                   []int
	}{
		{256, 0, 9, []int{5}},        // nine are more than 2,048 threads
		{256, 0, 5, []int{5, 3}},     // QKV at 7b
		{256, 0, 4, []int{4}},        // two are too few threads
		{256, 0, 36, nil},            // the head at 7b
		{256, 0, 1, nil},             // one is free
		{256, 50 << 10, 5, []int{3}}, // five have no room
		{128, 0, 0, nil},             // the grid depends on the run
	} {
		k := plan.Kernel{Threads: [3]int{c.threads, 1, 1}, Threadgroup: []plan.ThreadgroupArg{{Bytes: c.shared}}}
		require.Equal(t, c.want, turns(&k, c.share), "%+v", c)
	}
}

// What turns leave is taken where nothing is spilled and registers are not many fewer than
// the compiler would have weighed.
func TestTurnsThatAreTaken(t *testing.T) {
	free, weighed := notes{registers: 72, frame: 16}, notes{registers: 56}
	require.True(t, betters(notes{56, 16}, free, weighed, 4, 4))
	require.False(t, betters(notes{55, 16}, free, weighed, 4, 4), "all at once, with fewer")
	require.True(t, betters(notes{49, 16}, free, weighed, 3, 5), "an eighth fewer in two turns")
	require.False(t, betters(notes{48, 16}, free, weighed, 3, 5))
	require.False(t, betters(notes{64, 24}, free, weighed, 3, 5), "spilled")
}

// QKV of q8_0 at 7b takes registers for three threadgroups of five at once, gate and up for
// five of nine; what would spill them is weighed.
func TestRegistersInEvenTurns(t *testing.T) {
	d := compilingDevice(t)
	m, err := model.Open("synth:qwen2.5-7b", checkpoint.Hub{})
	require.NoError(t, err)
	taken := func(weights dtype.Type, name string) (registers, frame int) {
		c, err := compile.Model(m.WithLayers(2), compile.Options{Weights: weights, Target: "h200", Variant: "fewest", Context: 512, Chunk: 1})
		require.NoError(t, err)
		i := slices.IndexFunc(c.Plan.Kernels, func(k plan.Kernel) bool { return k.Name == name })
		require.GreaterOrEqual(t, i, 0, name)
		k := c.Plan.Kernels[i]
		k.File = "kernels/" + k.Name + ".metal"
		u, err := d.compile(context.Background(), []plan.Kernel{k}, shares(c.Plan, 132)[i:i+1], nil)
		require.NoError(t, err)
		used, err := notesOf(u.code[u.of[0]])
		require.NoError(t, err)
		return used[name].registers, used[name].frame
	}
	registers, _ := taken(dtype.Q8_0, "qkv_rope_kv_3584x4608_q8_0")
	require.Greater(t, registers, 64)
	require.LessOrEqual(t, registers, 80)
	registers, frame := taken(dtype.Q8_0, "gate_up_swiglu_3584x37888_q8_0")
	require.Greater(t, registers, 41) // as weighed
	require.LessOrEqual(t, registers, 48)
	require.Zero(t, frame)
	registers, frame = taken(dtype.Q5_K, "gate_up_swiglu_3584x37888_q5_k")
	require.Greater(t, registers, 48)
	require.Zero(t, frame)
}
