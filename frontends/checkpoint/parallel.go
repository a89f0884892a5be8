package checkpoint

import (
	"runtime"
	"sync"
	"sync/atomic"

	"foundry/runtime/files"
)

// parallel calls f on consecutive ranges that cover 0..n, grain elements each
// (the last one shorter), from as many goroutines as can run at once.
func parallel(n, grain int, f func(lo, hi int)) {
	workers := min(runtime.GOMAXPROCS(0), (n+grain-1)/grain)
	if workers <= 1 {
		for lo := 0; lo < n; lo += grain {
			f(lo, min(n, lo+grain))
		}
		return
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	faults := make([]error, workers) // of mapped files
	for w := range workers {
		wg.Go(func() {
			faults[w] = files.Guard(func() error {
				for {
					hi := int(next.Add(int64(grain)))
					lo := hi - grain
					if lo >= n {
						return nil
					}
					f(lo, min(n, hi))
				}
			})
		})
	}
	wg.Wait()
	files.Raise(faults...)
}
