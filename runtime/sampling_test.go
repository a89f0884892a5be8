package runtime

import (
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestTop(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		logits := rapid.SliceOfN(rapid.Map(rapid.IntRange(-3, 3), func(i int) float32 { return float32(i) }), 0, 30).Draw(t, "logits")
		k := rapid.IntRange(1, 12).Draw(t, "k")
		var want []Candidate
		for i, v := range logits {
			want = append(want, Candidate{int32(i), v})
		}
		slices.SortStableFunc(want, func(a, b Candidate) int { return int(b.Logit - a.Logit) })
		want = want[:min(k, len(want))]
		got, err := Top(logits, k)
		require.NoError(t, err)
		require.Equal(t, append([]Candidate{}, want...), append([]Candidate{}, got...))
	})
	_, err := Top([]float32{1, float32(math.NaN())}, 1)
	require.EqualError(t, err, "the logit of token 1 is NaN")
	_, err = Top(nil, 0)
	require.Error(t, err)
}
