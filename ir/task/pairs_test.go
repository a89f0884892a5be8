package task

import (
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir"
	"foundry/ir/target"
)

// Of a pair that is turned, one element's walk notes that the other is there, whichever half
// it lies in.
func TestPairsAreHadTogether(t *testing.T) {
	g, err := ir.Parse("x.fir", `graph @g (T=1..4, P=0..4, S<=8) {
  %x = input "x" : f32[T, 2, 8]
  %f = weight "f" : f32[4]
  %y = rope %x, %f {start=P}
  return y=%y
}`)
	require.NoError(t, err)
	x, err := target.Find(target.Default)
	require.NoError(t, err)
	r, err := Of(g.Nodes()[0], g.Bounds, x)
	require.NoError(t, err)
	for _, column := range []int64{1, 5} {
		w := NewWalk(r, 1, nil)
		other := 6 - column // the other of its pair, half a head away
		y := r.Graph.Results[0].Value
		w.Reach(y, []Index{Number(2), Number(1), Number(column)})
		require.NoError(t, w.Err)
		require.True(t, w.has(y, []Index{Number(2), Number(1), Number(other)}), "column %d", column)
		require.False(t, w.has(y, []Index{Number(2), Number(1), Number(2)}), "column %d", column)
	}
}
