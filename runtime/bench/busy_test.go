package bench

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestOthersAreNotThisProcess(t *testing.T) {
	from := busyness{all: 100, busy: 50, own: 10, known: true}
	to := busyness{all: 140, busy: 80, own: 20, known: true}
	require.InDelta(t, 0.5, *to.others(from), 1e-12) // 30 of 40 at work, 10 of them ours
	require.Nil(t, to.others(busyness{}))
	require.Nil(t, from.others(from))
}

func TestBusyNowGrows(t *testing.T) {
	if _, err := os.Stat("/proc/stat"); err != nil {
		t.Skip("this system has no /proc/stat")
	}
	from := busyNow()
	require.True(t, from.known)
	for until := time.Now().Add(400 * time.Millisecond); time.Now().Before(until); {
	}
	to := busyNow()
	require.Greater(t, to.own, from.own)
	require.GreaterOrEqual(t, to.busy, from.busy)
	share := to.others(from)
	require.NotNil(t, share)
	require.True(t, *share >= 0 && *share <= 1)
}

func TestTheLineOfAllProcessors(t *testing.T) {
	b, ok := ofProcessors("cpu  100 200 300 400 500 600 700 800 900 1000\n")
	require.True(t, ok)
	require.Equal(t, busyness{all: 36, busy: 27}, b)
	_, ok = ofProcessors("cpu 1 2 3 4 5 6 7 8")
	require.True(t, ok)
	for _, line := range []string{"", "cpu 1 2 3 4 5 6 7", "cpu0 1 2 3 4 5 6 7 8", "cpu 1 2 3 4 5 six 7 8"} {
		_, ok := ofProcessors(line)
		require.False(t, ok, line)
	}
}
