package names

import (
	"fmt"
	"math"
	"time"
)

// Bytes prints a number of bytes with three significant digits, "988 MB". Units are
// powers of 1000, as those of bandwidths are: a size over a rate gives a time.
func Bytes(n int64) string {
	if n < 0 {
		return "-" + Bytes(-max(n, -math.MaxInt64))
	}
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	return scaled(float64(n)/1000, "kB", "MB", "GB", "TB", "PB", "EB")
}

// Count prints a number of what has no unit with three significant digits, "391 G".
func Count(n int64) string {
	if n < 0 {
		return "-" + Count(-max(n, -math.MaxInt64))
	}
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return scaled(float64(n)/1000, "k", "M", "G", "T", "P", "E")
}

// Duration prints a time with three significant digits, "1.25 ms"; from 100 seconds on
// it is minutes and seconds.
func Duration(d time.Duration) string {
	switch {
	case d < 0:
		return "-" + Duration(-max(d, -math.MaxInt64))
	case d < time.Microsecond:
		return fmt.Sprintf("%d ns", d.Nanoseconds())
	case d < 99950*time.Millisecond:
		return scaled(float64(d)/float64(time.Microsecond), "us", "ms", "s")
	}
	whole := int64(d.Round(time.Second) / time.Second)
	return fmt.Sprintf("%d min %d s", whole/60, whole%60)
}

// Micros prints a time of so many microseconds, as Duration does; one longer than a
// Duration holds as the longest, 292 years.
func Micros(us float64) string {
	ns := us * float64(time.Microsecond)
	switch {
	case ns >= math.MaxInt64:
		return Duration(math.MaxInt64)
	case ns <= -math.MaxInt64:
		return Duration(-math.MaxInt64)
	}
	return Duration(time.Duration(ns))
}

// scaled prints v in the first unit in which it has at most three digits before the
// point, or in the last one.
func scaled(v float64, units ...string) string {
	for len(units) > 1 && v >= 999.5 {
		v, units = v/1000, units[1:]
	}
	return fmt.Sprintf("%.3g %s", v, units[0])
}
