package bench

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/runtime/engine"
)

func TestRanks(t *testing.T) {
	require.Equal(t, []float64{2, 3.5, 1, 3.5}, ranks([]float64{5, 7, 1, 7}))
}

// Spearman's coefficient, worked out by hand: 1 - 6 * sum(d^2) / (n * (n^2 - 1)).
func TestScore(t *testing.T) {
	row := func(predicted, measured float64) Row {
		return Row{Device: engine.CPU, Modelled: map[string]float64{"apple-m3-pro": 1, "cpu": predicted}, Measured: &Spread{Median: measured}}
	}
	for _, x := range []struct {
		rows []Row
		want float64
	}{
		{[]Row{row(1, 10), row(2, 20), row(3, 30), row(4, 40)}, 1},
		{[]Row{row(1, 40), row(2, 30), row(3, 20), row(4, 10)}, -1},
		{[]Row{row(1, 20), row(2, 10), row(3, 30), row(4, 40)}, 1 - 6*2.0/60},
	} {
		s, err := ScoreOf(x.rows)
		require.NoError(t, err)
		require.Equal(t, "cpu", s.Target)
		require.InDelta(t, x.want, s.Spearman, 1e-12)
	}
	_, err := ScoreOf([]Row{row(1, 1), row(1, 2), row(1, 3)})
	require.ErrorContains(t, err, "no order to compare")
	_, err = ScoreOf([]Row{row(1, 1), row(2, 2)})
	require.ErrorContains(t, err, "too few")
}

// Rows that noise alone orders share a rank; those that surely differ do not.
func TestNoiseOrdersNothing(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 8))
	var rows []Row
	var measured []float64
	for _, level := range []float64{100, 101, 200, 201, 400} {
		var row Row
		for range 12 {
			row.Samples = append(row.Samples, level*(1+0.05*r.NormFloat64()))
		}
		rows, measured = append(rows, row), append(measured, median(row.Samples))
	}
	alike := withoutNoise(rows, measured)
	require.Equal(t, []float64{1.5, 1.5, 3.5, 3.5, 5}, ranks(alike))
	require.Equal(t, []float64{min(measured[0], measured[1]), min(measured[2], measured[3]), measured[4]}, []float64{alike[0], alike[2], alike[4]}, "the fastest's time")
	for i := range rows {
		rows[i].Samples = rows[i].Samples[:1]
	}
	require.Equal(t, measured, withoutNoise(rows, measured), "of one sample noise is not known")
}
