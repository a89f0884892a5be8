package interp

import (
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir"
	"foundry/ir/dtype"
)

func TestBounds(t *testing.T) {
	g, err := ir.Parse("g.fir", `graph @g (T=1..4, P=0..4, S<=8) {
		%x = input "x" : f32[T, 8]
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
		%n = fused %q, %keys {pattern="scores"} {
			%0 = arg : f32[2, T, 8]
			%1 = arg : f16[2, S, 8]
			%2 = bmm_nt %0, %1 {scale=1}
			%3 = softmax %2 {causal=true, start=P}
			return %3
		}
		%o = fused %q, %keys {pattern="products"} {
			%0 = arg : f32[2, T, 8]
			%1 = arg : f16[2, S, 8]
			%2 = bmm_nt %0, %1 {scale=1}
			%3 = bmm_nn %2, %1
			return %3
		}
		%p = fused %n, %keys {pattern="values"} {
			%0 = arg : f32[2, T, S]
			%1 = arg : f16[2, S, 8]
			%2 = softmax %0 {causal=true, start=P}
			%3 = bmm_nn %2, %1
			return %3
		}
		return a=%a, b=%b, c=%c, d=%d, e=%e, f=%f, h=%h, i=%i, k=%k, l=%l, m=%m, n=%n, o=%o, p=%p
	}`)
	require.NoError(t, err)
	want := []float64{1e-10, 1e-6, 0, 0, 1e-6, 1e-5, 1e-9, 1e-10, 1e-6, 0, 1e-6, 1e-6, 1e-6} // scores of attention alone are both products and a softmax
	for i, n := range g.Nodes() {
		b := boundOf(n.Op, widthOf(n.Args, n.Results))
		if n.Region != nil {
			b = GraphBound(n.Region)
		}
		require.Equal(t, want[i], b.NMSE, "%s", n)
		require.NotEmpty(t, b.Why)
		require.True(t, b.Admits(Difference{}))
		require.False(t, b.Admits(Difference{NMSE: 1, MaxULP: 2}))
	}
	for _, op := range ir.Ops() {
		if op != ir.OpFused {
			require.NotEmpty(t, boundOf(op, fullWidth).Why, "%v has no bound", op)
		}
	}
}

// A bound admits what lies at it.
func TestBoundsAtTheirEnds(t *testing.T) {
	require.True(t, rounded.Admits(Difference{MaxULP: 1}), "one operation, rounded once")
	require.False(t, exact.Admits(Difference{MaxULP: 1}))
	require.True(t, sums.Admits(Difference{NMSE: sums.NMSE, MaxULP: 1 << 30}))
	require.False(t, sums.Admits(Difference{NMSE: sums.NMSE * 1.001}))
	q := &ir.Value{Type: ir.Type{DType: dtype.Q8_0}}
	h := &ir.Value{Type: ir.Type{DType: dtype.F16}}
	f := &ir.Value{Type: ir.Type{DType: dtype.F32}}
	for want, list := range map[width][]*ir.Value{blockWidth: {f, q, h}, halfWidth: {h, f}, fullWidth: {f}} {
		require.Equal(t, want, widthOf(list))
		require.Equal(t, want, widthOf(list[:1], list[1:]))
	}
}
