package metal

import (
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"foundry/lower/plan"
)

// Without lifetimes there is no arena.
func TestPackNothing(t *testing.T) {
	require.Zero(t, pack(nil))
	require.Zero(t, mostLive(nil))
}

// Lifetimes that share a wave never share a byte, and the arena is within a tenth
// of what lives at once.
func TestPack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lives := make([]*lifetime, rapid.IntRange(1, 60).Draw(t, "count"))
		for i := range lives {
			first := rapid.IntRange(0, 40).Draw(t, "first")
			lives[i] = &lifetime{
				bytes: align(rapid.SampledFrom([]int64{4, 3584, 4608, 19456, 607744}).Draw(t, "bytes")),
				first: first, last: first + rapid.IntRange(0, 3).Draw(t, "length"),
			}
		}
		size := pack(lives)
		for i, a := range lives {
			require.Zero(t, a.offset%arenaAlign)
			require.LessOrEqual(t, a.offset+a.bytes, size)
			for _, b := range lives[:i] {
				if a.first <= b.last && b.first <= a.last {
					require.True(t, a.offset+a.bytes <= b.offset || b.offset+b.bytes <= a.offset, "%+v and %+v", a, b)
				}
			}
		}
		require.GreaterOrEqual(t, size, mostLive(lives))
		require.LessOrEqual(t, float64(size), 1.1*float64(mostLive(lives)))
	})
}

// No choice of barriers that separates all conflicts has fewer: all subsets of
// borders are tried.
func TestFewestBarriers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dispatches := make([][]span, rapid.IntRange(1, 9).Draw(t, "dispatches"))
		for i := range dispatches {
			for range rapid.IntRange(1, 3).Draw(t, "bindings") {
				lo := rapid.Int64Range(0, 6).Draw(t, "lo")
				dispatches[i] = append(dispatches[i], span{
					space: rapid.IntRange(-1, 1).Draw(t, "space"), lo: lo, hi: lo + rapid.Int64Range(1, 3).Draw(t, "bytes"),
					access: rapid.SampledFrom([]plan.Access{plan.Read, plan.Write, plan.ReadWrite}).Draw(t, "access"),
				})
			}
		}
		have := fewestBarriers(dispatches)
		require.False(t, have[0])
		mask, count := 0, 0
		for i, b := range have {
			if b {
				mask |= 1 << i
				count++
			}
		}
		require.True(t, separates(dispatches, mask))
		for m := range 1 << len(dispatches) {
			if m&1 == 0 && ones(m) < count {
				require.False(t, separates(dispatches, m), "%b has fewer barriers than %b", m, mask)
			}
		}
	})
}

func ones(m int) int {
	n := 0
	for ; m > 0; m &= m - 1 {
		n++
	}
	return n
}

// separates reports whether barriers before the dispatches in mask stand between
// any two that conflict.
func separates(dispatches [][]span, mask int) bool {
	for j := range dispatches {
		for i := range j {
			between := mask >> (i + 1) & (1<<(j-i) - 1)
			if between == 0 && conflict(dispatches[i], dispatches[j]) {
				return false
			}
		}
	}
	return true
}

// conflict reports whether two dispatches touch a byte that one of them writes.
func conflict(d, e []span) bool {
	for _, a := range d {
		for _, b := range e {
			if a.space == b.space && a.lo < b.hi && b.lo < a.hi && (a.access.Writes() || b.access.Writes()) {
				return true
			}
		}
	}
	return false
}

// Two dispatches meet where one binds a byte that the other does, of one storage: ranges that
// end where the other begins have none in common, and need no barrier.
func TestBindingsThatMeet(t *testing.T) {
	s, other := &storage{}, &storage{}
	e := &entry{dispatches: []*dispatch{{Dispatch: plan.Dispatch{Bind: []plan.Binding{{Offset: 0, Bytes: 512}, {Offset: 256, Bytes: 256}}}, bind: []*storage{other, s}}}}
	for _, c := range []struct {
		offset, bytes int64
		want          bool
	}{{0, 256, false}, {0, 257, true}, {300, 8, true}, {511, 1, true}, {512, 256, false}, {256, 256, true}, {0, 1024, true}} {
		require.Equal(t, c.want, e.meets(0, s, plan.Binding{Offset: c.offset, Bytes: c.bytes}), "%+v", c)
	}
	require.False(t, e.meets(0, &storage{}, plan.Binding{Offset: 256, Bytes: 256}), "another storage")
}

