package bench

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// A median that is counted is that of the values drawn, sorted: ties and one value too.
func TestDrawnMedianIsThatOfTheDraws(t *testing.T) {
	some := rand.New(rand.NewPCG(1, 2))
	for n := 1; n < 40; n++ {
		values := make([]float64, n)
		for i := range values {
			values[i] = float64(some.IntN(n)) / 3
		}
		p := newPool(values)
		a, b := rand.New(rand.NewPCG(3, uint64(n))), rand.New(rand.NewPCG(3, uint64(n)))
		for range 100 {
			drawn := make([]float64, n)
			for i := range drawn {
				drawn[i] = values[a.IntN(n)]
			}
			require.Equal(t, sortedMedian(drawn), p.drawMedian(b), "%d values", n)
		}
	}
}
