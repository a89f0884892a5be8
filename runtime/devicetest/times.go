package devicetest

import (
	"time"

	"github.com/stretchr/testify/require"

	"foundry/runtime"
)

// times asks for the time of each of a few hundred dispatches: all are there, run
// in order, and took no longer together than the host waited for them.
func times(r *rig) {
	prog, x := r.load(mirror), r.pair()
	defer r.free(x[:]...)
	timer, ok := prog.(runtime.Timer)
	if !ok {
		r.Skip("the program does not time dispatches")
	}
	const n = 1500
	start := get[uint32](r, x[0], mirrorN)
	began := time.Now()
	took, err := timer.Time(func(enc runtime.Encoder) error {
		for i := range n {
			if err := enc.Barrier(); err != nil {
				return err
			}
			if err := enc.Dispatch(mirrorLaunch(x[i%2], x[1-i%2])); err != nil {
				return err
			}
		}
		return nil
	})
	wall := time.Since(began)
	require.NoError(r, err)
	require.Len(r, took, n)
	require.Equal(r, mirroredTimes(start, n), get[uint32](r, x[n%2], mirrorN))
	var sum time.Duration
	for _, t := range took {
		require.GreaterOrEqual(r, t, time.Duration(0))
		sum += t
	}
	require.Positive(r, sum)
	require.LessOrEqual(r, sum, wall)
	_, err = timer.Time(func(enc runtime.Encoder) error { return enc.Dispatch(&runtime.Launch{Kernel: 99}) })
	require.Error(r, err)
}
