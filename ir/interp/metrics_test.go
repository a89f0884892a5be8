package interp_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir"
	"foundry/ir/interp"
)

func TestCompare(t *testing.T) {
	d := interp.Compare([]float32{1, 2, 2.5}, []float64{1, 2, 2})
	require.Equal(t, interp.Difference{NMSE: 0.25 / 9, MaxAbs: 0.5, MaxULP: 1 << 21, At: 2}, d)
	inf, nan := math.Inf(1), math.NaN()
	for _, c := range []struct{ have, want, nmse, abs float64 }{
		{0, 0, 0, 0}, {inf, inf, 0, 0}, {nan, nan, 0, 0},
		{1, 0, inf, 1}, {nan, 1, inf, inf}, {1, nan, inf, inf}, {inf, 1, inf, inf}, {-inf, inf, inf, inf},
	} {
		d := interp.Compare([]float64{c.have, 3}, []float64{c.want, 3})
		if c.want == 0 && c.have != 0 {
			d = interp.Compare([]float64{c.have}, []float64{c.want})
		}
		require.Equal(t, c.nmse, d.NMSE, "%v", c)
		require.Equal(t, c.abs, d.MaxAbs, "%v", c)
	}
	least := float64(math.SmallestNonzeroFloat32)
	require.Equal(t, uint64(2), interp.Compare([]float64{least}, []float64{-least}).MaxULP)
	require.Panics(t, func() { interp.Compare([]float32{1}, []float32{}) })
}

func TestKL(t *testing.T) {
	// Probabilities 1/4, 3/4 and 1/2, 1/2, with different offsets of the logits.
	pq, qp := interp.KL([]float64{5, 5 + math.Log(3)}, []float32{-2, -2})
	require.InDelta(t, 0.25*math.Log(0.5)+0.75*math.Log(1.5), pq, 1e-15)
	require.InDelta(t, 0.5*math.Log(2)+0.5*math.Log(2./3), qp, 1e-15)
	pq, qp = interp.KL([]float64{0, math.Inf(-1)}, []float64{0, 0})
	require.InDelta(t, math.Ln2, pq, 1e-15)
	require.Equal(t, math.Inf(1), qp)
}

func TestAgreement(t *testing.T) {
	margins := []float64{1, 0.01, 1}
	for _, c := range []struct {
		have []int32
		same int
		ok   bool
	}{
		{[]int32{7, 8, 9}, 3, true}, {[]int32{7, 8}, 2, true}, {[]int32{7, 5, 5}, 1, true},
		{[]int32{7, 8, 5}, 2, false}, {[]int32{5, 8, 9}, 0, false},
	} {
		same, ok := interp.Agreement(c.have, []int32{7, 8, 9}, margins, interp.GreedyMargin)
		require.Equal(t, c.same, same, "%v", c)
		require.Equal(t, c.ok, ok, "%v", c)
	}
}

func TestBounds(t *testing.T) {
	g := parse(t, `%x = input "x" : f32[T, 8]
		%q = input "q" : f32[2, T, 8]
		%wide = weight "wide" : f32[8, 8]
		%half = weight "half" : f16[8, 8]
		%keys = input "keys" : f16[2, S, 8]
		%long = input "long" : f32[2, S, 8]
		%a = matmul_nt %x, %wide
		%b = matmul_nt %x, %half
		%c = add %x, %x
		%d = transpose %x {perm=[1,0,0,0]}
		%e, %f = fused %x, %half {pattern="matmul-add"} {
			%0 = arg : f32[T, 8]
			%1 = arg : f16[8, 8]
			%2 = matmul_nt %0, %1
			%3 = add %2, %0
			return %2, %3
		}
		%h = fused %q, %keys {pattern="attention"} {
			%0 = arg : f32[2, T, 8]
			%1 = arg : f16[2, S, 8]
			%2 = bmm_nt %0, %1 {scale=1}
			%3 = softmax %2 {causal=true, start=P}
			%4 = bmm_nn %3, %1
			return %4
		}
		%i = fused %q, %long {pattern="attention"} {
			%0 = arg : f32[2, T, 8]
			%1 = arg : f32[2, S, 8]
			%2 = bmm_nt %0, %1 {scale=1}
			%3 = softmax %2 {causal=true, start=P}
			%4 = bmm_nn %3, %1
			return %4
		}
		%k = fused %x {pattern="chain"} {
			%0 = arg : f32[T, 8]
			%1 = add %0, %0
			%2 = mul %1, %0
			return %2
		}
		%l = fused %x {pattern="narrow"} {
			%0 = arg : f32[T, 8]
			%1 = add %0, %0
			%2 = cast %1 {to=f16}
			return %2
		}
		%m = fused %x {pattern="move"} {
			%0 = arg : f32[T, 8]
			%1 = transpose %0 {perm=[1,0,0,0]}
			return %1
		}
		return a=%a, b=%b, c=%c, d=%d, e=%e, f=%f, h=%h, i=%i, k=%k, l=%l, m=%m`)
	want := []float64{1e-10, 1e-6, 0, 0, 1e-6, 1e-5, 1e-9, 1e-10, 1e-6, 0}
	for i, n := range g.Nodes() {
		b := interp.BoundOf(n)
		require.Equal(t, want[i], b.NMSE, "%s", n)
		require.NotEmpty(t, b.Why)
		require.True(t, b.Admits(interp.Difference{}))
		require.False(t, b.Admits(interp.Difference{NMSE: 1, MaxULP: 2}))
	}
	for _, op := range ir.Ops() {
		if op != ir.OpFused {
			require.NotEmpty(t, interp.BoundOf(&ir.Node{Op: op}).Why, "%v has no bound", op)
		}
	}
}
