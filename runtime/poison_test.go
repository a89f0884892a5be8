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
