package mtl

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	fruntime "foundry/runtime"
)

// TestTimes asks for the times of dispatches of a GPU that samples its timestamp and
// of one that does not. The GPU's clock, of 24 MHz, is read 2,400 ticks after it was
// read before: a dispatch takes 100 us.
func TestTimes(t *testing.T) {
	const ticks = 2400
	for name, sampling := range map[string]int64{"samples": 1, "command buffers": 0} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			defer b.e.Limit("counter-sampling", sampling)()
			defer b.e.Limit("ticks", ticks)()
			encode := func(enc fruntime.Encoder) error {
				for range 3 {
					if err := enc.Dispatch(b.launch()); err != nil {
						return err
					}
				}
				return nil
			}
			c, err := b.dev.clock()
			require.NoError(t, err)
			require.Equal(t, sampling == 1, c.set != 0)
			want := 100 * time.Microsecond
			if sampling == 1 { // the ticks passed while the host slept
				want = time.Duration(ticks * c.nsATick)
				require.GreaterOrEqual(t, want, clockRun-time.Nanosecond)
			}
			times, err := b.g.Time(encode)
			require.NoError(t, err)
			require.Len(t, times, 3)
			for _, have := range times {
				require.InDelta(t, want, have, 2, "ns")
			}
			times, err = b.g.Time(func(fruntime.Encoder) error { return nil })
			require.NoError(t, err)
			require.Empty(t, times, "of nothing")
			require.Empty(t, b.e.Noted())
			if sampling == 1 {
				b.e.Fault("no-samples")
				_, err = b.g.Time(encode)
				require.ErrorContains(t, err, "no buffer for the GPU's timestamps: a sample buffer of 6 samples")
			}
			b.e.Fault("command-buffer-error")
			_, err = b.g.Time(encode)
			require.ErrorContains(t, err, "Internal Error")
			_, err = b.g.Time(encode)
			require.NoError(t, err)
			require.Empty(t, b.e.Noted())
		})
	}
}
