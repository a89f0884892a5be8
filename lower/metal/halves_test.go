package metal_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/interp"
	"foundry/ir/seeded"
	"foundry/ir/sym"
	"foundry/ir/target"
)

// madeRows is a product of rows that another dispatch makes, through a reshape.
const madeRows = `%%0 = input "x" : f32[T, 2, %d]
%%1 = weight "w" : f16[40, %d]
%%2 = silu %%0 : f32[T, 2, %d]
%%3 = reshape %%2 {shape=[T,%d]} : f32[T, %d]
%%4 = matmul_nt %%3, %%1 : f32[T, 40]
`

// Rows that only tiles read are stored as the halves that tiles would make of them:
// the result is that of rows kept as f32, bit for bit, and what else reads a value, or
// returns it, keeps it f32.
func TestHalves(t *testing.T) {
	x, err := target.Find("h100")
	require.NoError(t, err)
	x.TFlops, x.Cores = 1e-6, 1 // many rows go to tiles, however few
	env := sym.Env{T: 77}
	run := func(n int64, results string, gain float32) (made, product string, y []byte) {
		g := parse(t, "T=1..80, P=0..8, S<=88", fmt.Sprintf(madeRows, n/2, n, n/2, n, n)+"return "+results)
		b := newBatchFor(t, []*ir.Graph{g}, true, x)
		b.run(t, 0, env, 3)
		made, product = ends(t, b, g.Name)
		return made, product, b.outcome(t, env, 3, gain)
	}
	for _, n := range []int64{192, 96, 48} { // blocks of 64, 32 and 16 elements
		made, product, y := run(n, "y=%4", 1)
		require.Contains(t, made, "device half *y")
		require.Contains(t, product, "left.start(from")
		made, product, want := run(n, "y=%4, s=%2", 1)
		require.Contains(t, made, "device float *y")
		require.Contains(t, product, "held[")
		require.Equal(t, want, y, "rows of %d", n)
	}
	// What halves cannot hold is the largest number that they can, in either form.
	_, _, y := run(192, "y=%4", 1e6)
	_, _, want := run(192, "y=%4, s=%2", 1e6)
	require.Equal(t, want, y)
	values := make([]float32, len(y)/4)
	dtype.Dequantise(dtype.F32, y, values)
	for _, v := range values {
		require.False(t, math.IsInf(float64(v), 0) || math.IsNaN(float64(v)))
	}
	made, product, _ := run(40, "y=%4", 1) // no whole blocks
	require.Contains(t, made, "device float *y")
	require.Contains(t, product, "gemm_block<")
}

// ends returns the texts of an entry's first and last dispatches.
func ends(t testing.TB, b *batch, entry string) (first, last string) {
	t.Helper()
	e, err := b.plan.Entry(entry)
	require.NoError(t, err)
	for _, s := range e.Steps {
		if s.Dispatch == nil {
			continue
		}
		last = b.plan.Kernels[s.Dispatch.Kernel].Source
		if first == "" {
			first = last
		}
	}
	return first, last
}

// outcome runs the batch's graph on inputs that are gain times irgen's and returns the
// bytes of its first result.
func (b *batch) outcome(t testing.TB, env sym.Env, seed uint64, gain float32) []byte {
	t.Helper()
	g := b.graphs[0]
	in, err := b.exec.NewInstance()
	require.NoError(t, err)
	defer in.Close()
	for name, x := range seeded.Inputs(g, env, seed) {
		values := x.Float32s()
		for i := range values {
			values[i] *= gain
		}
		require.NoError(t, in.Write(name, stored(interp.Floats(values, x.Shape...))))
	}
	require.NoError(t, in.Run(background, g.Name, env))
	v := g.Results[0].Value
	have := make([]byte, v.Type.DType.Bytes(v.Type.Shape.Elems(env)))
	require.NoError(t, in.Read(g.Results[0].Name, have))
	return have
}
