package cpu

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/lower/plan"
	fruntime "foundry/runtime"
)

// Memory is what was asked for, and nothing is read or written beside it.
func TestEndsOfMemory(t *testing.T) {
	d := &Device{}
	for _, bytes := range []int64{0, -1} {
		_, err := d.Alloc(bytes, 0)
		require.EqualError(t, err, fmt.Sprintf("cpu: cannot allocate %d bytes", bytes))
	}
	_, err := d.Alloc(1<<46+1, 0)
	require.EqualError(t, err, fmt.Sprintf("cpu: no memory for %d bytes", int64(1<<46+1)))
	for _, bytes := range []int64{1, 15, 16, 17, 4095, 4096, 4097, 70000} {
		one, err := d.Alloc(bytes, 0)
		require.NoError(t, err)
		m := one.(*memory)
		require.Equal(t, bytes, m.Bytes())
		require.Zero(t, (m.address(0)+uintptr(bytes)+alignment-1)/alignment*alignment%4096, "it ends where a page does")
		require.Zero(t, m.address(0)%alignment)
		require.Equal(t, m.address(0)+3, m.address(3))
		for i := range m.data {
			m.data[i] = 1
		}
		require.NoError(t, m.Write(bytes-1, []byte{7}))
		got := []byte{0}
		require.NoError(t, m.Read(bytes-1, got))
		require.Equal(t, []byte{7}, got)
		require.NoError(t, m.Write(bytes, nil))
		for _, at := range []int64{-1, bytes, bytes + 1} {
			require.EqualError(t, m.Read(at, got), fmt.Sprintf("cpu: bytes [%d, %d) of memory of %d bytes", at, at+1, bytes))
		}
		require.NoError(t, m.Free())
		require.NoError(t, m.Free())
		require.EqualError(t, m.Write(0, nil), "cpu: memory used after Free")
	}
}

// A launch that cannot be one is refused when it is encoded, and again when all run.
func TestLaunchesThatAreRefused(t *testing.T) {
	d := &Device{}
	x, err := d.Alloc(64, 0)
	require.NoError(t, err)
	p := &program{d: d, kernels: []plan.Kernel{{Name: "none"}, {Name: "two", Slots: []plan.Slot{{Name: "x"}, {Name: "y"}}}}}
	on := func(m fruntime.Memory, offset, bytes int64) fruntime.Operand {
		return fruntime.Operand{Memory: m, Offset: offset, Bytes: bytes, Access: plan.Write}
	}
	for _, c := range []struct {
		l    fruntime.Launch
		want string
	}{
		{fruntime.Launch{Kernel: 2}, "kernel 2 of 2"}, {fruntime.Launch{Kernel: -1}, "kernel -1 of 2"},
		{fruntime.Launch{Kernel: 1, Bind: []fruntime.Operand{on(x, 0, 4)}}, "kernel two has 2 slots, 1 operands are bound"},
		{fruntime.Launch{Grid: [3]int64{1, 0, 1}}, "kernel none: a grid of [1 0 1] threadgroups"}, {fruntime.Launch{Grid: [3]int64{1, 1, 1 << 32}}, "kernel none: a grid of [1 1 4294967296] threadgroups"},
		{fruntime.Launch{Kernel: 1, Grid: [3]int64{1, 1, 1}, Bind: []fruntime.Operand{on(x, 0, 4), on(nil, 0, 4)}}, `kernel two, slot "y": memory of another device`},
		{fruntime.Launch{Kernel: 1, Grid: [3]int64{1, 1, 1}, Bind: []fruntime.Operand{on(x, 64, 4), on(x, 0, 4)}}, `kernel two, slot "x": cpu: bytes [64, 68) of memory of 64 bytes`},
		{fruntime.Launch{Kernel: 1, Grid: [3]int64{1, 1, 1}, Bind: []fruntime.Operand{on(x, 0, 4), on(x, 4, 0)}}, `kernel two, slot "y": an empty operand`},
	} {
		c.l.Label = "here"
		e := &commands{p: p}
		require.EqualError(t, e.Dispatch(&c.l), "cpu: dispatch here: "+c.want)
		require.EqualError(t, e.run(), "cpu: dispatch here: "+c.want)
		require.Empty(t, e.launches)
	}
	e := &commands{p: p}
	for i := range 2 {
		require.NoError(t, e.Dispatch(&fruntime.Launch{Kernel: 1, Grid: [3]int64{1 << 31, 2, 1<<32 - 1}, Label: "ok", Bind: []fruntime.Operand{on(x, 16, 48), {Memory: x, Bytes: 4, Access: plan.Read}}}))
		require.Equal(t, uint32(i), e.launches[i].barrier)
		require.NoError(t, e.Barrier())
	}
	l := e.launches[1]
	require.Equal(t, [3]uint32{1 << 31, 2, 1<<32 - 1}, l.grid)
	require.Equal(t, uint32(1), l.kernel)
	require.Equal(t, cOperand{data: x.(*memory).address(16), bytes: 48, access: 2}, *l.operands)
	require.Equal(t, uint32(1), accessBits(plan.Read))
	require.Equal(t, uint32(3), accessBits(plan.ReadWrite))
	require.Len(t, e.memories, 4)
	require.NoError(t, x.Free())
	require.EqualError(t, e.run(), "cpu: a buffer was freed between encoding and running")
}

// Dispatches of a wave come in the order that the options say, and none leaves its wave.
func TestOrderWithinWaves(t *testing.T) {
	order := func(o Options) string {
		c := &commands{p: &program{d: &Device{opts: o}}}
		for i, label := range strings.Split("abcdefgh", "") {
			l := cLaunch{kernel: uint32(i)}
			if i == 1 || i == 6 {
				l.barrier = 1
			}
			c.launches, c.labels = append(c.launches, l), append(c.labels, label)
		}
		c.arrange()
		var b strings.Builder
		for i, l := range c.launches {
			if l.barrier == 1 {
				b.WriteByte('|')
			}
			require.Equal(t, string(rune('a'+l.kernel)), c.labels[i])
			b.WriteString(c.labels[i])
		}
		return b.String()
	}
	require.Equal(t, "a|bcdef|gh", order(Options{}))
	require.Equal(t, "a|fedcb|hg", order(Options{WaveOrder: Reversed}))
	seen := map[string]bool{}
	for seed := range uint64(20) {
		one := order(Options{WaveOrder: Random, Seed: seed})
		require.Equal(t, one, order(Options{WaveOrder: Random, Seed: seed}))
		require.Regexp(t, `^a\|[b-f]{5}\|[gh]{2}$`, one)
		seen[one] = true
	}
	require.Greater(t, len(seen), 10)
}
