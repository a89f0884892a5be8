package cpu

import (
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/lower/plan"
)

// Every kernel of the list gets into one part; there are as many as have enough of them, no
// more than the machine compiles at a time, and a few kernels are one.
func TestSplit(t *testing.T) {
	kernels := make([]plan.Kernel, 80)
	var list []int
	for i := range kernels {
		kernels[i].Source = "kernel void k() {}"
		if i%2 == 0 {
			list = append(list, i)
		}
	}
	for n, parts := range map[int]int{1: 1, 31: 1, 32: 2, 40: 2} {
		got := split(list[:n], kernels, 16)
		require.Len(t, got, min(parts, runtime.NumCPU()))
		var all []int
		for _, part := range got {
			all = append(all, part...)
		}
		require.Equal(t, list[:n], all)
	}
	require.Empty(t, split(nil, kernels, 16))
}
