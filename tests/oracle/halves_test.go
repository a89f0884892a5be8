package oracle

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

// What rounding to the nearest half makes of logits is within what Halves allows, and takes
// most of it over a prompt; a digit less is not, nor are two digits less of SwiGLU's product.
func TestHalves(t *testing.T) {
	for _, f := range []Format{BF16, Q4_K} {
		c := Generate(Config{
			Layers: 2, Hidden: 256, Intermediate: 512, Heads: 4, KVHeads: 2, HeadDim: 64, Vocab: 96,
			NormEps: 1e-6, RopeTheta: 1e4, Formats: []Format{f},
		}, 3)
		ids := c.IDs(48, 4)
		want := c.Logits(ids)
		tolerance := c.Halves(ids, want)
		part := func(values func([]float64)) float64 {
			var have []float32
			for _, row := range c.logits(ids, "", rounding{c.matrices(nearest), values}) {
				for _, v := range row {
					have = append(have, float32(v))
				}
			}
			part, row := tolerance.Of(have, want)
			t.Logf("%s: %.2f of the tolerance, row %d", f, part, row)
			return part
		}
		right := part(nearest)
		require.LessOrEqual(t, right, 1.0)
		require.Greater(t, right, 0.5)
		require.Greater(t, part(func(x []float64) { shorten(x, 10) }), 1.0)
		require.Greater(t, part(func(x []float64) {
			if len(x) == c.Intermediate {
				shorten(x, 9)
			}
			nearest(x)
		}), 1.0)
	}
}

// shorten rounds to some digits, as Dekker splits numbers.
func shorten(x []float64, digits int) {
	for i, v := range x {
		t := v * (math.Exp2(float64(53-digits)) + 1)
		x[i] = t - (t - v)
	}
}
