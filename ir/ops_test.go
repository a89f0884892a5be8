package ir

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What an element of each operation costs and how its result is rounded: predicted times and
// bounds of errors rest on these. A function such as exp counts as five operations.
func TestWhatOperationsCost(t *testing.T) {
	type cost struct {
		flops    int64
		rounding Rounding
	}
	moves := cost{0, Exact}
	want := map[Op]cost{
		OpEmbedding: moves, OpKVRearrange: moves, OpKVWrite: moves, OpRepeatKV: moves, OpOnes: moves,
		OpReshape: moves, OpSlice: moves, OpTranspose: moves, OpConcat: moves, OpFused: moves,
		OpMatmulNT: {0, Summed}, OpBmmNT: {0, Summed}, OpBmmNN: {0, Summed}, // two for each term of the sums
		OpRMSNorm:       {4, Summed}, // square, sum, times the root, times the weight
		OpSumSquares:    {2, Summed}, // square, sum
		OpRMSScale:      {3, Summed}, // sum of sums, times the root, times the weight
		OpAdd:           {1, Rounded},
		OpMul:           {1, Rounded},
		OpSilu:          {8, Function}, // negate, exp, add, divide
		OpRope:          {6, Function}, // two products and a sum; the angle, its sine and its cosine serve two
		OpSoftmax:       {8, Function}, // subtract, exp, sum, times the reciprocal
		OpArgmax:        {1, Exact},    // compare
		OpSample:        {24, Exact},   // as modelled of its passes
		OpArange:        {1, Exact},
		OpRandomUniform: {16, Exact}, // a quarter of Philox
		OpCast:          {1, Exact},
	}
	require.Len(t, want, len(Ops()))
	for _, o := range Ops() {
		info := o.Info()
		require.Equal(t, want[o], cost{info.Flops, info.Rounding}, info.Name)
	}
}

// The operands that each operation takes, by the names in its line of documentation.
func TestHowManyOperands(t *testing.T) {
	for _, o := range Ops() {
		info := o.Info()
		operands, _, ok := strings.Cut(info.Doc, "->")
		require.True(t, ok, "%s: %s", info.Name, info.Doc)
		n := strings.Count(operands, "]")
		switch o {
		case OpFused: // any
			require.Equal(t, [2]int{0, -1}, [2]int{info.MinArgs, info.MaxArgs})
		case OpConcat: // t[..]...
			require.Equal(t, [2]int{1, -1}, [2]int{info.MinArgs, info.MaxArgs})
		default:
			require.Equal(t, [2]int{n, n}, [2]int{info.MinArgs, info.MaxArgs}, "%s: %s", info.Name, info.Doc)
		}
	}
}
