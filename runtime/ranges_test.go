package runtime

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"foundry/ir/dtype"
	"foundry/ir/sampling"
	"foundry/lower/plan"
)

// halves are values as the bytes of f16.
func halves(v ...float32) []byte {
	var out []byte
	for _, x := range v {
		out = binary.LittleEndian.AppendUint16(out, dtype.F32ToF16(x))
	}
	return out
}

// ranged is an instance with two caches, of which the first is kept in the second range, and
// the buffer of ranges.
func ranged(down, up float32) (*Instance, *fake) {
	dev := newFake(nil)
	memory := func(n int) *fakeMemory { return &fakeMemory{f: dev, b: make([]byte, n)} }
	p := &plan.Plan{Buffers: []plan.Buffer{
		{Name: "k", Class: plan.State, DType: dtype.F16, Bytes: 8, Range: 8}, {Name: "v", Class: plan.State, DType: dtype.F16, Bytes: 8},
		{Name: "ranges", Class: plan.Prepared, DType: dtype.F32, Bytes: 24, Role: plan.RangesBuffer}, {Name: "w", Class: plan.Weight, DType: dtype.F16, Bytes: 8},
		{Name: "s", Class: plan.State, DType: dtype.F32, Bytes: 8},
	}}
	in := &Instance{exec: &Executable{Plan: p, device: dev}, written: make([]int, 5)}
	for _, b := range p.Buffers {
		in.whole = append(in.whole, Operand{Memory: memory(int(b.Bytes)), Bytes: b.Bytes})
	}
	ranges := in.whole[2].Memory.(*fakeMemory).b
	for i := range 6 {
		setFloat(ranges, i, 7)
	}
	setFloat(ranges, 2, down)
	setFloat(ranges, 3, up)
	return in, dev
}

// A cache that is kept in a range holds its values times the one factor, and is read times
// the other; others hold what is written.
func TestRangesOfCaches(t *testing.T) {
	in, dev := ranged(0.25, 4)
	values := halves(1, -8, 65504, float32(math.Inf(1)))
	require.NoError(t, in.Write("k", values))
	require.Equal(t, halves(0.25, -2, 16376, float32(math.Inf(1))), in.whole[0].Memory.(*fakeMemory).b)
	require.Equal(t, halves(1, -8, 65504, float32(math.Inf(1))), values, "the caller's stay")
	got := make([]byte, 8)
	require.NoError(t, in.Read("k", got))
	require.Equal(t, values, got)
	require.NoError(t, in.Write("v", values))
	require.Equal(t, values, in.whole[1].Memory.(*fakeMemory).b)
	require.NoError(t, in.Read("v", got))
	require.Equal(t, values, got)
	require.Equal(t, []int{toItsEnd, toItsEnd, 0, 0, 0}, in.written)
	require.ErrorContains(t, in.Write("w", values), "all sessions share")
	require.ErrorContains(t, in.Write("ranges", values), "all sessions share")

	small, _ := ranged(64, 1.0/64)
	require.EqualError(t, small.Write("k", halves(1000, 1024, 0, 0)), "buffer k: element 1 is 1024, kernels write at most 1023.5")
	require.EqualError(t, small.Write("k", halves(0, 0, 0, -1024)), "buffer k: element 3 is -1024, kernels write at most 1023.5")
	require.NoError(t, small.Write("k", halves(1023.5, -1023.5, float32(math.Inf(-1)), 0)))
	dev.failAt["read"] = dev.calls["read"] + 1
	require.ErrorIs(t, in.Write("k", values), errInjected)
	dev.failAt["read"] = dev.calls["read"] + 2
	require.ErrorIs(t, in.Read("k", got), errInjected)
}