// They collide where one of them writes such a byte.
func TestDispatchesThatCollide(t *testing.T) {
	s := &storage{}
	at := func(offset, bytes int64, a plan.Access) *dispatch {
		return &dispatch{Dispatch: plan.Dispatch{Bind: []plan.Binding{{Offset: offset, Bytes: bytes, Access: a}}}, bind: []*storage{s}}
	}
	none := func(*storage) bool { return false }
	require.True(t, collide(at(0, 256, plan.Write), at(255, 8, plan.Read), none))
	require.True(t, collide(at(255, 8, plan.Read), at(0, 256, plan.Write), none))
	require.False(t, collide(at(0, 256, plan.Read), at(0, 256, plan.Read), none))
	require.False(t, collide(at(0, 256, plan.Write), at(256, 256, plan.Write), none))
	require.False(t, collide(at(256, 256, plan.Write), at(0, 256, plan.Write), none))
	require.False(t, collide(at(0, 256, plan.Write), at(0, 256, plan.Write), func(x *storage) bool { return x == s }))
}

// Where one could stand among others, below a limit: at either end of a gap that has room.
func TestEndsOfGaps(t *testing.T) {
	at := func(offset, bytes int64, first, last int) *lifetime {
		return &lifetime{offset: offset, bytes: bytes, first: first, last: last}
	}
	placed := []*lifetime{at(600, 100, 0, 4), at(100, 100, 0, 3), at(300, 100, 2, 2), at(450, 50, 0, 1)} // in any order; the last is over
	for _, c := range []struct {
		bytes, limit int64
		want         []int64
	}{
		{50, 1000, []int64{0, 50, 200, 250, 400, 550, 700, 950}},
		{100, 1000, []int64{0, 200, 400, 500, 700, 900}},
		{101, 1000, []int64{400, 499, 700, 899}},
		{200, 1000, []int64{400, 700, 800}},
		{300, 1000, []int64{700}},
		{301, 1000, nil},
		{300, 999, nil},
		{100, 700, []int64{0, 200, 400, 500}},
		{1, 701, []int64{0, 99, 200, 299, 400, 599, 700}},
	} {
		require.Equal(t, c.want, ends(placed, at(0, c.bytes, 2, 9), c.limit), "%+v", c)
	}
	require.Equal(t, []int64{0, 90}, ends(nil, at(0, 10, 0, 0), 100))
	require.Equal(t, []int64{0}, ends(nil, at(0, 100, 0, 0), 100))
	require.Equal(t, []int64{700}, ends(placed, at(0, 300, 4, 9), 1000)[2:], "of those that live on, one")
}

// Where transients lie is what every plan binds, and changes on purpose only: of two hundred sets
// of lifetimes, how many are as tight as what lives at once, within a 32nd of it, within a twelfth,
// and looser, and a sum over all places.
func TestPacksAlike(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 1))
	var tight [4]int
	sum := crc32.NewIEEE()
	for range 200 {
		lives := make([]*lifetime, 10+r.IntN(60))
		waves, longest, most := 4+r.IntN(20), 2+r.IntN(9), 4+r.Int64N(40)
		for i := range lives {
			first := r.IntN(waves)
			lives[i] = &lifetime{bytes: align(4 + 256*r.Int64N(most)), first: first, last: first + r.IntN(longest)}
		}
		size, least := pack(lives), mostLive(lives)
		switch {
		case size == least:
			tight[0]++
		case size <= align(least+least/32):
			tight[1]++
		case size <= align(least+least/12):
			tight[2]++
		default:
			tight[3]++
		}
		for _, l := range lives {
			fmt.Fprintln(sum, l.offset)
		}
	}
	require.Equal(t, [4]int{124, 57, 17, 2}, tight)
	require.Equal(t, uint32(0xa0390da8), sum.Sum32())
}
