package irgen

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"

	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/sym"
)

// mostElems bounds every tensor of a free graph.
const mostElems = 1 << 14

// free strings together ops whose operands fit.
type free struct {
	*builder
	values []*ir.Value // values that a next op may read: no weight, no overwritten cache
}

// Free returns a graph of 3 to 20 ops drawn from the whole table but fused, each
// on operands that are there or on new params, and now and then a softmax of its own.
func Free(r *rand.Rand) *ir.Graph {
	f := &free{builder: newBuilder(r, drawBounds(r))}
	f.values = append(f.values, f.param(ir.Input, "x", dtype.F32, sym.T, sym.Const(randomOf[int64](r, 1, 7, 32, 64))))
	want := 3 + r.IntN(18)
	for tries := 0; len(f.g.Nodes()) < want && tries < 20*want; tries++ {
		if v := f.next(); v != nil {
			f.values = append(f.values, v)
		}
	}
	f.returnLeaves()
	if r.IntN(3) == 0 {
		f.longSoftmax()
	}
	return f.finish()
}

// next adds a node of an operation drawn from the whole table; nil means it did not work out.
func (f *free) next() *ir.Value {
	draw := f.r.Uint64()
	op := slices.MaxFunc(ir.Ops(), func(a, b ir.Op) int { return cmp.Compare(randomFor(draw, a.String()), randomFor(draw, b.String())) })
	switch maker := makers[op]; {
	case maker != nil:
		return maker(f)
	case op.IsFunction():
		return f.function(op)
	}
	return nil
}

// returnLeaves returns what nothing reads, and now and then another value.
func (f *free) returnLeaves() {
	for _, v := range f.values {
		if v.Def == nil || len(v.Users()) > 0 && f.r.IntN(6) > 0 {
			continue
		}
		if root := ir.StateRoot(v); root != v {
			continue // returned where it was written
		}
		f.g.Return(fmt.Sprintf("y%d", len(f.g.Results)), v)
	}
	if len(f.g.Results) == 0 {
		f.g.Return("y", f.values[0])
	}
}

// try adds a node unless its result would be too large.
func (f *free) try(op ir.Op, a ir.Attr, args ...*ir.Value) *ir.Value {
	v := f.add(op, fmt.Sprintf("n%d", len(f.g.Nodes())), a, args...)
	if v.Type.Shape.MaxElems(f.g.Bounds) > mostElems {
		if err := f.g.Erase(v.Def); err != nil {
			panic("irgen: " + err.Error())
		}
		return nil
	}
	return v
}

// find returns a random value that fits, or nil.
func (f *free) find(fits func(ir.Type) bool) *ir.Value {
	at := f.r.IntN(len(f.values))
	for i := range f.values {
		if v := f.values[(at+i)%len(f.values)]; fits(v.Type) {
			return v
		}
	}
	return nil
}

// floats returns a random f32 value of the given rank, or of at least -rank.
func (f *free) floats(rank int) *ir.Value {
	return f.find(func(t ir.Type) bool {
		r := int(t.Shape.Rank)
		return t.DType == dtype.F32 && (r == rank || rank < 0 && r >= -rank)
	})
}

// constant returns dim i of v where it is a number.
func constant(v *ir.Value, i int) (int64, bool) {
	if v == nil {
		return 0, false
	}
	return v.Type.Shape.At(i).Const()
}

