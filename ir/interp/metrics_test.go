package interp_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir/interp"
)

func TestCompare(t *testing.T) {
	d := interp.Compare([]float32{1, 2, 2.5}, []float64{1, 2, 2})
	require.Equal(t, interp.Difference{NMSE: 0.25 / 9, MaxAbs: 0.5, MaxULP: 1 << 21, At: 2}, d)
	inf, nan := math.Inf(1), math.NaN()
	for _, c := range []struct{ have, want, nmse, abs float64 }{
		{0, 0, 0, 0}, {inf, inf, 0, 0}, {nan, nan, 0, 0},
		{1, 0, inf, 1}, {nan, 1, inf, inf}, {1, nan, inf, inf}, {inf, 1, inf, inf}, {-inf, inf, inf, inf},
	} {
		d := interp.Compare([]float64{c.have, 3}, []float64{c.want, 3})
		if c.want == 0 && c.have != 0 {
			d = interp.Compare([]float64{c.have}, []float64{c.want})
		}
		require.Equal(t, c.nmse, d.NMSE, "%v", c)
		require.Equal(t, c.abs, d.MaxAbs, "%v", c)
	}
	least := float64(math.SmallestNonzeroFloat32)
	require.Equal(t, uint64(2), interp.Compare([]float64{least}, []float64{-least}).MaxULP)
	require.Panics(t, func() { interp.Compare([]float32{1}, []float32{}) })
}

func TestKL(t *testing.T) {
	// Probabilities 1/4, 3/4 and 1/2, 1/2, with different offsets of the logits.
	pq, qp := interp.KL([]float64{5, 5 + math.Log(3)}, []float32{-2, -2})
	require.InDelta(t, 0.25*math.Log(0.5)+0.75*math.Log(1.5), pq, 1e-15)
	require.InDelta(t, 0.5*math.Log(2)+0.5*math.Log(2./3), qp, 1e-15)
	pq, qp = interp.KL([]float64{0, math.Inf(-1)}, []float64{0, 0})
	require.InDelta(t, math.Ln2, pq, 1e-15)
	require.Equal(t, math.Inf(1), qp)
}

func TestAgreement(t *testing.T) {
	margins := []float64{1, 0.01, 1}
	for _, c := range []struct {
		have []int32
		same int
		ok   bool
	}{
		{[]int32{7, 8, 9}, 3, true}, {[]int32{7, 8}, 2, true}, {[]int32{7, 5, 5}, 1, true},
		{[]int32{7, 8, 5}, 2, false}, {[]int32{5, 8, 9}, 0, false},
	} {
		same, ok := interp.Agreement(c.have, []int32{7, 8, 9}, margins, 0.02)
		require.Equal(t, c.same, same, "%v", c)
		require.Equal(t, c.ok, ok, "%v", c)
	}
}
