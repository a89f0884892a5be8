package cost

import (
	"cmp"
	"encoding/csv"
	"math"
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

// timing is a line of testdata/tiles-h100.csv or tiles-h200.csv.
type timing struct {
	format  string
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
	return matmul{tokens: p[0], rows: p[1], cols: p[2], unit: int(p[3]), bytes: p[1] * p[2] * formatBits[m.format] / 16 / 8, perLoad: 16, halfRows: true, parts: []*task.Part{part}, formats: []formatted{{m.format, float64(p[1] * p[2])}}}
}

// formatBits are bits of 16 weights, scales included.
var formatBits = map[string]int64{"q8_0": 136, "q6_k": 105, "q4_k": 72, "q4_0": 72}

// measured is the lines of a file of testdata, behind the one that names its columns.
func measured(t *testing.T, file string) [][]string {
	t.Helper()
	f, err := os.Open("testdata/" + file)
	require.NoError(t, err)
	defer f.Close()
	r := csv.NewReader(f)
	r.Comment = '#'
	lines, err := r.ReadAll()
	require.NoError(t, err)
	require.Greater(t, len(lines), 1)
	return lines[1:]
}

func timings(t *testing.T, file string) (out []timing) {
	t.Helper()
	for _, line := range measured(t, file) {
		var n [9]int64
		for i := range n {
			var err error
			n[i], err = strconv.ParseInt(line[i+1], 10, 64)
			require.NoError(t, err)
		}
		us, err := strconv.ParseFloat(line[10], 64)
		require.NoError(t, err)
		out = append(out, timing{line[0], [4]int64(n[:4]), kernel.ProductTiles{Rows: int(n[4]), Columns: int(n[5]), Depth: int(n[6]), SIMDRows: int(n[7]), SIMDColumns: int(n[8])}, us})
	}
	return out
}

// Of the blocks of a product that were measured the model takes one within a tenth of the
// fastest, and it orders all of them much as they were measured.
func TestTilesAsMeasured(t *testing.T) {
	x, err := target.Find("h100")
	require.NoError(t, err)
	byProduct := map[[4]int64][]timing{}
	for _, m := range timings(t, "tiles-h100.csv") {
		byProduct[m.product] = append(byProduct[m.product], m)
	}
	require.Len(t, byProduct, 4)
	var have, want []float64
	for p, measured := range byProduct {
		n := measured[0].numbers()
		fastest := slices.MinFunc(measured, func(a, b timing) int { return cmp.Compare(a.us, b.us) }).us
		taken, least := timing{}, math.Inf(1)
		for _, m := range measured {
			for block := range n.tilings(x) {
				if same(m.block, block) {
					us := n.predicted(n.tiled(block, x), x)
					have, want = append(have, us), append(want, m.us)
					if us < least {
						taken, least = m, us
					}
				}
			}
		}
		t.Logf("%v: %+v, %.0f us, fastest %.0f", p, taken.block, taken.us, fastest)
		require.LessOrEqual(t, taken.us, 1.1*fastest)
	}
	require.Len(t, have, len(timings(t, "tiles-h100.csv")))
	t.Logf("rank correlation of %d: %.3f", len(have), spearman(have, want))
	require.GreaterOrEqual(t, spearman(have, want), 0.9)
}

// Tiles that expand weights take what is predicted within two fifths, and of each format the
// order is as measured, but for what lies within a few percent.
func TestFormatsOfTilesAsMeasured(t *testing.T) {
	byFormat := map[string][2][]float64{}
	for name, measured := range measuredTiles(t) {
		x, err := target.Find(name)
		require.NoError(t, err)
		for _, m := range measured {
			n := m.numbers()
			for block := range n.tilings(x) {
				if !same(m.block, block) {
					continue
				}
				us := n.predicted(n.tiled(block, x), x)
				require.Less(t, math.Abs(math.Log(us/m.us)), math.Log(1.4), "%s %v %+v: predicted %.0f us, measured %.0f", m.format, m.product, m.block, us, m.us)
				v := byFormat[m.format]
				byFormat[m.format] = [2][]float64{append(v[0], us), append(v[1], m.us)}
			}
		}
	}
	require.Len(t, byFormat, 4)
	for format, v := range byFormat {
		t.Logf("%s: rank correlation of %d: %.3f", format, len(v[0]), spearman(v[0], v[1]))
		require.GreaterOrEqual(t, spearman(v[0], v[1]), 0.8, format)
	}
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
