package plan

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// withoutStep returns p with step i of its first entry left out.
func withoutStep(p *Plan, i int) *Plan {
	q, e := *p, p.Entries[0]
	e.Steps = slices.Delete(slices.Clone(e.Steps), i, i+1)
	q.Entries = []Entry{e}
	return &q
}

func withBarrier(p *Plan, i int) *Plan {
	q, e := *p, p.Entries[0]
	e.Steps = slices.Insert(slices.Clone(e.Steps), i, Step{Barrier: true})
	q.Entries = []Entry{e}
	return &q
}

func TestEveryBarrierOfTheSampleIsNeeded(t *testing.T) {
	p := sample(t)
	require.NoError(t, p.CheckHazards())

	var h *Hazard
	require.ErrorAs(t, withoutStep(p, 1).CheckHazards(), &h)
	require.Equal(t, Hazard{Entry: "prefill", Kind: "RAW", First: "embed", Second: "layers.0.scale",
		FirstStep: 0, SecondStep: 1, Buffer: "x", Lo: 0, Hi: 2048}, *h)
	require.ErrorAs(t, withoutStep(p, 3).CheckHazards(), &h)
	require.Equal(t, []string{"RAW", "layers.0.scale", "pick", "y"}, []string{h.Kind, h.First, h.Second, h.Buffer})

	// Without its data dependences, the last dispatch still writes what the
	// first one reads: the barrier stays needed only as long as one of both is there.
	dispatch(p, 1).Bind[3].Buffer = 5
	dispatch(p, 1).Bind[0] = Binding{6, 0, 2048, Read}
	dispatch(p, 2).Bind[0] = Binding{4, 0, 2048, Read}
	require.ErrorContains(t, withoutStep(p, 1).CheckHazards(), "WAW hazard")
}

func TestPlantedHazards(t *testing.T) {
	for kind, access := range map[string][2]Access{
		"RAW": {Write, Read}, "WAR": {Read, Write}, "WAW": {Write, Write},
	} {
		t.Run(kind, func(t *testing.T) {
			p := line(func(i int) []Binding {
				return []Binding{{0, int64(i) * 64, 64, Write}}
			}, 5)
			require.NoError(t, p.CheckHazards(), "disjoint writes need no barrier")
			steps := p.Entries[0].Steps
			steps[1].Dispatch.Bind = append(steps[1].Dispatch.Bind, Binding{1, 100, 50, access[0]})
			steps[3].Dispatch.Bind = append(steps[3].Dispatch.Bind, Binding{1, 149, 10, access[1]})
			var h *Hazard
			require.ErrorAs(t, p.CheckHazards(), &h)
			require.Equal(t, Hazard{Entry: "e", Kind: kind, First: "d1", Second: "d3", FirstStep: 1, SecondStep: 3,
				Buffer: "b1", Lo: 149, Hi: 150}, *h)
			require.NoError(t, withBarrier(p, 2).CheckHazards())
			require.NoError(t, withBarrier(p, 3).CheckHazards())
			var r *RedundantBarrier
			require.ErrorAs(t, withBarrier(withBarrier(p, 3), 5).CheckHazards(), &r)
			require.Equal(t, RedundantBarrier{"e", 5, "d3", "d4"}, *r)
			steps[3].Dispatch.Bind[1].Offset = 150
			require.NoError(t, p.CheckHazards(), "ranges that touch do not overlap")
		})
	}
}

// Transients meet in the arena, whatever buffer they belong to.
func TestHazardThroughTheArena(t *testing.T) {
	p := line(func(i int) []Binding { return []Binding{{2 + i, 0, 512, Write}} }, 2)
	p.Buffers[3].Offset = 256
	var h *Hazard
	require.ErrorAs(t, p.CheckHazards(), &h)
	require.Equal(t, []any{"WAW", "b3", int64(0), int64(256)}, []any{h.Kind, h.Buffer, h.Lo, h.Hi})
	p.Buffers[3].Offset = 512
	require.NoError(t, p.CheckHazards())
}

func TestBarriersThatSeparateNothing(t *testing.T) {
	p := sample(t)
	for at, want := range map[int]RedundantBarrier{
		0: {"prefill", 0, "", "embed"},
		1: {"prefill", 1, "embed", "layers.0.scale"},
		5: {"prefill", 5, "pick", ""},
	} {
		var r *RedundantBarrier
		require.ErrorAs(t, withBarrier(p, at).CheckHazards(), &r)
		require.Equal(t, want, *r)
	}
}

// A boundary between command buffers is no barrier.
func TestCommandBuffersDoNotOrder(t *testing.T) {
	p := sample(t)
	e := &p.Entries[0]
	e.Steps = slices.Delete(e.Steps, 1, 2)
	e.CommandBuffers = []CommandBuffer{{0, 1}, {1, 4}}
	require.ErrorContains(t, p.CheckHazards(), "RAW hazard")
}

