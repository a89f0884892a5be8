package ir_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/sym"
)

// Whatever operand of an op has a wrong element type or one dim too many, the error says which
// one by its name, and what it has.
func TestEachOperandIsNamed(t *testing.T) {
	of := func(d dtype.Type, dims ...int64) ir.Type {
		var shape []sym.Dim
		for _, n := range dims {
			shape = append(shape, sym.Const(n))
		}
		return ir.TypeOf(d, shape...)
	}
	f := func(dims ...int64) ir.Type { return of(dtype.F32, dims...) }
	ids := func(dims ...int64) ir.Type { return of(dtype.I32, dims...) }
	for _, c := range []struct {
		op    ir.Op
		attr  ir.Attr
		args  []ir.Type
		names []string
		want  ir.Type
	}{
		{ir.OpEmbedding, ir.Attr{}, []ir.Type{ids(3), f(9, 8)}, []string{"ids", "the table"}, f(3, 8)},
		{ir.OpRMSNorm, ir.Attr{Eps: 1}, []ir.Type{f(3, 8), f(8)}, []string{"", "the weight"}, f(3, 8)},
		{ir.OpSumSquares, ir.Attr{Size: sym.Const(4)}, []ir.Type{f(3, 8)}, []string{""}, f(3, 2)},
		{ir.OpMatmulNT, ir.Attr{}, []ir.Type{f(3, 8), f(5, 8)}, []string{"x", "the weight"}, f(3, 5)},
		{ir.OpRope, ir.Attr{}, []ir.Type{f(2, 3, 8), f(4)}, []string{"x", "inv_freq"}, f(2, 3, 8)},
		{ir.OpKVRearrange, ir.Attr{Heads: 2}, []ir.Type{f(3, 8)}, []string{"x"}, f(2, 3, 4)},
		{ir.OpKVWrite, ir.Attr{Start: sym.P}, []ir.Type{f(2, 99, 4), f(2, 3, 4)}, []string{"the cache", "x"}, f(2, 99, 4)},
		{ir.OpRepeatKV, ir.Attr{Times: 3}, []ir.Type{f(2, 5, 4)}, []string{"x"}, f(6, 5, 4)},
		{ir.OpBmmNT, ir.Attr{Scale: 1}, []ir.Type{f(6, 3, 4), f(2, 5, 4)}, []string{"a", "b"}, f(6, 3, 5)},
		{ir.OpBmmNN, ir.Attr{}, []ir.Type{f(6, 3, 5), f(2, 5, 4)}, []string{"a", "b"}, f(6, 3, 4)},
		{ir.OpArgmax, ir.Attr{}, []ir.Type{f(3, 8)}, []string{"x"}, ids(3)},
		{ir.OpSample, ir.Attr{}, []ir.Type{f(3, 8), f(5), f(3), ids(7)}, []string{"the logits", "the settings", "the random numbers", "the tokens seen"}, ids(3)},
		{ir.OpRandomUniform, ir.Attr{Size: sym.Const(6)}, []ir.Type{ids(3)}, []string{"the seed and counter"}, f(6)},
	} {
		add := func(spoil int, by ir.Type) (*ir.Value, error) {
			g := ir.NewGraph("g", sym.Bounds{TMin: 1, TMax: 1, SMax: 100, PMax: 9})
			args := make([]*ir.Value, len(c.args))
			for i, a := range c.args {
				if i == spoil {
					a = by
				}
				args[i] = g.Param(ir.Input, "p", a)
			}
			return g.Add(c.op, "n", c.attr, args...)
		}
		v, err := add(-1, ir.Type{})
		require.NoError(t, err, "%s", c.op)
		require.Equal(t, c.want, v.Type, "%s", c.op)
		for i, name := range c.names {
			if name == "" {
				continue // any rank, or more types
			}
			other := c.args[i]
			if other.DType = dtype.I32; c.args[i].DType == dtype.I32 {
				other.DType = dtype.F32
			}
			if name != "the weight" && name != "the table" {
				_, err = add(i, other)
				require.ErrorContains(t, err, name+" has dtype "+other.DType.String()+", wants "+c.args[i].DType.String(), "%s", c.op)
			}
			larger := c.args[i]
			larger.Shape = ir.ShapeOf(append([]sym.Dim{sym.Const(2)}, larger.Shape.Slice()...)...)
			_, err = add(i, larger)
			require.ErrorContains(t, err, fmt.Sprintf("%s has %s, wants rank %d", name, larger, c.args[i].Shape.Rank), "%s", c.op)
			if name != "the weight" && name != "the table" {
				larger.DType = other.DType
				_, err = add(i, larger)
				require.ErrorContains(t, err, name+" has dtype "+other.DType.String(), "%s: the element type comes first", c.op)
			}
		}
	}
}

