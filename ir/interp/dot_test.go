package interp

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// Both sums, that of this architecture and that of those without assembly, are exact where
// every partial sum is a small whole number, at any length.
func TestDotOfWholeNumbers(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for n := range 70 {
		x, w, want := make([]float32, n), make([]float32, n+3), 0.0
		for i := range w {
			w[i] = float32(r.IntN(2001) - 1000)
		}
		for i := range x {
			x[i] = float32(r.IntN(2001) - 1000)
			want += float64(x[i]) * float64(w[i])
		}
		require.Equal(t, want, dot(x, w[:n]), n)
		require.Equal(t, want, inFourSums(x, w), n)
	}
	// Products are not rounded to float32 on their way.
	x, w := []float32{1 << 13, 1 << 13, 1}, []float32{1 << 13, -1 << 13, 1}
	require.Equal(t, 1.0, dot(x, w))
	require.Equal(t, 1.0, inFourSums(x, w))
}
