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

// Rows of a score stand in the predicted order, whatever was measured; without a prediction,
// or a measurement, there is none.
func TestRowsOfAScore(t *testing.T) {
	row := func(name string, predicted, measured float64) Row {
		return Row{Model: "m", Device: engine.CPU, Phase: "decode", Variant: name, Modelled: map[string]float64{"cpu": predicted}, Measured: &Spread{Median: measured}}
	}
	rows := []Row{row("b", 2, 10), row("c", 3, 30), row("a", 1, 20)}
	s, err := ScoreOf(rows)
	require.NoError(t, err)
	require.Equal(t, []ScoreRow{{"a", 1, 2, 1, 20}, {"b", 2, 1, 2, 10}, {"c", 3, 3, 3, 30}}, s.Rows)
	require.Equal(t, []string{"m", engine.CPU, "decode", "cpu"}, []string{s.Model, s.Device, s.Phase, s.Target})
	rows[1].Measured = nil
	_, err = ScoreOf(rows)
	require.EqualError(t, err, "nothing was measured; give --reps of 1 or more")
	for i := range rows {
		rows[i].Modelled = nil
	}
	_, err = ScoreOf(rows)
	require.EqualError(t, err, "a plan from disk has no prediction; compile the variants")
}

// A row whose samples do not surely differ from the next faster one's says so; of one sample,
// and of lists in which most lie within noise of the next, nothing is said.
func TestMarksOfNoise(t *testing.T) {
	row := func(name string, samples ...float64) Row {
		spread := spread(samples)
		return Row{Variant: name, Samples: samples, Measured: &spread}
	}
	rows := []Row{row("slow", 50, 51, 52, 50, 51, 52), row("noisy", 9, 11, 12, 11, 13, 8), row("once", 10), row("fast", 10, 11, 12, 9, 10, 11), {Variant: "none"}}
	markNoise(rows)
	var marks []string
	for _, r := range rows {
		marks = append(marks, r.NoiseWith)
	}
	require.Equal(t, []string{"", "fast", "", "", ""}, marks)
	for n, marked := range map[int]bool{mostSeparate: true, mostSeparate + 1: false} {
		var many []Row
		for range n {
			many = append(many, row("x", 1, 2, 3))
		}
		markNoise(many)
		require.Equal(t, marked, many[n-1].NoiseWith != "", "%d", n)
	}
	markNoise(nil)
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
