package cost_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir/cost"
	"foundry/ir/target"
)

// fastest returns the form with the least predicted time.
func fastest(r cost.SoftmaxRows, t *target.Target) cost.SoftmaxForm {
	best, us := cost.SoftmaxForm{}, r.Us(cost.SoftmaxForm{}, t)
	for _, f := range r.Cuts() {
		if x := r.Us(f, t); x < us {
			best, us = f, x
		}
	}
	return best
}

func rowsOf(n, length int64) cost.SoftmaxRows {
	return cost.SoftmaxRows{Rows: n, Length: length, Most: length, Bytes: float64(4 * n * length)}
}

// The form follows from the target's numbers: few long rows are cut, many are not,
// and where a barrier costs nothing shorter ones are cut than where it costs much.
func TestSoftmaxForm(t *testing.T) {
	h100 := find(t, "h100")
	require.Zero(t, fastest(rowsOf(14, 255), h100))
	require.NotZero(t, fastest(rowsOf(1, 100_000), h100))
	require.Zero(t, fastest(rowsOf(5000, 100_000), h100), "the rows alone fill the machine")
	shortest := func(change func(*target.Target)) int64 {
		x := *h100
		change(&x)
		for n := int64(256); n < 1<<24; n += n / 8 {
			if fastest(rowsOf(1, n), &x) != (cost.SoftmaxForm{}) {
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
