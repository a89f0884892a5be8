package interp

import (
	"context"
	"runtime"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// A buffer is taken again for as many elements as it has room for, or half as many; of several
// the smallest is, and a new one has an eighth more at most.
func TestBuffersAreTakenAgain(t *testing.T) {
	for n := 1; n < 3000; n++ {
		b := (&pool[float32]{}).get(n)
		require.Len(t, b.data, n)
		require.LessOrEqual(t, 8*(cap(b.data)-n), n)
	}
	require.Equal(t, 15, cap((&pool[float32]{}).get(15).data))
	require.Equal(t, 18, cap((&pool[float32]{}).get(17).data), "rounded up to a sixteenth of 32")
	require.Equal(t, 1024, cap((&pool[float32]{}).get(993).data))
	var p pool[float64]
	large, small := p.get(100), p.get(60)
	p.put(large)
	p.put(small)
	small.refs = 3
	b := p.get(55)
	require.Same(t, small, b)
	require.Len(t, b.data, 55)
	require.Zero(t, b.refs)
	require.Same(t, large, p.get(cap(large.data)/2), "half of it is waste")
	require.NotSame(t, large, p.get(50), "it is taken")
	p.put(large)
	require.NotSame(t, large, p.get(cap(large.data)/2-1), "more than half would be waste")
	require.NotSame(t, large, p.get(cap(large.data)+1))
	require.Same(t, large, p.get(100))
	require.Empty(t, p.free)
}

// Ranges for goroutines are all numbers, each once, some ranges for each; small work is one
// goroutine's.
func TestRangesOfGoroutines(t *testing.T) {
	m := &machine[float32]{ctx: context.Background()}
	for _, c := range []struct{ n, cost int }{{1, 1}, {7, 1}, {1000, 1}, {1000, 1 << 16}, {100_000, 100}, {5, 1 << 20}, {65536, 1}, {65537, 1}, {0, 1}, {3, 0}} {
		var mu sync.Mutex
		seen := make([]int, c.n)
		setups, ranges := 0, 0
		m.parallel(c.n, c.cost, func() func(lo, hi int) {
			mu.Lock()
			setups++
			mu.Unlock()
			return func(lo, hi int) {
				require.Less(t, lo, hi)
				mu.Lock()
				ranges++
				mu.Unlock()
				for i := lo; i < hi; i++ {
					seen[i]++
				}
			}
		})
		for i, times := range seen {
			require.Equal(t, 1, times, "%d of %d", i, c.n)
		}
		workers := max(1, min(runtime.GOMAXPROCS(0), c.n, (c.n*max(1, c.cost)+1<<16-1)>>16))
		require.Equal(t, workers, setups, "%v", c)
		chunk := max(1, 1<<16/max(1, c.cost), c.n/(8*workers))
		require.Equal(t, (c.n+chunk-1)/chunk, ranges, "%v", c)
	}
	ended, end := context.WithCancel(context.Background())
	end()
	m.ctx = ended
	m.parallel(10, 1, func() func(lo, hi int) { return func(lo, hi int) { t.Error("begun behind the end") } })
}

// The first difference counts where the reference was surer than the bound.
func TestAgreementAtItsBound(t *testing.T) {
	for _, c := range []struct {
		margin float64
		ok     bool
	}{{0.5, true}, {0.50001, false}, {0, true}} {
		same, ok := Agreement([]int32{1, 2, 3}, []int32{1, 2, 4, 5}, []float64{9, 9, c.margin, 9}, 0.5)
		require.Equal(t, 2, same)
		require.Equal(t, c.ok, ok, c.margin)
	}
	same, ok := Agreement([]int32{1, 2, 3}, []int32{1, 2}, []float64{9, 9}, 0.5)
	require.Equal(t, 2, same)
	require.True(t, ok)
}
