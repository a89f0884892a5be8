package tests

import (
	"encoding/csv"
	"math"
	"os"
	"regexp"
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

// measuredRow is a line of it.
type measuredRow struct {
	model, weights, kernel string
	bytes, us, readGBs     float64
}

var measuredRowColumns = []string{"model", "weights", "kernel", "bytes", "us", "read_gb_s"}

func readMeasuredRows(t *testing.T) (out []measuredRow) {
	t.Helper()
	f, err := os.Open(measuredRows)
	require.NoError(t, err)
	defer f.Close()
	r := csv.NewReader(f)
	r.Comment = '#'
	lines, err := r.ReadAll()
	require.NoError(t, err)
	require.Equal(t, measuredRowColumns, lines[0])
	for _, l := range lines[1:] {
		x := measuredRow{model: l[0], weights: l[1], kernel: l[2]}
		for i, to := range []*float64{&x.bytes, &x.us, &x.readGBs} {
			*to, err = strconv.ParseFloat(l[3+i], 64)
			require.NoError(t, err, l)
		}
		out = append(out, x)
	}
	return out
}

// productNames are the beginnings of products' kernels and the nodes that get them; of
// residuals, the one behind attention has as many columns as rows.
var productNames = map[string]string{"gate_up": "gate_up", "qkv": "qkv", "head": "lm_head", "residual": "resid_mlp"}

var residualShape = regexp.MustCompile(`^residual_(\d+)x(\d+)_`)

// productOf is the label of the node of a kernel's name; "" where it is no product.
func productOf(kernel string) string {
	if m := residualShape.FindStringSubmatch(kernel); m != nil && m[1] == m[2] {
		return "resid_attn"
	}
	for prefix, label := range productNames {
		if strings.HasPrefix(kernel, prefix) {
			return label
		}
	}
	return ""
}

// TestRowsAsMeasured predicts the products of a decode step in every format and compares
// their order, a format at a time, and all times' scale with what an H200 took
// (scripts/nvidia.sh formats).
func TestRowsAsMeasured(t *testing.T) {
	type times struct{ predicted, measured []float64 }
	byFormat, graphs := map[string]*times{}, map[string]map[string]float64{}
	for _, m := range readMeasuredRows(t) {
		key := m.model + " " + m.weights
		if graphs[key] == nil {
			graphs[key] = predictRows(t, m.model, m.weights)
		}
		predicted := graphs[key][productOf(m.kernel)]
		require.NotZero(t, predicted, "%v: no such node", m)
		x := byFormat[m.weights]
		if x == nil {
			x = &times{}
			byFormat[m.weights] = x
		}
		x.predicted, x.measured = append(x.predicted, predicted), append(x.measured, m.us)
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
