package cost_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir/cost"
	"foundry/ir/kernel"
	"foundry/ir/target"
	"foundry/ir/task"
)

// The form of a softmax follows from the target's numbers: few long rows are cut, many are
// not, and where a barrier costs nothing shorter ones are cut than where it costs much.
func TestSoftmaxForm(t *testing.T) {
	h100 := find(t, "h100")
	cut := func(rows, length int64, x *target.Target) bool {
		g := parse(t, fmt.Sprintf("graph @g (T=1..1, P=0..0, S<=1) {\n%%x = input \"x\" : f32[%d, %d]\n%%y = softmax %%x {causal=false, start=0}\nreturn y=%%y\n}", rows, length))
		r, err := task.In(g.Nodes()[0], g.Bounds, x)
		require.NoError(t, err)
		chosen, err := cost.Choose(r, x)
		require.NoError(t, err)
		_, segments := chosen.(kernel.SoftmaxSegments)
		return segments
	}
	require.False(t, cut(14, 255, h100))
	require.True(t, cut(1, 100_000, h100))
	require.False(t, cut(5000, 100_000, h100), "the rows alone fill the machine")
	shortest := func(change func(*target.Target)) int64 {
		x := *h100
		change(&x)
		for n := int64(256); n < 1<<24; n += n / 8 {
			if cut(1, n, &x) {
				return n
			}
		}
		return 1 << 24
	}
	usual := shortest(func(*target.Target) {})
	require.Less(t, shortest(func(x *target.Target) { x.DispatchUs, x.WaveUs, x.LatencyUs = 0, 0, 0 }), usual)
	require.Greater(t, shortest(func(x *target.Target) { x.WaveUs = 20 }), usual)
	require.Greater(t, shortest(func(x *target.Target) { x.Cores = 1 }), usual)
	t.Logf("h100 cuts one row from %d elements on", usual)
}
