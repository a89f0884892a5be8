package oracle

import (
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/floats"
)

// Tolerance bounds the NMSE of each row of logits, and of all rows up to each together.
type Tolerance struct{ Rows, Together []float64 }

// Flat is a tolerance of n rows that is the same for each.
func Flat(nmse float64, n int) Tolerance {
	each := slices.Repeat([]float64{nmse}, n)
	return Tolerance{each, each}
}

// Of returns the largest part of the tolerance that logits take, 1 for all of it, and in
// which row; the row is -1 where it is all rows together. They may be those of the first
// ids of the prompt alone.
func (t Tolerance) Of(have []float32, want [][]float64) (part float64, row int) {
	rows, all := rowErrors(have, want)
	part, row = all/t.Together[len(rows)-1], -1
	for i, e := range rows {
		if e/t.Rows[i] > part {
			part, row = e/t.Rows[i], i
		}
	}
	return part, row
}

// draws is how often Halves computes the logits.
const draws = 16

// deviations is how far above the mean the tolerance lies: one row in 10^9 would be worse
// if errors were quite normal. Of 38,400 drawn rows of six checkpoints one was, by 6 %.
const deviations = 6

// Halves is what NMSE a device may have that keeps or multiplies halves: weights, the
// operands of products, queries, keys, values, the weights of a softmax. Each row has its
// own, since it is the checkpoint and the prompt that decide how much a rounding matters.
//
// The logits are computed some times in float64, with weights of 11 digits and with an
// error of up to half of the eleventh digit, drawn anew, in each other value that becomes
// a half. A device's roundings are one more draw, or fewer roundings. The error of a row is
// the sum of very many small ones, so nearly normal, and the square of its length has the
// mean of the draws' and twice the variance of the scalar product of two draws' errors
// (which holds for a common part, the weights', too). A chi-squared distribution has that
// mean and variance, and the tolerance is a quantile of it.
func (c *Checkpoint) Halves(ids []int32, logits [][]float64) Tolerance {
	var gram [draws][draws][]float64 // scalar products of the errors of two draws, by row
	var off [draws][][]float64
	matrix := c.matrices(nearest)
	for i := range draws {
		r := rand.New(rand.NewPCG(uint64(i), 4))
		off[i] = c.logits(ids, "", rounding{matrix, func(x []float64) { disturb(r, x) }})
		for t, row := range off[i] {
			for v := range row {
				row[v] -= logits[t][v]
			}
		}
		for j := range i + 1 {
			gram[i][j] = make([]float64, len(ids))
			for t := range ids {
				gram[i][j][t] = floats.Dot(off[i][t], off[j][t])
			}
		}
	}
	var out Tolerance
	var together [draws][draws]float64
	energy := 0.0
	for t, row := range logits {
		var products [draws][draws]float64
		for i := range draws {
			for j := range i + 1 {
				products[i][j] = gram[i][j][t]
				together[i][j] += products[i][j]
			}
		}
		squares := floats.Dot(row, row)
		energy += squares
		out.Rows = append(out.Rows, quantile(products)/squares)
		out.Together = append(out.Together, quantile(together)/energy)
	}
	return out
}

// quantile is what the square of an error's length stays below, given the scalar products
// of drawn errors. It is Wilson and Hilferty's, of a chi-squared distribution.
func quantile(products [draws][draws]float64) float64 {
	var mean, crossed, squares float64
	for i := range draws {
		mean += products[i][i] / draws
		for _, p := range products[i][:i] {
			crossed, squares = crossed+p, squares+p*p
		}
	}
	const pairs = draws * (draws - 1) / 2
	variance := 2 * (squares - crossed*crossed/pairs) / (pairs - 1)
	variance += variance / draws // the mean is drawn, too
	if variance == 0 {
		return mean
	}
	ninth := variance / (9 * mean * mean) // 2/9 of a degree of freedom
	return mean * math.Pow(1-ninth+deviations*math.Sqrt(ninth), 3)
}

// rounding says what matrices are read, and what becomes of other values on the way.
type rounding struct {
	matrix func(name string) []float64
	values func(x []float64)
}

// exact reads matrices as they are.
func (c *Checkpoint) exact() rounding { return rounding{c.values, func([]float64) {}} }

// matrices reads matrices that are rounded, each once.
func (c *Checkpoint) matrices(round func(x []float64)) func(name string) []float64 {
	known := map[string][]float64{}
	return func(name string) []float64 {
		if known[name] == nil {
			known[name] = c.values(name)
			round(known[name])
		}
		return known[name]
	}
}

// dropped are the bits of a float64 that a half has not.
const dropped = 52 - 10

// nearest rounds to 11 digits, at whatever size.
func nearest(x []float64) {
	for i, v := range x {
		x[i] = math.Float64frombits((math.Float64bits(v) + 1<<(dropped-1)) &^ (1<<dropped - 1))
	}
}

// disturb adds up to half of the eleventh digit, either way.
func disturb(r *rand.Rand, x []float64) {
	const exponent = 0x7ff << 52
	for i, v := range x {
		unit := math.Float64frombits(math.Float64bits(v)&exponent) * 0x1p-10
		x[i] = v + (r.Float64()-0.5)*unit
	}
}
