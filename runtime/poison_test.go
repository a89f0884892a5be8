package runtime

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
)

// A run finds nothing of the run before in the arena, nor zeros: what no kernel wrote
// is NaN, in every run.
func TestRunsFindNoOldResults(t *testing.T) {
	x, _ := loadToy(t, nil)
	in := newInstance(t, x)
	const scores = 256 // where the arena's only buffer begins
	for p, id := range []int32{3, 1, 4} {
		require.NoError(t, in.arena.Write(0, make([]byte, scores)))
		_, err := in.Prefill(context.Background(), p, []int32{id})
		require.NoError(t, err)
		b := make([]byte, scores)
		require.NoError(t, in.arena.Read(0, b))
		for i, v := range b {
			require.EqualValues(t, 0xff, v, "byte %d of run %d", i, p)
		}
	}
}

// Poison goes to what an entry's launches are bound to, and to as much around it that a
// kernel which reads next to its operands finds no old result; two buffers that lie so
// near each other are one stretch.
func TestPoisonLiesAroundWhatIsBound(t *testing.T) {
	arena := &fakeMemory{b: make([]byte, 100<<10)}
	other := &fakeMemory{b: make([]byte, 100<<10)}
	at := func(m Memory, kilobytes int64) Operand {
		return Operand{Memory: m, Offset: kilobytes << 10, Bytes: 1 << 10}
	}
	w := &walk{arena: arena, launches: []Launch{{Bind: []Operand{at(arena, 60), at(other, 40)}}, {}, {Bind: []Operand{at(arena, 2), at(arena, 69), at(arena, 99)}}}}
	require.Equal(t, []stretch{{0, 7 << 10}, {56 << 10, 74 << 10}, {95 << 10, 100 << 10}}, w.poisoned())
}
