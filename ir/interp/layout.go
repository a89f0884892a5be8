package interp

import (
	"fmt"
	"math"
	"slices"

	"foundry/ir"
	"foundry/ir/dtype"
)

// element returns where element i, counted row-major, stands.
func (v *value[F]) element(i int) int {
	pos := v.offset
	for d := len(v.shape) - 1; d >= 0; d-- {
		pos += i % v.shape[d] * v.stride[d]
		i /= v.shape[d]
	}
	return pos
}

// asRow and asScalar go between a scalar and a row of one element.
func (v value[F]) asRow() value[F] {
	v.shape, v.stride = []int{1}, []int{1}
	return v
}

func (v value[F]) asScalar() value[F] {
	v.shape, v.stride = nil, nil
	return v
}

func reshape[F real](m *machine[F], n *ir.Node, args []value[F]) (value[F], error) {
	x := m.packed(args[0])
	if x.ints != nil && !x.isDense() {
		ints := make([]int32, x.len())
		for i := range ints {
			ints[i] = x.ints[x.element(i)]
		}
		x.ints, x.offset = ints, 0
	}
	out := dense[F](x.dtype, n.Attr.Shape.Eval(m.env))
	out.data, out.ints, out.buf, out.offset = x.data, x.ints, x.buf, x.offset
	return out, nil
}

func slice[F real](m *machine[F], n *ir.Node, args []value[F]) (value[F], error) {
	out := args[0]
	out.shape = slices.Clone(out.shape)
	out.shape[n.Attr.Axis] = int(n.Attr.Size.Eval(m.env))
	out.offset += int(n.Attr.Start.Eval(m.env)) * out.stride[n.Attr.Axis]
	return out, nil
}

func transpose[F real](_ *machine[F], n *ir.Node, args []value[F]) (value[F], error) {
	out := args[0]
	out.shape, out.stride = slices.Clone(out.shape), slices.Clone(out.stride)
	for i := range out.shape {
		out.shape[i] = args[0].shape[n.Attr.Perm[i]]
		out.stride[i] = args[0].stride[n.Attr.Perm[i]]
	}
	return out, nil
}

func concat[F real](m *machine[F], n *ir.Node, args []value[F]) (value[F], error) {
	axis := n.Attr.Axis
	shape := slices.Clone(args[0].shape)
	for _, a := range args[1:] {
		shape[axis] += a.shape[axis]
	}
	var out value[F]
	if args[0].ints != nil {
		out = dense[F](args[0].dtype, shape)
		out.ints = make([]int32, out.len())
	} else {
		out = m.alloc(shape)
		out.dtype = args[0].dtype
	}
	part := out
	part.shape = slices.Clone(shape)
	for _, a := range args {
		part.shape[axis] = a.shape[axis]
		scatter(part, a)
		part.offset += a.shape[axis] * part.stride[axis]
	}
	return out, nil
}

// scatter copies src's elements to dst's places; the shapes are equal.
func scatter[F real](dst, src value[F]) {
	if src.ints != nil {
		for i := range src.len() {
			dst.ints[dst.element(i)] = src.ints[src.element(i)]
		}
		return
	}
	if src.hasRows() && dst.hasRows() {
		for r := range src.rows() {
			copy(dst.row(r), src.row(r))
		}
		return
	}
	for i := range src.len() {
		dst.data[dst.element(i)] = src.data[src.element(i)]
	}
}

// kvRearrange sees [T, H*D] as [H, T, D].
func kvRearrange[F real](m *machine[F], n *ir.Node, args []value[F]) (value[F], error) {
	x := m.withRows(args[0])
	out, heads := x, n.Attr.Heads
	width := x.shape[1] / heads
	out.shape = []int{heads, x.shape[0], width}
	out.stride = []int{width, x.stride[0], 1}
	return out, nil
}

// kvWrite writes into the cache, which the result shares.
func kvWrite[F real](m *machine[F], n *ir.Node, args []value[F]) (value[F], error) {
	cache, x := args[0], m.withRows(args[1])
	start, tokens := int(n.Attr.Start.Eval(m.env)), x.shape[1]
	for i := range x.rows() {
		head, t := i/tokens, i%tokens
		out := cache.row(head*cache.shape[1] + start + t)
		for j, v := range x.row(i) {
			out[j] = round(cache.dtype, v)
			if math.IsInf(float64(out[j]), 0) && !math.IsInf(float64(v), 0) && cache.dtype != dtype.F32 {
				return value[F]{}, fmt.Errorf("%g is beyond what an %s cache holds: compile with --cache f32", v, cache.dtype)
			}
		}
	}
	return cache, nil
}

func repeatKV[F real](m *machine[F], n *ir.Node, args []value[F]) (value[F], error) {
	x := m.withRows(args[0])
	out := m.alloc([]int{x.shape[0] * n.Attr.Times, x.shape[1], x.shape[2]})
	out.dtype = x.dtype
	rows := x.shape[1]
	m.parallel(out.rows(), out.cols(), func() func(lo, hi int) {
		return func(lo, hi int) {
			for i := lo; i < hi; i++ {
				copy(out.row(i), x.row(i/rows/n.Attr.Times*rows+i%rows))
			}
		}
	})
	return out, nil
}
