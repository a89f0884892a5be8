package ir_test

import (
	"testing"

	"foundry/ir"

	"github.com/stretchr/testify/require"
)

// A permutation has as many indices as its operand has dims.
func TestPermOfAnyRank(t *testing.T) {
	g, err := ir.Parse("x.fir", `graph @g (T=1..1, P=0..0, S<=1) {
  %a = input "a" : f32[2, 3]
  %b = input "b" : f32[2, 3, 4]
  %c = transpose %a {perm=[1,0]} : f32[3, 2]
  %d = transpose %b {perm=[2,0,1]} : f32[4, 2, 3]
  return c=%c, d=%d
}
`)
	require.NoError(t, err)
	require.NoError(t, ir.Verify(g))
	again, err := ir.Parse("x.fir", g.String())
	require.NoError(t, err)
	require.Equal(t, g.String(), again.String())
}

func TestByteOrderMark(t *testing.T) {
	_, err := ir.Parse("x.fir", "\ufeffgraph @g (T=1..1, P=0..0, S<=1) {")
	require.EqualError(t, err, "x.fir:1:1: the file begins with a UTF-8 byte order mark; save it without one")
}

// A node without a label is named by its place.
func TestUnnamedNode(t *testing.T) {
	g, err := ir.Parse("x.fir", `graph @g (T=1..1, P=0..0, S<=1) {
  %a = input "a" : f32[2, 3]
  %b = silu %a
  %c = silu %b
  return c=%c
}
`)
	require.NoError(t, err)
	require.Equal(t, "node 2, silu", g.Nodes()[1].String())
	g.Nodes()[1].Results[0].Type.Shape = ir.Shape{}
	require.ErrorContains(t, ir.Verify(g), "graph @g: node 2, silu: ")
}
