package kernel

import "fmt"

// SoftmaxRow is softmax alone with a threadgroup a row.
type SoftmaxRow struct{ Simdgroups int }

// Threads returns how many threads a threadgroup has.
func (s SoftmaxRow) Threads() int { return s.Simdgroups * lanes }

// String is such as "softmax-row simdgroups=8".
func (s SoftmaxRow) String() string { return fmt.Sprintf("softmax-row simdgroups=%d", s.Simdgroups) }

// SoftmaxSegments is softmax alone in two kernels: a threadgroup finds the maximum and the
// sum of Segment elements of a row, then one merges those of the row and writes as many.
// The longest row has so many Segments.
type SoftmaxSegments struct {
	Segment, Segments int64
	Simdgroups        int
}

// Threads returns how many threads a threadgroup has.
func (s SoftmaxSegments) Threads() int { return s.Simdgroups * lanes }

// String is such as "softmax-segments segment=1024 simdgroups=4".
func (s SoftmaxSegments) String() string {
	return fmt.Sprintf("softmax-segments segment=%d simdgroups=%d", s.Segment, s.Simdgroups)
}

// SoftmaxBytes is the threadgroup memory in which threads find a row's maximum and sum.
func SoftmaxBytes(threads int) int { return Rounded(2 * 4 * threads / lanes) }