// makers holds how to add a random node of each op but the functions of one element;
// nil means it did not work out.
var makers = map[ir.Op]func(f *free) *ir.Value{
	ir.OpEmbedding:   (*free).embedding,
	ir.OpRMSNorm:     (*free).rmsNorm,
	ir.OpSumSquares:  (*free).sumSquares,
	ir.OpRMSScale:    (*free).rmsScale,
	ir.OpMatmulNT:    (*free).matmul,
	ir.OpAdd:         func(f *free) *ir.Value { return f.binary(ir.OpAdd) },
	ir.OpMul:         func(f *free) *ir.Value { return f.binary(ir.OpMul) },
	ir.OpRope:        (*free).rope,
	ir.OpKVRearrange: (*free).kvRearrange,
	ir.OpKVWrite:     (*free).kvWrite,
	ir.OpRepeatKV:    (*free).repeatKV,
	ir.OpBmmNT:       (*free).bmmNT,
	ir.OpBmmNN:       (*free).bmmNN,
	ir.OpSoftmax:     (*free).softmax,
	ir.OpArgmax:      (*free).argmax,
	ir.OpSample:      (*free).sample,
	ir.OpArange: func(f *free) *ir.Value {
		return f.try(ir.OpArange, ir.Attr{Start: f.startRow(), Size: f.length()})
	},
	ir.OpOnes: func(f *free) *ir.Value { return f.try(ir.OpOnes, ir.Attr{Size: f.length()}) },
	ir.OpRandomUniform: func(f *free) *ir.Value {
		return f.try(ir.OpRandomUniform, ir.Attr{Size: f.length()}, f.param(ir.Input, "random", dtype.I32, sym.Const(3)))
	},
	ir.OpCast:      (*free).cast,
	ir.OpReshape:   (*free).reshape,
	ir.OpSlice:     (*free).slice,
	ir.OpTranspose: (*free).transpose,
	ir.OpConcat:    (*free).concat,
}

func (f *free) embedding() *ir.Value {
	vocab := randomOf[int64](f.r, 3, 64, 129)
	ids := f.find(func(t ir.Type) bool { return t.DType == dtype.I32 && t.Shape.Rank == 1 })
	if ids != nil {
		// Ids that a node made lie below any vocabulary that the graph has.
		vocab = 1 << 9
	} else {
		ids = f.param(ir.Input, "ids", dtype.I32, sym.T)
		f.values = append(f.values, ids)
	}
	return f.try(ir.OpEmbedding, ir.Attr{}, ids, f.weight("table", vocab, randomOf[int64](f.r, 1, 8, 32, 64)))
}

func (f *free) rmsNorm() *ir.Value {
	x := f.floats(-1)
	n, ok := constant(x, -1)
	if !ok {
		return nil
	}
	w := f.param(ir.Weight, "norm.weight", randomOf(f.r, dtype.F32, dtype.F16, dtype.BF16), sym.Const(n))
	return f.try(ir.OpRMSNorm, ir.Attr{Eps: randomOf(f.r, 1e-6, 1e-5)}, x, w)
}

func (f *free) sumSquares() *ir.Value {
	x := f.floats(-1)
	n, ok := constant(x, -1)
	size := randomOf[int64](f.r, 1, 8, 32, max(1, n))
	if !ok || n%size != 0 {
		return nil
	}
	return f.try(ir.OpSumSquares, ir.Attr{Size: sym.Const(size)}, x)
}

// rmsScale takes x's own sums: of others the sum might be negative.
func (f *free) rmsScale() *ir.Value {
	sums := f.sumSquares()
	if sums == nil {
		return nil
	}
	x := sums.Def.Args[0]
	n, _ := constant(x, -1)
	w := f.param(ir.Weight, "scale.weight", dtype.F32, sym.Const(n))
	return f.try(ir.OpRMSScale, ir.Attr{Eps: 1e-6}, x, sums, w)
}

func (f *free) matmul() *ir.Value {
	x := f.floats(2)
	if x == nil {
		return nil
	}
	if f.r.IntN(3) == 0 {
		y := f.find(func(t ir.Type) bool {
			return t.DType == dtype.F32 && t.Shape.Rank == 2 && t.Shape.At(1) == x.Type.Shape.At(1)
		})
		return f.try(ir.OpMatmulNT, ir.Attr{}, x, y) // x itself fits
	}
	cols, ok := constant(x, 1)
	if !ok {
		return nil
	}
	return f.try(ir.OpMatmulNT, ir.Attr{}, x, f.weight("w", randomOf[int64](f.r, 1, 31, 32, 64), cols))
}

