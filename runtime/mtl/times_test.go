package mtl

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	fruntime "foundry/runtime"
)

// TestTimes asks for the times of dispatches of a GPU that samples its timestamp,
// of 24 MHz here, and of one that does not.
func TestTimes(t *testing.T) {
	for name, sampling := range map[string]int64{"samples": 1, "command buffers": 0} {
		t.Run(name, func(t *testing.T) { testTimes(t, sampling) })
	}
}
func testTimes(t *testing.T, sampling int64) {
	b := newBench(t)
	undo := b.e.Limit("counter-sampling", sampling)
	encode := func(enc fruntime.Encoder) error {
		for range 3 {
			if err := enc.Dispatch(b.launch()); err != nil {
				return err
			}
		}
		return nil
	}
	began := time.Now()
	times, err := b.g.Time(encode)
	require.NoError(t, err)
	require.Len(t, times, 3)
	require.Less(t, times[0]+times[1]+times[2], time.Since(began))
	c, err := b.dev.clock()
	require.NoError(t, err)
	require.Equal(t, sampling == 1, c.set != 0)
	if sampling == 1 {
		require.InEpsilon(t, 125.0/3, c.nsATick, 0.1)
		b.e.Fault("no-samples")
		_, err = b.g.Time(encode)
		require.ErrorContains(t, err, "no buffer for the GPU's timestamps: a sample buffer of 6 samples")
	}
	b.e.Fault("command-buffer-error")
	_, err = b.g.Time(encode)
	require.ErrorContains(t, err, "Internal Error")
	_, err = b.g.Time(encode)
	require.NoError(t, err)
	undo()
	require.Empty(t, b.e.Noted())
}
