package dtype

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// lossOf is the squared error of a type, relative to the values.
func lossOf(t *testing.T, typ Type, src []float32) float64 {
	t.Helper()
	dst, back := make([]byte, typ.Bytes(int64(len(src)))), make([]float32, len(src))
	Quantise(typ, src, dst)
	Dequantise(typ, dst, back)
	var diff, norm float64
	for i, v := range src {
		require.Less(t, math.Abs(float64(back[i])), math.Inf(1))
		d := float64(v) - float64(back[i])
		diff, norm = diff+d*d, norm+float64(v)*float64(v)
	}
	return diff / max(norm, math.SmallestNonzeroFloat64)
}

// Weights of every spread lose less in the K formats than in the plain ones of as many
// bits; the numbers are of normal values.
func TestKLoss(t *testing.T) {
	for _, spread := range []func(r *rand.Rand, i int) float64{
		func(r *rand.Rand, _ int) float64 { return r.NormFloat64() },
		func(r *rand.Rand, _ int) float64 { return r.NormFloat64() * 1e-3 },
		func(r *rand.Rand, i int) float64 { return r.NormFloat64() * math.Exp2(float64(i/32%4)) }, // runs that differ
		func(r *rand.Rand, _ int) float64 { return 1 + r.Float64() },                              // of one sign
		func(r *rand.Rand, _ int) float64 { return r.Float64() - 1 },
	} {
		r := rand.New(rand.NewPCG(1, 2))
		src := make([]float32, 1<<14)
		for i := range src {
			src[i] = float32(spread(r, i))
		}
		require.Less(t, lossOf(t, Q4_K, src), 0.9*lossOf(t, Q4_0, src))
		require.Less(t, lossOf(t, Q5_K, src), 0.9*lossOf(t, Q5_0, src))
		require.Less(t, lossOf(t, Q6_K, src), 0.5*lossOf(t, Q5_0, src))
		require.Less(t, lossOf(t, Q4_K, src), 0.008)
		require.Less(t, lossOf(t, Q5_K, src), 0.002)
		require.Less(t, lossOf(t, Q6_K, src), 0.0006)
	}
}

// Blocks without a range, or with one value apart, have finite values near what they
// hold.
func TestKQuantiseEdges(t *testing.T) {
	for name, f := range map[string]func(i int) float32{
		"zero":       func(int) float32 { return 0 },
		"one":        func(int) float32 { return 1 },
		"minus one":  func(int) float32 { return -1 },
		"tiny":       func(i int) float32 { return float32(i%2) * 1e-7 },
		"outlier":    func(i int) float32 { return map[bool]float32{true: 100, false: 0}[i == 77] },
		"alternates": func(i int) float32 { return float32(1 - i%2*2) },
		"one run":    func(i int) float32 { return map[bool]float32{true: 3, false: 0}[i/32 == 5] },
	} {
		src := make([]float32, 256)
		for i := range src {
			src[i] = f(i)
		}
		for _, typ := range []Type{Q4_K, Q5_K, Q6_K} {
			bound := 2e-3
			if name == "tiny" {
				bound = 1 // below f16's smallest steps
			}
			require.LessOrEqual(t, lossOf(t, typ, src), bound, "%s %v", name, typ)
		}
	}
}