func (f *free) binary(op ir.Op) *ir.Value {
	x := f.floats(-1)
	if x == nil {
		return nil
	}
	s := x.Type.Shape
	if n, ok := constant(x, -1); ok && f.r.IntN(3) == 0 {
		return f.try(op, ir.Attr{}, x, f.param(ir.Weight, "b", randomOf(f.r, dtype.F32, dtype.F16, dtype.BF16), sym.Const(n)))
	}
	y := f.find(func(t ir.Type) bool {
		if !t.DType.Float() || t.Shape.Rank == 0 || t.Shape.Rank > s.Rank {
			return false
		}
		for i := 1; i <= int(t.Shape.Rank); i++ {
			if t.Shape.At(-i) != s.At(-i) {
				return false
			}
		}
		return true
	})
	return f.try(op, ir.Attr{}, x, y) // x itself fits
}

// function takes a function of each element and mostly, as a gate would, multiplies by
// it; now and then the function's own result is returned, too.
func (f *free) function(op ir.Op) *ir.Value {
	x := f.find(func(t ir.Type) bool { return t.DType == dtype.F32 })
	var a ir.Attr
	for _, field := range op.Info().Fields {
		if err := field.Set(&a, randomOf(f.r, "0.01", "0.25", "1", "1.5")); err != nil {
			panic("irgen: " + err.Error())
		}
	}
	y := f.try(op, a, x)
	if y == nil || f.r.IntN(6) == 0 {
		return y
	}
	if f.values = append(f.values, y); f.r.IntN(8) == 0 {
		f.g.Return(fmt.Sprintf("gate%d", len(f.g.Results)), y)
	}
	return f.try(ir.OpMul, ir.Attr{}, y, x)
}

// startRow is where row 0 of a run may stand.
func (f *free) startRow() sym.Dim {
	return randomOf(f.r, sym.P, sym.P, sym.Const(0), sym.P.Add(sym.Const(3)))
}

func (f *free) rope() *ir.Value {
	x := f.floats(3)
	n, ok := constant(x, 2)
	if !ok || n%2 != 0 {
		return nil
	}
	table := f.param(ir.Weight, "inv_freq", dtype.F32, sym.Const(n/2))
	return f.try(ir.OpRope, ir.Attr{Start: f.startRow()}, x, table)
}

func (f *free) kvRearrange() *ir.Value {
	x := f.floats(2)
	n, ok := constant(x, 1)
	if !ok {
		return nil
	}
	heads := randomOf[int64](f.r, 1, 2, 4, n)
	if n%heads != 0 {
		return nil
	}
	return f.try(ir.OpKVRearrange, ir.Attr{Heads: int(heads)}, x)
}

// kvWrite writes to a new cache and hands on a view of it; the successor itself
// is only returned, so that no later op reads it out of order.
func (f *free) kvWrite() *ir.Value {
	x := f.floats(3)
	heads, okH := constant(x, 0)
	width, okW := constant(x, 2)
	if !okH || !okW || x.Type.Shape.At(1) != sym.T {
		return nil
	}
	rows := sym.Const(f.g.Bounds.SMax + int64(f.r.IntN(3)))
	if heads*width*rows.C > mostElems {
		return nil
	}
	c := f.param(ir.State, "cache", randomOf(f.r, dtype.F32, dtype.F16), sym.Const(heads), rows, sym.Const(width))
	if f.r.IntN(3) == 0 {
		// The old content, read before it goes.
		old := f.try(ir.OpSlice, ir.Attr{Axis: 1, Size: sym.Const(1 + f.r.Int64N(rows.C))}, c)
		f.values = append(f.values, f.try(ir.OpCast, ir.Attr{To: dtype.F32}, old))
	}
	next := f.try(ir.OpKVWrite, ir.Attr{Start: sym.P}, c, x)
	f.g.Return(c.Param.Name, next)
	if f.r.IntN(4) == 0 {
		return f.try(ir.OpSlice, ir.Attr{Axis: 1, Start: sym.P, Size: sym.T}, next)
	}
	return f.try(ir.OpSlice, ir.Attr{Axis: 1, Size: sym.S}, next)
}

