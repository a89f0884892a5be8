// Package ir turns a model into a graph of tensor operations that passes can
// edit, check, print and parse.
//
// A Graph is pure dataflow: params, nodes in an order that respects their
// dependences, results. A Node is one operation of the op table (ops.go); a
// fused node carries a region, a nested graph isolated from above that holds
// the exact operations it stands for. Types are symbolic in T (tokens of this
// run) and P (tokens cached before it).
//
// Read next: ops.go for the operations, graph.go for the graph, print.go for its
// textual form, then foundry/ir/interp for what the operations mean.
package ir

import (
	"strings"

	"foundry/ir/dtype"
	"foundry/ir/sym"
)

// MaxRank is the most dimensions a tensor may have.
const MaxRank = 4

// Shape is a list of up to MaxRank dims, outermost first. Shapes are comparable.
type Shape struct {
	Rank uint8
	Dims [MaxRank]sym.Dim
}

// ShapeOf returns the shape with the given dims; it panics beyond MaxRank.
func ShapeOf(dims ...sym.Dim) Shape {
	var s Shape
	s.Rank = uint8(copy(s.Dims[:], dims))
	if len(dims) > MaxRank {
		panic("ir: a shape has at most 4 dims")
	}
	return s
}

// Slice returns the dims.
func (s Shape) Slice() []sym.Dim { return append([]sym.Dim(nil), s.Dims[:s.Rank]...) }

// At returns dim i; a negative i counts from the end.
func (s Shape) At(i int) sym.Dim {
	if i < 0 {
		i += int(s.Rank)
	}
	return s.Dims[i]
}

// With returns s with dim i replaced; a negative i counts from the end.
func (s Shape) With(i int, d sym.Dim) Shape {
	if i < 0 {
		i += int(s.Rank)
	}
	s.Dims[i] = d
	return s
}

// Eval returns the dims as numbers.
func (s Shape) Eval(e sym.Env) []int {
	out := make([]int, s.Rank)
	for i := range out {
		out[i] = int(s.Dims[i].Eval(e))
	}
	return out
}

// Elems returns the number of elements in e.
func (s Shape) Elems(e sym.Env) int64 {
	n := int64(1)
	for _, d := range s.Dims[:s.Rank] {
		n *= d.Eval(e)
	}
	return n
}

// MaxElems returns an upper bound of the number of elements within b: the
// product of each dim's largest value.
func (s Shape) MaxElems(b sym.Bounds) int64 {
	n := int64(1)
	for _, d := range s.Dims[:s.Rank] {
		n *= d.Max(b)
	}
	return n
}

// String prints the shape as "[T, 896]".
func (s Shape) String() string {
	var b strings.Builder
	b.WriteByte('[')
	for i, d := range s.Dims[:s.Rank] {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(d.String())
	}
	b.WriteByte(']')
	return b.String()
}

// Type is a tensor's element type and shape. Types are comparable. A
// block-quantised type has the logical shape; blocks lie along the last dim.
type Type struct {
	DType dtype.Type
	Shape Shape
}

// TypeOf returns the type with the given element type and dims.
func TypeOf(t dtype.Type, dims ...sym.Dim) Type { return Type{t, ShapeOf(dims...)} }

// String prints the type as "f16[896, 4864]".
func (t Type) String() string { return t.DType.String() + t.Shape.String() }

// MaxBytes returns the storage the type needs at most within b.
func (t Type) MaxBytes(b sym.Bounds) int64 { return t.DType.Bytes(t.Shape.MaxElems(b)) }