// line is an entry of n dispatches without barriers over two state buffers and
// three transients.
func line(bind func(i int) []Binding, n int) *Plan {
	p := &Plan{ArenaBytes: 2048, Entries: []Entry{{Name: "e"}}}
	for i := range 5 {
		b := Buffer{Name: fmt.Sprintf("b%d", i), Class: State, Bytes: 512}
		if i >= 2 {
			b.Class = Transient
		}
		p.Buffers = append(p.Buffers, b)
	}
	for i := range n {
		p.Entries[0].Steps = append(p.Entries[0].Steps, Step{Dispatch: &Dispatch{Label: fmt.Sprintf("d%d", i), Bind: bind(i)}})
	}
	return p
}

// conflict says, byte for byte, whether two dispatches must not overlap in time.
func conflict(p *Plan, a, b *Dispatch) bool {
	type key struct {
		space int
		at    int64
	}
	reads, writes := map[key]bool{}, map[key]bool{}
	bytes := func(x Binding, do func(key)) {
		space, base := x.Buffer, int64(0)
		if p.Buffers[x.Buffer].Class == Transient {
			space, base = 1000, p.Buffers[x.Buffer].Offset
		}
		for i := range x.Bytes {
			do(key{space, base + x.Offset + i})
		}
	}
	for _, x := range a.Bind {
		bytes(x, func(k key) {
			reads[k] = reads[k] || x.Access.Reads()
			writes[k] = writes[k] || x.Access.Writes()
		})
	}
	found := false
	for _, x := range b.Bind {
		bytes(x, func(k key) {
			found = found || writes[k] || reads[k] && x.Access.Writes()
		})
	}
	return found
}

// drawPlan draws dispatches with small random ranges, and puts a barrier before
// a dispatch that conflicts with its wave: so all are needed and none is missing.
func drawPlan(t *rapid.T) *Plan {
	access := rapid.SampledFrom([]Access{Read, Read, Write, ReadWrite})
	p := line(func(int) []Binding {
		bind := make([]Binding, rapid.IntRange(1, 3).Draw(t, "slots"))
		for j := range bind {
			bind[j] = Binding{
				Buffer: rapid.IntRange(0, 4).Draw(t, "buffer"), Offset: rapid.Int64Range(0, 40).Draw(t, "offset"),
				Bytes: rapid.Int64Range(1, 24).Draw(t, "bytes"), Access: access.Draw(t, "access"),
			}
		}
		return bind
	}, rapid.IntRange(1, 12).Draw(t, "dispatches"))
	for i := 2; i < 5; i++ {
		p.Buffers[i].Offset = rapid.Int64Range(0, 100).Draw(t, "place")
	}
	e := &p.Entries[0]
	var steps []Step
	var wave []*Dispatch
	for _, s := range e.Steps {
		if slices.ContainsFunc(wave, func(d *Dispatch) bool { return conflict(p, d, s.Dispatch) }) {
			steps, wave = append(steps, Step{Barrier: true}), nil
		}
		steps, wave = append(steps, s), append(wave, s.Dispatch)
	}
	e.Steps = steps
	return p
}

func TestCheckerOnRandomPlans(t *testing.T) {
	deleted, added := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		p := drawPlan(t)
		require.NoError(t, p.CheckHazards())
		for i, s := range p.Entries[0].Steps {
			if s.Barrier {
				q := withoutStep(p, i)
				var h *Hazard
				require.ErrorAs(t, q.CheckHazards(), &h)
				steps := q.Entries[0].Steps
				require.True(t, conflict(q, steps[h.FirstStep].Dispatch, steps[h.SecondStep].Dispatch), "%v", h)
				require.False(t, slices.ContainsFunc(steps[h.FirstStep:h.SecondStep], func(s Step) bool { return s.Barrier }))
				require.True(t, h.FirstStep < i && i <= h.SecondStep, "the pair stands on both sides of the barrier")
				deleted++
			}
			var r *RedundantBarrier
			require.ErrorAs(t, withBarrier(p, i).CheckHazards(), &r)
			added++
		}
	})
	if !testing.Short() { // which draws too few to count on
		require.Greater(t, deleted, 100)
		require.Greater(t, added, 100)
	}
}

// What is said of a barrier that separates nothing names its neighbours in their order.
func TestRedundantBarrierSays(t *testing.T) {
	err := (&RedundantBarrier{Entry: "decode", Step: 3, Before: "first", After: "second"}).Error()
	require.Equal(t, `entry decode: the barrier at step 3, between dispatch "first" and dispatch "second", separates no conflicting pair`, err)
}
