package interp

import (
	"encoding/binary"
	"fmt"
	"slices"
	"unsafe"

	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/sym"
)

// Tensor is a dense, row-major tensor that goes into a program or comes out of
// it. Exactly one of the slices holds the elements. A float tensor may come in
// any of the float forms: F32 and F64 hold the values, whatever DType is.
type Tensor struct {
	DType  dtype.Type
	Shape  []int
	F32    []float32
	F64    []float64
	I32    []int32
	Stored []byte // little-endian elements or blocks of DType
}

// Floats returns an f32 tensor over values.
func Floats(values []float32, shape ...int) Tensor {
	return Tensor{DType: dtype.F32, Shape: shape, F32: values}
}

// Ints returns an i32 tensor over values.
func Ints(values []int32, shape ...int) Tensor {
	return Tensor{DType: dtype.I32, Shape: shape, I32: values}
}

// Stored returns a tensor over the bytes of a checkpoint.
func Stored(t dtype.Type, data []byte, shape ...int) Tensor {
	return Tensor{DType: t, Shape: shape, Stored: data}
}

// Len returns the number of elements that the shape asks for.
func (t Tensor) Len() int {
	n := 1
	for _, d := range t.Shape {
		n *= d
	}
	return n
}

// Float64s returns a float or block-quantised tensor's elements widened to
// float64. The slice may be the tensor's own.
func (t Tensor) Float64s() []float64 {
	if t.F64 != nil {
		return t.F64
	}
	out := make([]float64, t.Len())
	convert(out, t.Float32s())
	return out
}

// Float32s returns a float or block-quantised tensor's elements, float64 ones
// rounded. The slice may be the tensor's own.
func (t Tensor) Float32s() []float32 {
	switch {
	case t.F32 != nil:
		return t.F32
	case t.F64 != nil:
		out := make([]float32, len(t.F64))
		convert(out, t.F64)
		return out
	case t.DType == dtype.F32:
		if out, ok := alias[float32](t.Stored); ok {
			return out
		}
	}
	out := make([]float32, t.Len())
	dtype.Dequantise(t.DType, t.Stored, out)
	return out
}

// clone returns a copy that shares no storage with t.
func (t Tensor) clone() Tensor {
	t.Shape = slices.Clone(t.Shape)
	t.F32, t.F64, t.I32, t.Stored = slices.Clone(t.F32), slices.Clone(t.F64), slices.Clone(t.I32), slices.Clone(t.Stored)
	return t
}

// check reports how t differs from the type that what wants.
func (t Tensor) check(what string, want ir.Type, e sym.Env) error {
	shape := want.Shape.Eval(e)
	if t.DType != want.DType || !slices.Equal(t.Shape, shape) {
		return fmt.Errorf("%s has %s%v, wants %s%v", what, t.DType, t.Shape, want.DType, shape)
	}
	forms, n := 0, t.Len()
	for _, f := range []struct {
		have, want int
		unit       string
		ok         bool
	}{
		{len(t.F32), n, "float32 elements", t.DType.Float()},
		{len(t.F64), n, "float64 elements", t.DType.Float()},
		{len(t.I32), n, "int32 elements", t.DType == dtype.I32},
		{len(t.Stored), int(t.DType.Bytes(int64(n))), "bytes", true},
	} {
		switch {
		case f.have == 0:
		case !f.ok || f.have != f.want:
			return fmt.Errorf("%s holds %d %s, wants %d of %s", what, f.have, f.unit, f.want, t.DType)
		default:
			forms++
		}
	}
	if forms != 1 {
		return fmt.Errorf("%s holds its elements in %d forms, wants one", what, forms)
	}
	return nil
}

// convert writes src to dst, rounding to nearest even where dst is narrower.
func convert[D, S real](dst []D, src []S) {
	dst = dst[:len(src)]
	for i, v := range src {
		dst[i] = D(v)
	}
}

// alias sees little-endian bytes as elements, without a copy; false where they
// are not aligned for it. Every machine Foundry builds for is little-endian.
func alias[E float32 | int32](b []byte) ([]E, bool) {
	const size = 4
	p := unsafe.Pointer(unsafe.SliceData(b))
	if len(b) == 0 || uintptr(p)%size != 0 {
		return nil, false
	}
	return unsafe.Slice((*E)(p), len(b)/size), true
}

// ints returns an i32 tensor's elements.
func (t Tensor) ints() []int32 {
	if t.I32 != nil {
		return t.I32
	}
	if out, ok := alias[int32](t.Stored); ok {
		return out
	}
	out := make([]int32, t.Len())
	for i := range out {
		out[i] = int32(binary.LittleEndian.Uint32(t.Stored[4*i:]))
	}
	return out
}