// keys finds a value that may be the second operand of a bmm.
func (f *free) keys(fits func(ir.Shape) bool) *ir.Value {
	return f.find(func(t ir.Type) bool {
		return (t.DType == dtype.F32 || t.DType == dtype.F16) && t.Shape.Rank == 3 && fits(t.Shape)
	})
}

func (f *free) repeatKV() *ir.Value {
	x := f.keys(func(ir.Shape) bool { return true })
	if x == nil {
		return nil
	}
	return f.try(ir.OpRepeatKV, ir.Attr{Times: 1 + f.r.IntN(3)}, x)
}

// divides reports whether b heads may serve a heads.
func divides(a, b sym.Dim) bool {
	h, okH := a.Const()
	g, okG := b.Const()
	return okH && okG && h%g == 0
}

func (f *free) bmmNT() *ir.Value {
	x := f.floats(3)
	if x == nil {
		return nil
	}
	s := x.Type.Shape
	y := f.keys(func(t ir.Shape) bool { return divides(s.At(0), t.At(0)) && t.At(2) == s.At(2) })
	if y == nil {
		return nil // x's heads may be a symbol
	}
	return f.try(ir.OpBmmNT, ir.Attr{Scale: randomOf(f.r, 1, 0.125, 0.3)}, x, y)
}

func (f *free) bmmNN() *ir.Value {
	x := f.floats(3)
	if x == nil {
		return nil
	}
	s := x.Type.Shape
	y := f.keys(func(t ir.Shape) bool { return divides(s.At(0), t.At(0)) && t.At(1) == s.At(2) })
	if y == nil {
		return nil
	}
	return f.try(ir.OpBmmNN, ir.Attr{}, x, y)
}

func (f *free) softmax() *ir.Value {
	x := f.floats(-2)
	if x == nil {
		return nil
	}
	if f.r.IntN(2) == 0 {
		return f.try(ir.OpSoftmax, ir.Attr{}, x)
	}
	return f.try(ir.OpSoftmax, ir.Attr{Causal: true, Start: f.startRow(), Window: randomOf(f.r, 0, 0, 1, 7)}, x)
}

// longSoftmax returns the softmax of rows so long that several threadgroups may take
// one. They are beyond mostElems, so no other op reads them.
func (f *free) longSoftmax() {
	x := f.param(ir.Weight, "long", dtype.F32, sym.Const(randomOf[int64](f.r, 1, 2)), sym.Const(randomOf[int64](f.r, 1<<15, 40003)))
	a := ir.Attr{}
	if f.r.IntN(2) == 0 {
		a = ir.Attr{Causal: true, Start: sym.Const(1 << 14)}
	}
	f.g.Return("long", f.add(ir.OpSoftmax, "long", a, x))
}

func (f *free) argmax() *ir.Value {
	x := f.floats(2)
	// An embedding may take the result as ids.
	if x == nil || x.Type.Shape.At(1).Max(f.g.Bounds) > 1<<9 {
		return nil
	}
	return f.try(ir.OpArgmax, ir.Attr{}, x)
}

// sample draws from logits of its own: of computed ones, a rounding may decide.
func (f *free) sample() *ir.Value {
	// An embedding may take the result as ids.
	logits := f.param(ir.Input, "logits", dtype.F32, sym.T, sym.Const(randomOf[int64](f.r, 1, 33, 500)))
	return f.try(ir.OpSample, ir.Attr{}, logits, f.param(ir.Input, "settings", dtype.F32, sym.Const(5)),
		f.param(ir.Input, "u", dtype.F32, sym.T), f.param(ir.Input, "seen", dtype.I32, sym.Const(randomOf[int64](f.r, 1, 7))))
}

