package kernel

import "fmt"

// ArgmaxRow is argmax in one kernel: a threadgroup takes a whole row of Length elements,
// four a thread at once.
type ArgmaxRow struct {
	Length  int64
	Largest int // threads that a threadgroup can have
}

// Threads returns how many threads a threadgroup has: one for four elements.
func (a ArgmaxRow) Threads() int {
	return int(min(1024, int64(a.Largest), (a.Length+4*lanes-1)/(4*lanes)*lanes))
}

// String is such as "argmax-row threads=256".
func (a ArgmaxRow) String() string { return fmt.Sprintf("argmax-row threads=%d", a.Threads()) }
