package plan

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir/sym"
)

func TestStats(t *testing.T) {
	p := sample(t)
	e, err := p.Entry("prefill")
	require.NoError(t, err)
	require.Equal(t, EntryStats{
		Entry: "prefill", Dispatches: 3, Waves: 3, Barriers: 2, CommandBuffers: 2,
		MovedBytes: 388*4 + 8 + 512*4 + 128*2 + 384, Flops: 64 * 4, WeightBytes: 388 * 4, ArenaBytes: 4096, // four rows of the table, and what else the dispatch moves
		Kernels: []KernelStats{
			{Kernel: "embed", Dispatches: 1, Threads: 64, Threadgroups: 4, MovedBytes: 388 * 4},
			{Kernel: "scale", Dispatches: 1, Threads: 128, ThreadgroupBytes: 384, Threadgroups: 2, MovedBytes: 8 + 512*4 + 128*2, Flops: 256},
			{Kernel: "pick", Dispatches: 1, Threads: 1024, Threadgroups: 1, MovedBytes: 384},
		},
	}, p.Stats(e, sym.Env{T: 4, P: 2}))
	require.Equal(t, 256.0/2312, p.Stats(e, sym.Env{T: 4, P: 2}).Kernels[1].Intensity())
	require.Zero(t, KernelStats{}.Intensity())
	require.Equal(t, int64(128+32+2048), p.ClassBytes(State))
	require.Equal(t, 7, p.BufferFor(LogitsBuffer))
	require.Equal(t, -1, p.BufferFor(HistoryBuffer))

	_, err = p.Entry("decoed")
	require.EqualError(t, err, `the plan has no entry "decoed", it has prefill, decode; did you mean "decode"?`)
	_, err = p.Entry("something")
	require.EqualError(t, err, `the plan has no entry "something", it has prefill, decode`)
}

// A weight's bytes count once, however many dispatches read it, and no more of them than
// the most that one of them moves.
func TestWeightBytesCountOnce(t *testing.T) {
	p := &Plan{Kernels: []Kernel{{}}, Buffers: []Buffer{{Class: Weight, Bytes: 100}, {Class: State, Bytes: 100}}}
	var e Entry
	for _, c := range []struct{ moved, want int64 }{{60, 60}, {50, 60}, {70, 70}, {1000, 100}, {1000, 100}} {
		e.Steps = append(e.Steps, Step{Dispatch: &Dispatch{Moved: sym.Poly{C: c.moved}, Bind: []Binding{{Buffer: 0}, {Buffer: 1}}, Grid: [3]GridDim{{sym.Const(1), 1}, {sym.Const(1), 1}, {sym.Const(1), 1}}}})
		require.Equal(t, c.want, p.Stats(&e, sym.Env{T: 1}).WeightBytes, "%d dispatches", len(e.Steps))
	}
}

// deep is a plan of 80 layers with 28 dispatches each, all in one chain, in two
// entries: the largest that anybody compiles.
func deep(b *testing.B) *Plan {
	p := sample(b)
	p.Model.Layers = 80
	for i := range p.Entries {
		e := &p.Entries[i]
		head, pair, tail := e.Steps[0], e.Steps[1:4], e.Steps[4]
		steps := []Step{head}
		for n := range 80 * 28 {
			d := *pair[1].Dispatch
			d.Label, d.Layer, d.Wave = fmt.Sprintf("layers.%d.%d", n/28, n%28), n/28, n+1
			d.Bind = append([]Binding(nil), d.Bind...)
			if n%2 == 1 {
				d.Bind[0].Buffer, d.Bind[3].Buffer = 6, 5
			}
			steps = append(steps, pair[0], Step{Dispatch: &d})
		}
		last := *tail.Dispatch
		last.Wave, last.Bind = 80*28+1, append([]Binding(nil), last.Bind...)
		last.Bind[0].Buffer = 5
		e.Steps = append(steps, Step{Barrier: true}, Step{Dispatch: &last})
		e.CommandBuffers = []CommandBuffer{{0, len(e.Steps)}}
	}
	require.NoError(b, p.Check())
	return p
}

func BenchmarkCheck(b *testing.B) {
	p := deep(b)
	for b.Loop() {
		require.NoError(b, p.Check())
	}
}

func BenchmarkRehash(b *testing.B) {
	p := deep(b)
	for b.Loop() {
		require.NoError(b, p.Rehash())
	}
}
