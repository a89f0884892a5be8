package interp

import (
	"runtime"
	"sync"
	"sync/atomic"

	"foundry/runtime/files"
)

// chunkWork is about how many multiply-adds are worth handing to a goroutine.
const chunkWork = 1 << 16

// parallel splits 0..n-1 into ranges for as many goroutines as there are
// processors; cost is the multiply-adds of one index. Each goroutine calls setup
// once for its own scratch and gets the function that does a range. How ranges
// are cut decides no bit of any result. Ranges not begun when the context ends
// are left out; the run then fails with the context's error.
func (m *machine[F]) parallel(n, cost int, setup func() func(lo, hi int)) {
	chunk := max(1, chunkWork/max(1, cost))
	workers := max(1, min(runtime.GOMAXPROCS(0), (n+chunk-1)/chunk))
	// A few ranges for each worker even out what else the machine does.
	chunk = max(chunk, n/(workers*8))
	if workers == 1 {
		do := setup()
		for lo := 0; lo < n && m.ctx.Err() == nil; lo += chunk {
			do(lo, min(lo+chunk, n))
		}
		return
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	faults := make([]error, workers) // of mapped weights
	for w := range workers {
		wg.Go(func() {
			faults[w] = files.Guard(func() error {
				do := setup()
				for m.ctx.Err() == nil {
					hi := int(next.Add(int64(chunk)))
					if hi-chunk >= n {
						break
					}
					do(hi-chunk, min(hi, n))
				}
				return nil
			})
		})
	}
	wg.Wait()
	files.Raise(faults...)
}
