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

// What is tried: all at once, two and three even turns, half of the threads and as many at
// once as weighed, where these are enough threads and have room.
func TestBoundsThatAreTried(t *testing.T) {
	for _, c := range []struct {
		threads, shared, share, weighed int
		want                            []bound
	}{
		{256, 0, 9, 54, []bound{{5, 47}, {3, 72}, {4, 55}}}, // gate and up at 7b; nine are more than 2,048 threads
		{256, 0, 9, 64, []bound{{5, 56}, {3, 86}, {4, 65}}}, // three have no more than 80
		{256, 0, 5, 70, []bound{{5, 70}, {3, 61}, {4, 61}}}, // QKV at 7b
		{256, 0, 4, 72, []bound{{4, 63}, {3, 73}}},          // two are too few threads
		{256, 0, 36, 54, []bound{{4, 55}}},                  // the head at 7b
		{256, 0, 36, 69, []bound{{4, 60}, {3, 70}}},         // weighed, three leave less than half of the threads
		{256, 0, 1, 200, nil},                               // one is free
		{256, 50 << 10, 5, 70, []bound{{3, 61}, {4, 61}}},   // five have no room
		{512, 0, 18, 61, []bound{{2, 62}}},                  // half of the threads
		{128, 0, 0, 70, nil},                                // no share is known
		{256, 0, 9, 0, []bound{{5, 0}, {3, 0}, {8, 1}}},     // nothing is known of registers
		{256, 0, 36, 300, []bound{{4, 262}}},                // one at once, and nothing left to bound
		{1024, 120 << 10, 3, 40, nil},                       // one has room
	} {
		k := plan.Kernel{Threads: [3]int{c.threads, 1, 1}, Threadgroup: []plan.ThreadgroupArg{{Bytes: c.shared}}}
		require.Equal(t, c.want, bounds(&k, c.share, c.weighed), "%+v", c)
	}
}

// A bound is taken where nothing is spilled and registers are as many as it asks.
func TestBoundsThatAreTaken(t *testing.T) {
	free := notes{registers: 72, frame: 16}
	require.True(t, betters(notes{56, 16}, free, bound{4, 56}))
	require.False(t, betters(notes{55, 16}, free, bound{4, 56}))
	require.False(t, betters(notes{64, 24}, free, bound{3, 56}), "spilled")
}

// QKV of q8_0 at 7b takes registers for three threadgroups of five at once, gate and up for
// five of nine, or for three where these spill; heads for four.
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
	for _, weights := range []dtype.Type{dtype.Q4_K, dtype.Q5_K} { // three of nine; heads have more than nine, half of the threads
		registers, frame = taken(weights, "gate_up_swiglu_3584x37888_"+weights.String())
		require.Greater(t, registers, 72)
		require.LessOrEqual(t, registers, 80)
		require.Zero(t, frame)
		registers, frame = taken(weights, "head_3584x152064_"+weights.String()+"_2")
		require.Greater(t, registers, 56)
		require.LessOrEqual(t, registers, 64)
		require.Zero(t, frame)
	}
}
