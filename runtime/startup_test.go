package runtime

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// Work that overlaps is counted once, a gap not at all.
func TestStopwatchCountsOverlapOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w stopwatch
		w.start()
		time.Sleep(2 * time.Second)
		w.start()
		time.Sleep(3 * time.Second)
		w.stop()
		time.Sleep(time.Second)
		w.stop()
		time.Sleep(time.Hour)
		w.start()
		time.Sleep(time.Second)
		w.stop()
		require.Equal(t, 7*time.Second, w.elapsed())
	})
}
