package bench

import (
	"context"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The interval of a median holds the true one in at least 95 of 100 cases, whatever is
// skewed, and no sample is outside of what it says.
func TestMedianInterval(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, n := range []int{6, 9, 10, 25, 100, 1001} {
		held := 0
		for range 2000 {
			s := make([]float64, n)
			for i := range s {
				s[i] = 1 + r.ExpFloat64()
			}
			slices.Sort(s)
			if i := medianInterval(s); i.Low <= 1.6931471805599453 && 1.6931471805599453 <= i.High { // 1 + ln 2
				held++
			}
		}
		t.Logf("%d samples: held in %d of 2000", n, held)
		require.GreaterOrEqual(t, held, 1900-3*10, "%d samples", n) // three standard deviations of the count
	}
	require.Equal(t, Interval{Mid: 2, Low: 1, High: 3}, medianInterval([]float64{1, 2, 3}))
	require.Equal(t, Interval{Mid: 5, Low: 5, High: 5}, medianInterval([]float64{5}))
}

// Runs go on while an interval is wide, whatever lies in it, and end with the time.
func TestRunsUntilTheMedianIsKnown(t *testing.T) {
	run := func(o Options, scatter ...float64) int {
		r, rounds := rand.New(rand.NewPCG(1, 2)), 0
		var all []*measured
		for i, s := range scatter {
			all = append(all, &measured{name: "x", run: func(context.Context) (time.Duration, error) {
				return time.Duration(float64(1000*(i+1)) * (1 + s*r.Float64()) * 1e3), nil
			}})
		}
		require.NoError(t, interleave(context.Background(), all, o.more(all), nil, func() { rounds++ }))
		return rounds
	}
	require.Equal(t, 10, run(Options{Reps: 10}, 0.5))
	require.Equal(t, 10, run(Options{Reps: 10, Within: 0.01, Limit: time.Minute}, 0.001, 0.001))
	require.Greater(t, run(Options{Reps: 10, Within: 0.01, Limit: time.Minute}, 0.001, 0.3), 100)
	require.Equal(t, 10, run(Options{Reps: 10, Within: 0.01}, 0.5)) // no time for more
}
