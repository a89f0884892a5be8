package bench

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/stat"

	"foundry/ir/target"
	"foundry/runtime/engine"
)

// Score says how well the cost model ranks variants that were measured.
type Score struct {
	Model    string     `json:"model"`
	Device   string     `json:"device"`
	Phase    string     `json:"phase"`
	Target   string     `json:"target"`   // the target whose costs predicted
	Note     string     `json:"note"`     // the source of that target's numbers
	Spearman float64    `json:"spearman"` // rank correlation: 1 is the same order, 0 none, -1 the reverse
	Rows     []ScoreRow `json:"rows"`     // rows in the predicted order
}

// ScoreRow is one variant; ranks count from 1, the fastest. Variants that tie share
// the mean of their ranks.
type ScoreRow struct {
	Variant       string  `json:"variant"`
	PredictedRank float64 `json:"predicted_rank"`
	MeasuredRank  float64 `json:"measured_rank"`
	PredictedUs   float64 `json:"predicted_us"`
	MeasuredUs    float64 `json:"measured_us"` // median of the measured times
}

// ScoreOf compares the predicted and the measured order of rows, which Bench has
// measured. Rows whose order is noise share their rank. Spearman's coefficient is Pearson's of the ranks.
func ScoreOf(rows []Row) (*Score, error) {
	if len(rows) < 3 {
		return nil, fmt.Errorf("%d variants are too few to compare orders; take three or more", len(rows))
	}
	s := &Score{Model: rows[0].Model, Device: rows[0].Device, Phase: rows[0].Phase}
	kind, _, err := engine.ParseDevice(s.Device)
	if err != nil {
		return nil, err
	}
	for name := range rows[0].Modelled {
		if s.Target == "" || name == kind { // the device's own costs, where it has some
			s.Target = name
		}
	}
	if s.Target == "" {
		return nil, errors.New("a plan from disk has no prediction; compile the variants")
	}
	t, err := target.Find(s.Target)
	if err != nil {
		return nil, err
	}
	s.Note = t.Note
	var predicted, measured []float64
	for i := range rows {
		if rows[i].Measured == nil {
			return nil, errors.New("nothing was measured; give --reps of 1 or more")
		}
		predicted = append(predicted, rows[i].Modelled[s.Target])
		measured = append(measured, rows[i].Measured.Median)
	}
	byPrediction, byMeasurement := ranks(predicted), ranks(withoutNoise(rows, measured))
	for i := range rows {
		s.Rows = append(s.Rows, ScoreRow{rows[i].Variant, byPrediction[i], byMeasurement[i], predicted[i], measured[i]})
	}
	slices.SortStableFunc(s.Rows, func(a, b ScoreRow) int { return cmp.Compare(a.PredictedRank, b.PredictedRank) })
	s.Spearman = stat.Correlation(byPrediction, byMeasurement, nil)
	if math.IsNaN(s.Spearman) {
		return nil, errors.New("all variants are predicted, or measured, alike: there is no order to compare")
	}
	return s, nil
}

// withoutNoise returns the measured times, those alike that noise alone would order: in
// order of time, a row has the time of the first before it from which its samples do not
// surely differ.
func withoutNoise(rows []Row, measured []float64) []float64 {
	order := make([]int, len(rows))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(measured[a], measured[b]) })
	out, first := slices.Clone(measured), order[0]
	for _, i := range order { // the first does not differ from itself
		if len(rows[i].Samples) > 1 && len(rows[first].Samples) > 1 && !difference(rows[i].Samples, rows[first].Samples).Sure() {
			out[i] = measured[first]
		} else {
			first = i
		}
	}
	return out
}

// markNoise notes of each row the next faster one, where noise alone may have ordered
// the two: their samples do not surely differ.
func markNoise(rows []Row) {
	var order []*Row
	for i := range rows {
		if len(rows[i].Samples) > 1 {
			order = append(order, &rows[i])
		}
	}
	if len(order) > mostSeparate {
		return // of many rows most lie within noise of the next
	}
	slices.SortStableFunc(order, func(a, b *Row) int { return cmp.Compare(a.Measured.Median, b.Measured.Median) })
	for i := 1; i < len(order); i++ {
		if !difference(order[i].Samples, order[i-1].Samples).Sure() {
			order[i].NoiseWith = order[i-1].Variant
		}
	}
}

// ranks numbers values from the smallest, which is 1; equal ones share the mean.
func ranks(values []float64) []float64 {
	order := make([]int, len(values))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(values[a], values[b]) })
	out := make([]float64, len(values))
	for lo := 0; lo < len(order); {
		hi := lo + 1
		for hi < len(order) && values[order[hi]] == values[order[lo]] {
			hi++
		}
		for _, i := range order[lo:hi] {
			out[i] = float64(lo+1+hi) / 2
		}
		lo = hi
	}
	return out
}
