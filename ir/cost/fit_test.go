package cost

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/optimize"

	"foundry/ir/target"
)

// fitted are the constants of a target that times of tiles decide, and nothing else does;
// its rates are measured by themselves.
var fitted = []struct {
	name string
	of   func(*target.Target) *float64
}{
	{"StepUs", func(t *target.Target) *float64 { return &t.StepUs }},
	{"TileStepUs", func(t *target.Target) *float64 { return &t.TileStepUs }},
	{"PieceNs", func(t *target.Target) *float64 { return &t.PieceNs }},
}

// misfit is the root mean square of the logarithms of predicted to measured times.
func misfit(t *target.Target, all []timing) float64 {
	sum := 0.0
	for _, m := range all {
		n := m.numbers()
		for block := range n.tilings(t) {
			if same(m.block, block) {
				v := math.Log(n.predicted(n.tiled(block, t), t) / m.us)
				sum += v * v
			}
		}
	}
	return math.Sqrt(sum / float64(len(all)))
}

// The constants of the h100 predict what was measured nearly as well as any could: those
// that fit best, which -v prints, are less than a tenth better.
func TestConstantsFit(t *testing.T) {
	x, err := target.Find("h100")
	require.NoError(t, err)
	all, logs := timings(t, "tiles-h100.csv"), make([]float64, len(fitted))
	for i, c := range fitted {
		logs[i] = math.Log(*c.of(x))
	}
	best := *x
	result, err := optimize.Minimize(optimize.Problem{Func: func(logs []float64) float64 {
		for i, c := range fitted {
			*c.of(&best) = math.Exp(logs[i])
		}
		return misfit(&best, all)
	}}, logs, &optimize.Settings{FuncEvaluations: 2000}, &optimize.NelderMead{})
	require.NoError(t, err)
	for i, c := range fitted {
		t.Logf("%-10s %.3f, best %.3f", c.name, *c.of(x), math.Exp(result.X[i]))
	}
	t.Logf("root mean square of ln(predicted / measured): %.3f, best %.3f", misfit(x, all), result.F)
	require.LessOrEqual(t, misfit(x, all), 1.1*result.F)
}
