package ir

import (
	"fmt"
	"math"

	"foundry/ir/dtype"
	"foundry/ir/sym"
)

func wantRank(what string, t Type, rank int) error {
	if int(t.Shape.Rank) != rank {
		return fmt.Errorf("%s has %s, wants rank %d", what, t, rank)
	}
	return nil
}

func wantDType(what string, t Type, want ...dtype.Type) error {
	for _, w := range want {
		if t.DType == w {
			return nil
		}
	}
	return fmt.Errorf("%s has dtype %s, wants %s", what, t.DType, want[0])
}

func wantDim(what string, have, want sym.Dim) error {
	if have != want {
		return fmt.Errorf("%s is %s, wants %s", what, have, want)
	}
	return nil
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func inferEmbedding(a []Type, _ *Attr) (Type, error) {
	if err := firstError(wantDType("ids", a[0], dtype.I32), wantRank("ids", a[0], 1), wantRank("the table", a[1], 2)); err != nil {
		return Type{}, err
	}
	if a[1].DType == dtype.I32 {
		return Type{}, fmt.Errorf("the table has dtype i32, wants a float or quantised one")
	}
	return TypeOf(dtype.F32, a[0].Shape.At(0), a[1].Shape.At(1)), nil
}

func inferRMSNorm(a []Type, at *Attr) (Type, error) {
	if !(at.Eps >= 0 && at.Eps <= math.MaxFloat32) {
		return Type{}, fmt.Errorf("eps is %g, wants 0 or a positive number that fits f32", at.Eps)
	}
	if a[0].Shape.Rank < 1 {
		return Type{}, fmt.Errorf("x has %s, wants at least one dim", a[0])
	}
	if a[0].DType == dtype.I32 {
		return Type{}, fmt.Errorf("x has dtype i32, wants a float or quantised one")
	}
	if err := firstError(wantRank("the weight", a[1], 1), wantFloat("the weight", a[1]),
		wantDim("the weight's length", a[1].Shape.At(0), a[0].Shape.At(-1))); err != nil {
		return Type{}, err
	}
	return Type{dtype.F32, a[0].Shape}, nil
}

func inferSumSquares(a []Type, at *Attr) (Type, error) {
	if a[0].Shape.Rank < 1 {
		return Type{}, fmt.Errorf("x has %s, wants at least one dim", a[0])
	}
	if err := wantDType("x", a[0], dtype.F32); err != nil {
		return Type{}, err
	}
	size, ok := at.Size.Const()
	parts, divides := a[0].Shape.At(-1).Div(size)
	if !ok || size < 1 || !divides {
		return Type{}, fmt.Errorf("size=%s does not divide the row length %s", at.Size, a[0].Shape.At(-1))
	}
	return Type{dtype.F32, a[0].Shape.With(-1, parts)}, nil
}

func inferRMSScale(a []Type, at *Attr) (Type, error) {
	if a[1].Shape.Rank != a[0].Shape.Rank || a[0].Shape.Rank < 1 || a[1].Shape.With(-1, a[0].Shape.At(-1)) != a[0].Shape {
		return Type{}, fmt.Errorf("the sums have %s, want the leading dims of x's %s", a[1], a[0])
	}
	if err := firstError(wantDType("x", a[0], dtype.F32), wantDType("the sums", a[1], dtype.F32)); err != nil {
		return Type{}, err
	}
	return inferRMSNorm([]Type{a[0], a[2]}, at)
}

func wantFloat(what string, t Type) error {
	return wantDType(what, t, dtype.F32, dtype.F16, dtype.BF16)
}

func inferMatmulNT(a []Type, _ *Attr) (Type, error) {
	if err := firstError(wantDType("x", a[0], dtype.F32), wantRank("x", a[0], 2), wantRank("the weight", a[1], 2)); err != nil {
		return Type{}, err
	}
	if a[1].DType == dtype.I32 {
		return Type{}, fmt.Errorf("the weight has dtype i32, wants a float or quantised one")
	}
	if err := wantDim("the weight's row length", a[1].Shape.At(1), a[0].Shape.At(1)); err != nil {
		return Type{}, err
	}
	return TypeOf(dtype.F32, a[0].Shape.At(0), a[1].Shape.At(0)), nil
}

func inferBroadcast(a []Type, _ *Attr) (Type, error) {
	if err := firstError(wantDType("a", a[0], dtype.F32), wantFloat("b", a[1])); err != nil {
		return Type{}, err
	}
	x, y := a[0].Shape, a[1].Shape
	if y.Rank > x.Rank || y.Rank == 0 {
		return Type{}, fmt.Errorf("b has %s, wants a suffix of a's %s", y, x)
	}
	for i := 1; i <= int(y.Rank); i++ {
		if y.At(-i) != x.At(-i) {
			return Type{}, fmt.Errorf("b has %s, wants a suffix of a's %s", y, x)
		}
	}
	return a[0], nil
}

func inferSame(a []Type, _ *Attr) (Type, error) { return a[0], wantDType("x", a[0], dtype.F32) }

func inferRope(a []Type, _ *Attr) (Type, error) {
	if err := firstError(wantDType("x", a[0], dtype.F32), wantRank("x", a[0], 3),
		wantDType("inv_freq", a[1], dtype.F32), wantRank("inv_freq", a[1], 1)); err != nil {
		return Type{}, err
	}
	d := a[0].Shape.At(2)
	half, ok := d.Div(2)
	if !ok {
		return Type{}, fmt.Errorf("head_dim is %s, wants an even number", d)
	}
	return a[0], wantDim("inv_freq's length", a[1].Shape.At(0), half)
}

func inferKVRearrange(a []Type, at *Attr) (Type, error) {
	if err := firstError(wantDType("x", a[0], dtype.F32), wantRank("x", a[0], 2)); err != nil {
		return Type{}, err
	}
	d, ok := a[0].Shape.At(1).Div(int64(at.Heads))
	if at.Heads < 1 || !ok {
		return Type{}, fmt.Errorf("heads=%d does not divide the row length %s", at.Heads, a[0].Shape.At(1))
	}
	return TypeOf(dtype.F32, sym.Const(int64(at.Heads)), a[0].Shape.At(0), d), nil
}

func inferKVWrite(a []Type, _ *Attr) (Type, error) {
	if err := firstError(wantDType("the cache", a[0], dtype.F32, dtype.F16), wantRank("the cache", a[0], 3),
		wantDType("x", a[1], dtype.F32), wantRank("x", a[1], 3),
		wantDim("x's heads", a[1].Shape.At(0), a[0].Shape.At(0)),
		wantDim("x's head_dim", a[1].Shape.At(2), a[0].Shape.At(2))); err != nil {
		return Type{}, err
	}
	return a[0], nil
}

func inferRepeatKV(a []Type, at *Attr) (Type, error) {
	if err := firstError(wantDType("x", a[0], dtype.F32, dtype.F16), wantRank("x", a[0], 3)); err != nil {
		return Type{}, err
	}
	const most = 1 << 16 // far beyond any model; keeps dims from overflowing
	if at.Times < 1 || at.Times > most {
		return Type{}, fmt.Errorf("times=%d, wants 1 to %d", at.Times, most)
	}
	return Type{a[0].DType, a[0].Shape.With(0, a[0].Shape.At(0).Scale(int64(at.Times)))}, nil
}

func wantGroups(a, b Type) error {
	h, okH := a.Shape.At(0).Const()
	g, okG := b.Shape.At(0).Const()
	if !okH || !okG || g < 1 || h%g != 0 {
		return fmt.Errorf("b's %s heads do not divide a's %s", b.Shape.At(0), a.Shape.At(0))
	}
	return nil
}

func inferBmmNT(a []Type, at *Attr) (Type, error) {
	if !(math.Abs(at.Scale) <= math.MaxFloat32) {
		return Type{}, fmt.Errorf("scale is %g, wants a number that fits f32", at.Scale)
	}
	if err := firstError(wantDType("a", a[0], dtype.F32), wantRank("a", a[0], 3),
		wantDType("b", a[1], dtype.F32, dtype.F16), wantRank("b", a[1], 3)); err != nil {
		return Type{}, err
	}
	if err := firstError(wantGroups(a[0], a[1]), wantDim("b's row length", a[1].Shape.At(2), a[0].Shape.At(2))); err != nil {
		return Type{}, err
	}
	return TypeOf(dtype.F32, a[0].Shape.At(0), a[0].Shape.At(1), a[1].Shape.At(1)), nil
}

func inferBmmNN(a []Type, _ *Attr) (Type, error) {
	if err := firstError(wantDType("a", a[0], dtype.F32), wantRank("a", a[0], 3),
		wantDType("b", a[1], dtype.F32, dtype.F16), wantRank("b", a[1], 3)); err != nil {
		return Type{}, err
	}
	if err := firstError(wantGroups(a[0], a[1]), wantDim("b's rows", a[1].Shape.At(1), a[0].Shape.At(2))); err != nil {
		return Type{}, err
	}
	return TypeOf(dtype.F32, a[0].Shape.At(0), a[0].Shape.At(1), a[1].Shape.At(2)), nil
}

func inferSoftmax(a []Type, at *Attr) (Type, error) {
	if a[0].Shape.Rank < 2 {
		return Type{}, fmt.Errorf("x has %s, wants at least two dims", a[0])
	}
	if !at.Causal && at.Start != (sym.Dim{}) {
		return Type{}, fmt.Errorf("start=%s has no meaning without causal=true", at.Start)
	}
	if at.Window < 0 || at.Window > 0 && !at.Causal {
		return Type{}, fmt.Errorf("window=%d, wants a count of columns, and causal=true", at.Window)
	}
	if a[0].DType == dtype.I32 {
		return Type{}, fmt.Errorf("x has dtype i32, wants a float or quantised one")
	}
	return Type{dtype.F32, a[0].Shape}, nil
}

func inferArgmax(a []Type, _ *Attr) (Type, error) {
	if err := firstError(wantDType("x", a[0], dtype.F32), wantRank("x", a[0], 2)); err != nil {
		return Type{}, err
	}
	return TypeOf(dtype.I32, a[0].Shape.At(0)), nil
}

func inferSample(a []Type, _ *Attr) (Type, error) {
	if err := firstError(wantDType("the logits", a[0], dtype.F32), wantRank("the logits", a[0], 2),
		wantDType("the settings", a[1], dtype.F32), wantRank("the settings", a[1], 1),
		wantDType("the random numbers", a[2], dtype.F32), wantRank("the random numbers", a[2], 1),
		wantDType("the tokens seen", a[3], dtype.I32), wantRank("the tokens seen", a[3], 1)); err != nil {
		return Type{}, err
	}
	if err := firstError(wantDim("the number of settings", a[1].Shape.At(0), sym.Const(5)),
		wantDim("the count of random numbers", a[2].Shape.At(0), a[0].Shape.At(0))); err != nil {
		return Type{}, err
	}
	return TypeOf(dtype.I32, a[0].Shape.At(0)), nil
}

func inferCreated(_ []Type, at *Attr) (Type, error) {
	if at.Size == (sym.Dim{}) {
		return Type{}, fmt.Errorf("size=0, wants at least 1")
	}
	return TypeOf(dtype.F32, at.Size), nil
}

func inferRandomUniform(a []Type, at *Attr) (Type, error) {
	if err := firstError(wantDType("the seed and counter", a[0], dtype.I32), wantRank("the seed and counter", a[0], 1)); err != nil {
		return Type{}, err
	}
	if err := wantDim("the number of seed and counter words", a[0].Shape.At(0), sym.Const(3)); err != nil {
		return Type{}, err
	}
	return inferCreated(a, at)
}

func inferCast(a []Type, at *Attr) (Type, error) {
	if err := firstError(wantFloat("x", a[0]), wantFloat("the result", Type{DType: at.To})); err != nil {
		return Type{}, err
	}
	return Type{at.To, a[0].Shape}, nil
}

func inferReshape(a []Type, at *Attr) (Type, error) {
	have, ok := sym.Product(a[0].Shape.Slice()...)
	want, ok2 := sym.Product(at.Shape.Slice()...)
	if !ok || !ok2 || have != want {
		return Type{}, fmt.Errorf("shape %s has not the same number of elements as %s", at.Shape, a[0].Shape)
	}
	if a[0].DType.Quantised() {
		return Type{}, fmt.Errorf("x has dtype %s; a quantised tensor has no views", a[0].DType)
	}
	return Type{a[0].DType, at.Shape}, nil
}

func inferSlice(a []Type, at *Attr) (Type, error) {
	if at.Axis < 0 || at.Axis >= int(a[0].Shape.Rank) {
		return Type{}, fmt.Errorf("axis=%d, wants 0..%d", at.Axis, int(a[0].Shape.Rank)-1)
	}
	if a[0].DType.Quantised() {
		return Type{}, fmt.Errorf("x has dtype %s; a quantised tensor has no views", a[0].DType)
	}
	return Type{a[0].DType, a[0].Shape.With(at.Axis, at.Size)}, nil
}

func inferTranspose(a []Type, at *Attr) (Type, error) {
	r := int(a[0].Shape.Rank)
	out, seen := a[0], 0
	for i := range r {
		p := int(at.Perm[i])
		if p < 0 || p >= r {
			return Type{}, fmt.Errorf("perm=%v is not a permutation of %d dims", at.Perm, r)
		}
		seen |= 1 << p
		out.Shape.Dims[i] = a[0].Shape.Dims[p]
	}
	if seen != 1<<r-1 {
		return Type{}, fmt.Errorf("perm=%v is not a permutation of %d dims", at.Perm, r)
	}
	for i := r; i < MaxRank; i++ {
		if at.Perm[i] != 0 {
			return Type{}, fmt.Errorf("perm=%v has more than %d entries, the operand's rank", at.Perm, r)
		}
	}
	if a[0].DType.Quantised() {
		return Type{}, fmt.Errorf("x has dtype %s; a quantised tensor has no views", a[0].DType)
	}
	return out, nil
}

func inferConcat(a []Type, at *Attr) (Type, error) {
	if at.Axis < 0 || at.Axis >= int(a[0].Shape.Rank) {
		return Type{}, fmt.Errorf("axis=%d, wants 0..%d", at.Axis, int(a[0].Shape.Rank)-1)
	}
	if a[0].DType.Quantised() {
		return Type{}, fmt.Errorf("operand 0 has dtype %s; a quantised tensor has no concat", a[0].DType)
	}
	out := a[0]
	for i, t := range a[1:] {
		if t.Shape.Rank != out.Shape.Rank {
			return Type{}, fmt.Errorf("operand %d has %s, wants %s but for dim %d", i+1, t, a[0], at.Axis)
		}
		sum := out.Shape.At(at.Axis).Add(t.Shape.At(at.Axis))
		if t.DType != out.DType || t.Shape.With(at.Axis, sym.Dim{}) != out.Shape.With(at.Axis, sym.Dim{}) {
			return Type{}, fmt.Errorf("operand %d has %s, wants %s but for dim %d", i+1, t, a[0], at.Axis)
		}
		out.Shape = out.Shape.With(at.Axis, sum)
	}
	return out, nil
}
