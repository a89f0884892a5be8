package kernel

import "fmt"

// Runs is a kernel by element that leaves the sums of the squares of runs of Size adjacent
// elements beside them: each thread computes RunsWidth elements, once for all results, and
// the threads of a run, lanes beside each other, add up their squares.
type Runs struct{ Size int }

// RunsWidth is the number of elements of a thread.
const RunsWidth = 4

// RunsOf is how runs of so many elements are dealt out; false where a simdgroup's lanes
// cannot share them evenly.
func RunsOf(size int64) (Runs, bool) {
	n := size / RunsWidth
	return Runs{int(size)}, size%RunsWidth == 0 && n > 0 && n <= lanes && n&(n-1) == 0
}

// Threads returns how many threads a threadgroup has.
func (Runs) Threads() int { return EachThreads }

// Lanes returns how many threads share a run.
func (r Runs) Lanes() int { return r.Size / RunsWidth }

// String is such as "runs size=8".
func (r Runs) String() string { return fmt.Sprintf("runs size=%d", r.Size) }