// What a kernel refuses is told in words, a cache by its name.
func TestRefusals(t *testing.T) {
	require.NoError(t, refusal(plan.ErrNone, 5, "table"))
	require.EqualError(t, refusal(plan.ErrToken, math.MaxUint32, "table"), "token id -1 is outside the table")
	require.ErrorIs(t, refusal(plan.ErrLogits, 0, ""), sampling.ErrNotFinite)
	require.EqualError(t, refusal(77, 3, ""), "a kernel reported error 77 about 3")
	require.Equal(t, errCache, refusal(plan.ErrCache, 0, ""))
	in, dev := ranged(1, 1)
	other := errors.New("other")
	require.Equal(t, other, in.tell(other))
	require.EqualError(t, in.tell(errCache), "a value is beyond what an f16 cache holds, 65504 at most: compile with --cache f32")
	copy(in.whole[4].Memory.(*fakeMemory).b, halves(float32(math.Inf(1)))) // bits of an f32 state
	copy(in.whole[3].Memory.(*fakeMemory).b, halves(float32(math.Inf(1)))) // a weight
	copy(in.whole[0].Memory.(*fakeMemory).b[6:], halves(float32(math.NaN())))
	require.EqualError(t, in.tell(errCache), "a value is beyond what an f16 cache holds, 65504 at most: compile with --cache f32")
	copy(in.whole[1].Memory.(*fakeMemory).b[6:], halves(float32(math.Inf(-1))))
	require.EqualError(t, in.tell(errCache), "v: a value is beyond what an f16 cache holds, 65504 at most: compile with --cache f32")
	dev.failAt["read"] = dev.calls["read"] + 1
	require.ErrorIs(t, in.tell(errCache), errInjected)
}

// Bytes are read and written within a buffer, to its last.
func TestWithinABuffer(t *testing.T) {
	in, _ := ranged(1, 1)
	require.NoError(t, in.writeAt(1, 4, []byte{1, 2, 3, 4}))
	got := make([]byte, 2)
	require.NoError(t, in.readAt(1, 6, got))
	require.Equal(t, []byte{3, 4}, got)
	require.EqualError(t, in.readAt(1, 7, got), "buffer v: bytes 7 to 9, it has 8")
	require.EqualError(t, in.readAt(1, -1, got), "buffer v: bytes -1 to 1, it has 8")
	require.EqualError(t, in.writeAt(1, 8, got), "buffer v: bytes 8 to 10, it has 8")
	require.NoError(t, in.writeAt(1, 8, nil))
	in.whole[1].Offset, in.whole[1].Bytes = 4, 4
	require.NoError(t, in.readAt(1, 2, got))
	require.Equal(t, []byte{3, 4}, got, "of its memory from there on")
}

// Phases are timed from their beginning and stand in the order in which they ended.
func TestStartupPhases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s Startup
		start := time.Now()
		time.Sleep(1500 * time.Millisecond)
		s.Add(Phase{Name: "a", Kernels: 3, Fresh: 2}, start)
		s.Note(Phase{Name: "b", Seconds: 4, Bytes: 9})
		want := []Phase{{Name: "a", Seconds: 1.5, Kernels: 3, Fresh: 2}, {Name: "b", Seconds: 4, Bytes: 9}}
		require.Equal(t, want, s.Phases())
		slices.Reverse(s.Phases())
		require.Equal(t, want, s.Phases(), "a list of one's own")
	})
}

// Plans of one model share weights that are the same in all that makes their bytes.
func TestSharedWeights(t *testing.T) {
	w, dev, made := NewWeights(), newFake(nil), 0
	get := func(b plan.Buffer, fail error) (Memory, error) {
		return w.get(&b, func() (Memory, error) {
			made++
			if fail != nil {
				return nil, fail
			}
			return dev.Alloc(b.Bytes, Filled)
		})
	}
	base := plan.Buffer{Name: "w", DType: dtype.F16, Bytes: 8, Weight: &plan.WeightRecipe{Tensor: "t", Kind: "convert"}}
	first, err := get(base, nil)
	require.NoError(t, err)
	renamed := base
	renamed.Name = "v"
	again, err := get(renamed, nil)
	require.NoError(t, err)
	require.Same(t, first, again)
	for _, change := range []func(*plan.Buffer){func(b *plan.Buffer) { b.DType = dtype.F32 }, func(b *plan.Buffer) { b.Bytes = 16 }, func(b *plan.Buffer) { b.Weight = &plan.WeightRecipe{Tensor: "u", Kind: "convert"} }, func(b *plan.Buffer) { b.Weight = &plan.WeightRecipe{Tensor: "t", Kind: "planes"} }} {
		b := base
		change(&b)
		other, err := get(b, nil)
		require.NoError(t, err)
		require.NotSame(t, first, other)
	}
	require.Equal(t, 5, made)
	lost := base
	lost.Weight = &plan.WeightRecipe{Tensor: "lost"}
	for range 2 {
		_, err = get(lost, errInjected)
		require.ErrorIs(t, err, errInjected)
	}
	require.Equal(t, 6, made, "asked for once")
	require.Equal(t, 5, dev.live)
	require.NoError(t, w.Close())
	require.Zero(t, dev.live)
	require.NoError(t, w.Close())
}
