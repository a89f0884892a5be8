package verify_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir"
	"foundry/passes"
	"foundry/verify"
)

// A result may have the name of a weight, whose buffer is not the result's.
func TestResultNamedLikeAWeight(t *testing.T) {
	g, err := ir.Parse("named.fir", `graph @named (T=1..4, P=0..3, S<=4) {
  %0 = input "x" : f32[T, 8]
  %1 = weight "y" : f32[6, 8]
  %2 = matmul_nt %0, %1 : f32[T, 6] @"layers.3.proj"
  return y=%2
}
`)
	require.NoError(t, err)
	legalize, err := passes.Parse("legalize")
	require.NoError(t, err)
	o := onCPU(t, options(t))
	r, err := verify.RunGraph(context.Background(), o, g, []verify.Pipeline{{Name: "unfused", Passes: legalize}})
	require.NoError(t, err)
	require.Len(t, r.Rows, 1)
	require.True(t, r.Rows[0].Pass, r.Rows[0].Failure)
}

// Results may be params as they are, one value under two names, and a view of another.
func TestResultsThatNothingComputes(t *testing.T) {
	g, err := ir.Parse("returned.fir", `graph @returned (T=1..4, P=0..3, S<=4) {
  %0 = input "x" : f32[T, 8]
  %1 = weight "w" : f32[6, 8]
  %2 = matmul_nt %0, %1 : f32[T, 6] @"proj"
  %3 = reshape %2 {shape=[6,T]} : f32[6, T] @"turned"
  return y=%2, again=%2, turned=%3, x=%0, weight=%1
}
`)
	require.NoError(t, err)
	legalize, err := passes.Parse("legalize")
	require.NoError(t, err)
	r, err := verify.RunGraph(context.Background(), onCPU(t, options(t)), g, []verify.Pipeline{{Name: "unfused", Passes: legalize}})
	require.NoError(t, err)
	require.Len(t, r.Rows, 1)
	require.True(t, r.Rows[0].Pass, r.Rows[0].Failure)
}
