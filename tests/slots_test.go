package tests

import (
	"encoding/csv"
	"math"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/stat"

	"foundry"
	"foundry/ir/cost"
	"foundry/ir/dtype"
	"foundry/ir/sym"
	"foundry/lower/compile"
)

// measuredRows is where times of products over rows stand, each kernel alone.
const measuredRows = "../ir/cost/testdata/rows-h200.csv"

// TestRowsAsMeasured predicts the products of a decode step in every format and compares
// their order, a format at a time, and all times' scale with what an H200 took
// (foundry bench --device cuda --kernels --variants fewest).
func TestRowsAsMeasured(t *testing.T) {
	f, err := os.Open(measuredRows)
	require.NoError(t, err)
	defer f.Close()
	r := csv.NewReader(f)
	r.Comment = '#'
	lines, err := r.ReadAll()
	require.NoError(t, err)
	type times struct{ predicted, measured []float64 }
	byFormat, graphs := map[string]*times{}, map[string]map[string]float64{}
	for _, l := range lines[1:] { // model, weights, dispatch, us
		key := l[0] + " " + l[1]
		if graphs[key] == nil {
			graphs[key] = predictRows(t, l[0], l[1])
		}
		us, err := strconv.ParseFloat(l[3], 64)
		require.NoError(t, err)
		predicted := graphs[key][l[2]]
		require.NotZero(t, predicted, "%v: no such node", l)
		x := byFormat[l[1]]
		if x == nil {
			x = &times{}
			byFormat[l[1]] = x
		}
		x.predicted, x.measured = append(x.predicted, predicted), append(x.measured, us)
	}
	for format, x := range byFormat {
		rank, logs := stat.Correlation(placesOf(x.predicted), placesOf(x.measured), nil), 0.0
		for i := range x.predicted {
			logs += math.Log(x.measured[i] / x.predicted[i])
		}
		scale := math.Exp(logs / float64(len(x.predicted)))
		t.Logf("%-18s %d kernels, rank correlation %.3f, measured %.2f times the prediction: %.1f us against %.1f", format, len(x.measured), rank, scale, x.measured, x.predicted)
		require.GreaterOrEqual(t, rank, 0.9, format)
		require.InDelta(t, 0, math.Log(scale), math.Log(1.6), "%s: the scale of predictions", format)
	}
}

// predictRows returns the time of each node of a decode step behind 128 tokens, alone on an
// H200, with a launch.
func predictRows(t *testing.T, size, weights string) map[string]float64 {
	t.Helper()
	w, err := dtype.ParseWeights(weights)
	require.NoError(t, err)
	m, err := foundry.Open("synth:qwen2.5-"+size, foundry.Hub{})
	require.NoError(t, err)
	g, err := compile.Fuse(m.WithLayers(2), compile.Options{Weights: w, Target: "h200", Variant: "fewest", Context: 512})
	require.NoError(t, err)
	out := map[string]float64{}
	for _, e := range g.Entries {
		if e.Name != "decode" {
			continue
		}
		run := cost.Run{Target: g.Target, Bounds: e.Bounds, Env: sym.Env{T: 1, P: 128}}
		for _, n := range e.Nodes() {
			if ks := run.Kernels(n); len(ks) > 0 {
				out[strings.TrimPrefix(n.Label, "layers.0.")] = ks[0].Us(g.Target) + g.Target.DispatchUs
			}
		}
	}
	return out
}

// placesOf is the place of each value among all of them.
func placesOf(values []float64) []float64 {
	out := make([]float64, len(values))
	for i, v := range values {
		for _, w := range values {
			if w < v {
				out[i]++
			}
		}
	}
	return out
}
