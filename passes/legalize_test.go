package passes_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir"
	"foundry/passes"
)

// legalize asks about every node that is a dispatch and about no other: a view that moves
// nothing has no kernel, one that does has.
func TestLegalizeAsksAboutDispatches(t *testing.T) {
	g, err := ir.Parse("asks.fir", `graph @g (T=1..4, P=0..39, S<=40) {
  %a = input "a" : f32[T, 64]
  %s = silu %a @"computed"
  %r = reshape %s {shape=[T,8,8]} @"view"
  %t = transpose %r {perm=[1,0,2,0]} @"moved"
  %p = slice %a {axis=1, start=0, size=32} @"part"
  %c = cast %p {to=f16} @"rounded"
  return t=%t, c=%c
}
`)
	require.NoError(t, err)
	var asked []string
	require.NoError(t, parse(t, "legalize").Run(g, &passes.Context{Lowerable: func(n *ir.Node) error {
		asked = append(asked, n.Label)
		return nil
	}}))
	slices.Sort(asked)
	require.Equal(t, []string{"computed", "moved", "rounded"}, asked)
}