// length is the size of a tensor made of nothing.
func (f *free) length() sym.Dim {
	return randomOf(f.r, sym.T, sym.Const(1), sym.Const(7), sym.Const(32), sym.Const(257))
}

func (f *free) cast() *ir.Value {
	x := f.find(func(t ir.Type) bool { return t.DType.Float() })
	return f.try(ir.OpCast, ir.Attr{To: randomOf(f.r, dtype.F32, dtype.F16, dtype.BF16)}, x)
}

// reshape merges two neighbouring dims, splits one or adds one of 1.
func (f *free) reshape() *ir.Value {
	x := randomOf(f.r, f.values...)
	dims := x.Type.Shape.Slice()
	at := 0
	if len(dims) > 0 {
		at = f.r.IntN(len(dims))
	}
	switch f.r.IntN(3) {
	case 0:
		if at+1 >= len(dims) {
			return nil
		}
		both, ok := sym.Mul(dims[at], dims[at+1])
		if !ok {
			return nil
		}
		dims = slices.Replace(dims, at, at+2, both)
	case 1:
		if len(dims) == 0 || len(dims) == ir.MaxRank {
			return nil
		}
		by := randomOf[int64](f.r, 1, 2, 4)
		part, ok := dims[at].Div(by)
		if !ok {
			return nil
		}
		dims = slices.Replace(dims, at, at+1, part, sym.Const(by))
	default:
		if len(dims) == ir.MaxRank {
			return nil
		}
		dims = slices.Insert(dims, at, sym.Const(1))
	}
	if _, ok := sym.Product(dims...); !ok {
		return nil // T³ and the like, which the IR does not multiply out
	}
	return f.try(ir.OpReshape, ir.Attr{Shape: ir.ShapeOf(dims...)}, x)
}

func (f *free) slice() *ir.Value {
	x := f.find(func(t ir.Type) bool { return t.Shape.Rank > 0 })
	axis := f.r.IntN(int(x.Type.Shape.Rank))
	dim := x.Type.Shape.At(axis)
	n, ok := dim.Const()
	if !ok {
		// The last element, whatever the symbols are.
		return f.try(ir.OpSlice, ir.Attr{Axis: axis, Start: dim.Sub(sym.Const(1)), Size: sym.Const(1)}, x)
	}
	start := f.r.Int64N(n)
	size := 1 + f.r.Int64N(n-start)
	return f.try(ir.OpSlice, ir.Attr{Axis: axis, Start: sym.Const(start), Size: sym.Const(size)}, x)
}

func (f *free) transpose() *ir.Value {
	x := f.find(func(t ir.Type) bool { return t.Shape.Rank > 1 })
	if x == nil {
		return nil
	}
	var perm [4]int8
	for i, p := range f.r.Perm(int(x.Type.Shape.Rank)) {
		perm[i] = int8(p)
	}
	return f.try(ir.OpTranspose, ir.Attr{Perm: perm}, x)
}

func (f *free) concat() *ir.Value {
	x := f.find(func(t ir.Type) bool { return t.Shape.Rank > 0 })
	axis := f.r.IntN(int(x.Type.Shape.Rank))
	args := []*ir.Value{x}
	for range f.r.IntN(3) {
		args = append(args, f.find(func(t ir.Type) bool { // x itself fits
			return t.DType == x.Type.DType && t.Shape.Rank == x.Type.Shape.Rank &&
				t.Shape.With(axis, sym.Dim{}) == x.Type.Shape.With(axis, sym.Dim{})
		}))
	}
	return f.try(ir.OpConcat, ir.Attr{Axis: axis}, args...)
}
