package passes

import (
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir"
)

// What lies on a path between nodes comes to them once, however many take it; what stands beside
// the paths or before all of them does not.
func TestWithBetween(t *testing.T) {
	g, err := ir.Parse("g.fir", `graph @g (T=1..4, P=0..3, S<=4) {
  %x = input "x" : f32[T, 64]
  %before = silu %x
  %first = silu %before
  %twice = silu %first
  %beside = silu %before
  %square = mul %twice, %twice
  %more = add %square, %twice
  %last = add %more, %beside
  %behind = silu %last
  return y=%behind
}`)
	require.NoError(t, err)
	n := g.Nodes() // before, first, twice, beside, square, more, last, behind
	require.ElementsMatch(t, []*ir.Node{n[1], n[6], n[2], n[4], n[5]}, withBetween([]*ir.Node{n[1], n[6]}))
	require.ElementsMatch(t, []*ir.Node{n[1], n[6], n[2], n[4], n[5]}, withBetween([]*ir.Node{n[6], n[1]}), "in any order")
	require.ElementsMatch(t, []*ir.Node{n[1], n[2]}, withBetween([]*ir.Node{n[1], n[2]}))
	require.ElementsMatch(t, []*ir.Node{n[3], n[6]}, withBetween([]*ir.Node{n[3], n[6]}))
	require.ElementsMatch(t, []*ir.Node{n[0], n[1], n[2], n[3], n[4], n[5], n[6]}, withBetween([]*ir.Node{n[0], n[6]}))
	require.Equal(t, []*ir.Node{n[4]}, withBetween([]*ir.Node{n[4]}))
}
