package names

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestBytes(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 B", 999: "999 B", 1000: "1 kB", 1234: "1.23 kB", 65536: "65.5 kB", 999_499: "999 kB", 999_500: "1 MB",
		988_065_024: "988 MB", 14_140_000_000: "14.1 GB", -2048: "-2.05 kB", math.MaxInt64: "9.22 EB",
	} {
		require.Equal(t, want, Bytes(n))
	}
}

func TestDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0 ns", 999: "999 ns", 1250: "1.25 us", 999_499: "999 us", 999_500: "1 ms", 12_345_678: "12.3 ms",
		1500 * time.Millisecond: "1.5 s", 99_949 * time.Millisecond: "99.9 s", 99_950 * time.Millisecond: "1 min 40 s",
		2 * time.Hour: "120 min 0 s", -time.Millisecond: "-1 ms",
	} {
		require.Equal(t, want, Duration(d))
	}
}

// What no number holds is printed as the largest there is, not without end.
func TestLargestNumbers(t *testing.T) {
	require.Equal(t, "-9.22 EB", Bytes(math.MinInt64))
	require.Equal(t, "-9.22 E", Count(math.MinInt64))
	const longest = "153722867 min 16 s"
	require.Equal(t, "-"+longest, Duration(math.MinInt64))
	require.Equal(t, longest, Micros(1e300))
	require.Equal(t, longest, Micros(math.Inf(1)))
	require.Equal(t, "-"+longest, Micros(-1e300))
}
