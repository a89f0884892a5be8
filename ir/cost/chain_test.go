package cost_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir/cost"
	"foundry/ir/target"
)

// A border is a percent of a chain, unless the chain would hold back tokens.
func TestChain(t *testing.T) {
	x := &target.Target{CommandBufferUs: 20}
	for device, want := range map[float64]int{10: 16, 200: 16, 300: 8, 500: 4, 1000: 2, 1999: 2, 2000: 1, 1e6: 1} {
		require.Equal(t, want, cost.Chain(device, 0, x), device)
	}
	require.Equal(t, 2, cost.Chain(500, 8000, x), "the host encodes for 8 ms a step: four would hold tokens back for 32")
	require.Equal(t, 1, cost.Chain(10, 0, &target.Target{}))
	require.Equal(t, 505.0, cost.ChainedUs(500, 0, x, 4))
	require.Equal(t, 600.0, cost.ChainedUs(500, 600, x, 4))
}