// Numbers at the border of what an op takes: the last that it takes, and the first that it does not.
func TestBordersOfAttributes(t *testing.T) {
	f := func(dims ...int64) ir.Type {
		var shape []sym.Dim
		for _, n := range dims {
			shape = append(shape, sym.Const(n))
		}
		return ir.TypeOf(dtype.F32, shape...)
	}
	for _, c := range []struct {
		op   ir.Op
		attr ir.Attr
		args []ir.Type
		want string
	}{
		{ir.OpTranspose, ir.Attr{Perm: [4]int8{1, 0}}, []ir.Type{f(3, 8)}, ""},
		{ir.OpTranspose, ir.Attr{Perm: [4]int8{2, 0}}, []ir.Type{f(3, 8)}, "perm=[2 0 0 0] is not a permutation of 2 dims"},
		{ir.OpTranspose, ir.Attr{Perm: [4]int8{-1, 0}}, []ir.Type{f(3, 8)}, "is not a permutation"},
		{ir.OpTranspose, ir.Attr{Perm: [4]int8{0, 0}}, []ir.Type{f(3, 8)}, "is not a permutation"},
		{ir.OpTranspose, ir.Attr{Perm: [4]int8{1, 0, 1}}, []ir.Type{f(3, 8)}, "has more than 2 entries"},
		{ir.OpKVRearrange, ir.Attr{Heads: 1}, []ir.Type{f(3, 8)}, ""},
		{ir.OpKVRearrange, ir.Attr{Heads: 0}, []ir.Type{f(3, 8)}, "heads=0 does not divide"},
		{ir.OpKVRearrange, ir.Attr{Heads: -2}, []ir.Type{f(3, 8)}, "heads=-2 does not divide"},
		{ir.OpKVRearrange, ir.Attr{Heads: 3}, []ir.Type{f(3, 8)}, "heads=3 does not divide the row length 8"},
		{ir.OpRepeatKV, ir.Attr{Times: 1}, []ir.Type{f(2, 3, 4)}, ""},
		{ir.OpRepeatKV, ir.Attr{Times: 0}, []ir.Type{f(2, 3, 4)}, "times=0, wants 1 to 65536"},
		{ir.OpRepeatKV, ir.Attr{Times: 1 << 16}, []ir.Type{f(2, 3, 4)}, ""},
		{ir.OpRepeatKV, ir.Attr{Times: 1<<16 + 1}, []ir.Type{f(2, 3, 4)}, "times=65537"},
		{ir.OpRMSNorm, ir.Attr{Eps: 0}, []ir.Type{f(3, 8), f(8)}, ""},
		{ir.OpRMSNorm, ir.Attr{Eps: -1e-9}, []ir.Type{f(3, 8), f(8)}, "eps is -1e-09, wants 0 or a positive number"},
		{ir.OpRMSNorm, ir.Attr{Eps: 1e39}, []ir.Type{f(3, 8), f(8)}, "eps is 1e+39"},
		{ir.OpRMSNorm, ir.Attr{}, []ir.Type{f(), f(8)}, "x has f32[], wants at least one dim"},
		{ir.OpSumSquares, ir.Attr{Size: sym.Const(8)}, []ir.Type{f(8)}, ""},
		{ir.OpSumSquares, ir.Attr{Size: sym.Const(3)}, []ir.Type{f(8)}, "size=3 does not divide the row length 8"},
		{ir.OpSumSquares, ir.Attr{Size: sym.Const(-4)}, []ir.Type{f(8)}, "size=-4 does not divide"},
		{ir.OpSumSquares, ir.Attr{}, []ir.Type{f()}, "x has f32[], wants at least one dim"},
		{ir.OpRMSScale, ir.Attr{Eps: 1}, []ir.Type{f(8), f(2), f(8)}, ""},
		{ir.OpRMSScale, ir.Attr{Eps: 1}, []ir.Type{f(), f(), f(8)}, "the sums have f32[], want the leading dims of x's f32[]"},
		{ir.OpRMSScale, ir.Attr{Eps: 1}, []ir.Type{f(4, 3, 8), f(4, 2, 8), f(8)}, "the sums have f32[4, 2, 8], want the leading dims of x's f32[4, 3, 8]"},
		{ir.OpSlice, ir.Attr{Axis: 1, Size: sym.Const(4)}, []ir.Type{f(3, 8)}, ""},
		{ir.OpSlice, ir.Attr{Axis: 2, Size: sym.Const(4)}, []ir.Type{f(3, 8)}, "axis=2, wants 0..1"},
		{ir.OpSlice, ir.Attr{Axis: -1, Size: sym.Const(4)}, []ir.Type{f(3, 8)}, "axis=-1, wants 0..1"},
		{ir.OpConcat, ir.Attr{Axis: 1}, []ir.Type{f(3, 8), f(3, 5)}, ""},
		{ir.OpConcat, ir.Attr{Axis: 2}, []ir.Type{f(3, 8), f(3, 5)}, "axis=2, wants 0..1"},
		{ir.OpConcat, ir.Attr{Axis: -1}, []ir.Type{f(3, 8), f(3, 5)}, "axis=-1, wants 0..1"},
		{ir.OpConcat, ir.Attr{Axis: 0}, []ir.Type{f(3, 8), f(3, 8), f(3, 5)}, "operand 2 has f32[3, 5], wants f32[3, 8] but for dim 0"},
		{ir.OpConcat, ir.Attr{Axis: 0}, []ir.Type{f(3, 8), f(3)}, "operand 1 has f32[3], wants f32[3, 8] but for dim 0"},
		{ir.OpSoftmax, ir.Attr{}, []ir.Type{f(3, 8)}, ""},
		{ir.OpSoftmax, ir.Attr{}, []ir.Type{f(8)}, "x has f32[8], wants at least two dims"},
		{ir.OpSoftmax, ir.Attr{Start: sym.P}, []ir.Type{f(3, 8)}, "start=P has no meaning without causal=true"},
		{ir.OpSoftmax, ir.Attr{Window: 1}, []ir.Type{f(3, 8)}, "window=1, wants a count of columns, and causal=true"},
		{ir.OpSoftmax, ir.Attr{Window: 1, Causal: true}, []ir.Type{f(3, 8)}, ""},
		{ir.OpSoftmax, ir.Attr{Window: -1, Causal: true}, []ir.Type{f(3, 8)}, "window=-1"},
		{ir.OpBmmNT, ir.Attr{Scale: 1e39}, []ir.Type{f(6, 3, 4), f(2, 5, 4)}, "scale is 1e+39"},
		{ir.OpBmmNT, ir.Attr{Scale: 1}, []ir.Type{f(6, 3, 4), f(4, 5, 4)}, "b's 4 heads do not divide a's 6"},
		{ir.OpBmmNN, ir.Attr{}, []ir.Type{f(6, 3, 5), f(4, 5, 4)}, "b's 4 heads do not divide a's 6"},
	} {
		g := ir.NewGraph("g", sym.Bounds{TMin: 1, TMax: 1, SMax: 100, PMax: 9})
		var args []*ir.Value
		for _, a := range c.args {
			args = append(args, g.Param(ir.Input, "p", a))
		}
		_, err := g.Add(c.op, "n", c.attr, args...)
		if c.want == "" {
			require.NoError(t, err, "%s %v", c.op, c.attr)
		} else {
			require.ErrorContains(t, err, c.want, "%s %v", c.op, c.attr)
		}
	}
}
