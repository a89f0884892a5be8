package cost

import (
	"encoding/csv"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir"
	"foundry/ir/kernel"
	"foundry/ir/target"
	"foundry/ir/task"
)

// timing is a line of testdata/tiles-h100.csv.
type timing struct {
	product [4]int64 // tokens, rows of weights, columns, unit
	block   kernel.ProductTiles
	us      float64
}

// numbers is the product that was measured.
func (m timing) numbers() matmul {
	p := m.product
	part := &task.Part{Each: p[1] / p[3]}
	for range p[3] {
		part.Products = append(part.Products, (*ir.Node)(nil))
	}
	return matmul{tokens: p[0], rows: p[1], cols: p[2], unit: int(p[3]), bytes: p[1] * p[2] * 34 / 32, perLoad: 16, halfRows: true, parts: []*task.Part{part}}
}

func timings(t *testing.T) (out []timing) {
	t.Helper()
	f, err := os.Open("testdata/tiles-h100.csv")
	require.NoError(t, err)
	defer f.Close()
	r := csv.NewReader(f)
	r.Comment = '#'
	lines, err := r.ReadAll()
	require.NoError(t, err)
	for _, line := range lines[1:] {
		var n [9]int64
		for i := range n {
			n[i], err = strconv.ParseInt(line[i+1], 10, 64)
			require.NoError(t, err)
		}
		us, err := strconv.ParseFloat(line[10], 64)
		require.NoError(t, err)
		out = append(out, timing{[4]int64(n[:4]), kernel.ProductTiles{Rows: int(n[4]), Columns: int(n[5]), Depth: int(n[6]), SIMDRows: int(n[7]), SIMDColumns: int(n[8])}, us})
	}
	return out
}

// The block that the model takes for weights that are expanded is measured within a tenth
// of the fastest, and it orders all of them much as they were measured.
func TestTilesAsMeasured(t *testing.T) {
	x, err := target.Find("h100")
	require.NoError(t, err)
	byProduct := map[[4]int64][]timing{}
	for _, m := range timings(t) {
		byProduct[m.product] = append(byProduct[m.product], m)
	}
	require.Len(t, byProduct, 4)
	var have, want []float64
	for p, measured := range byProduct {
		n := measured[0].numbers()
		best, _ := n.bestTiles(x)
		fastest, taken := slices.MinFunc(measured, func(a, b timing) int { return int(a.us - b.us) }).us, 0.0
		for _, m := range measured {
			if same(m.block, best) {
				taken = m.us
			}
			for block := range n.tilings(x) {
				if same(m.block, block) {
					k := n.tiled(block, x)
					have, want = append(have, n.predicted(k, x)), append(want, m.us)
				}
			}
		}
		t.Logf("%v: %+v, %.0f us, fastest %.0f", p, best, taken, fastest)
		require.NotZero(t, taken, "%+v was not measured", best)
		require.LessOrEqual(t, taken, 1.1*fastest)
	}
	require.Len(t, have, len(timings(t)))
	t.Logf("rank correlation of %d: %.3f", len(have), spearman(have, want))
	require.GreaterOrEqual(t, spearman(have, want), 0.9)
}

func same(a, b kernel.ProductTiles) bool {
	return a.Rows == b.Rows && a.Columns == b.Columns && a.Depth == b.Depth && a.SIMDRows == b.SIMDRows && a.SIMDColumns == b.SIMDColumns
}

// spearman is the rank correlation of values that are all different.
func spearman(a, b []float64) float64 {
	squares, n := 0.0, float64(len(a))
	for i := range a {
		d := rank(a, a[i]) - rank(b, b[i])
		squares += d * d
	}
	return 1 - 6*squares/(n*(n*n-1))
}

func rank(all []float64, v float64) (below float64) {
	for _, w := range all {
		if w < v {
			below++
		}
	}
	return below
}
