package cost

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/optimize"

	"foundry/ir/target"
)

// fitted are the constants that times of tiles which expand weights decide, and nothing else
// does; rates are measured by themselves, and slots are counted.
var fitted = []struct {
	name string
	of   func(*target.Target) *float64
}{
	{"ExpandStepUs", func(t *target.Target) *float64 { return &t.ExpandStepUs }},
	{"ExpandThreads", func(t *target.Target) *float64 { return &t.ExpandThreads }},
}

// measuredTiles are the times of tiles by the target that they were measured on.
func measuredTiles(t *testing.T) map[string][]timing {
	t.Helper()
	return map[string][]timing{"h100": timings(t, "tiles-h100.csv"), "h200": timings(t, "tiles-h200.csv")}
}

// misfit is the root mean square of the logarithms of predicted to measured times, each
// target with constants of its name.
func misfit(t *testing.T, all map[string][]timing, constants []float64) float64 {
	t.Helper()
	sum, count := 0.0, 0
	for name, measured := range all {
		x, err := target.Find(name)
		require.NoError(t, err)
		for i, c := range fitted {
			*c.of(x) = constants[i]
		}
		for _, m := range measured {
			n := m.numbers()
			for block := range n.tilings(x) {
				if same(m.block, block) {
					v := math.Log(n.predicted(n.tiled(block, x), x) / m.us)
					sum, count = sum+v*v, count+1
				}
			}
		}
	}
	return math.Sqrt(sum / float64(count))
}

// The constants of h100 and h200 predict what was measured on both nearly as well as any
// could: those that fit best, which -v prints, are less than a twentieth better.
func TestConstantsFit(t *testing.T) {
	x, err := target.Find("h200")
	require.NoError(t, err)
	all := measuredTiles(t)
	have, logs := make([]float64, len(fitted)), make([]float64, len(fitted))
	for i, c := range fitted {
		have[i] = *c.of(x)
		logs[i] = math.Log(have[i])
	}
	exp := func(logs []float64) []float64 {
		out := make([]float64, len(logs))
		for i, v := range logs {
			out[i] = math.Exp(v)
		}
		return out
	}
	result, err := optimize.Minimize(optimize.Problem{Func: func(logs []float64) float64 { return misfit(t, all, exp(logs)) }},
		logs, &optimize.Settings{FuncEvaluations: 2000}, &optimize.NelderMead{})
	require.NoError(t, err)
	best := exp(result.X)
	for i, c := range fitted {
		t.Logf("%-13s %.3f, best %.3f", c.name, have[i], best[i])
	}
	t.Logf("root mean square of ln(predicted / measured): %.3f, best %.3f", misfit(t, all, have), result.F)
	require.LessOrEqual(t, misfit(t, all, have), 1.05*result.F)
}
