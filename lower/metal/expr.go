package metal

import (
	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/task"
	"foundry/lower/msl"
)

// emitter writes the computation of one element of a region's value, or of four adjacent
// ones, into a kernel, along a walk back to params and to what a main stage has bound.
type emitter struct {
	*task.Walk
	k      *kernel
	r      *region
	bound  []binding  // what holds elements, the last ones behind
	owns   bool       // no other thread computes the element
	report *msl.Value // condition that is true once for each token, for refusals
	early  *early     // the taker of loads to the ready point, or nil
	stored *ir.Value  // a scaled operand that is wanted as it lies
}

// place is an element of a value, or something else that is computed once for an index.
type place struct {
	v    *ir.Value
	what what
	at   []affine
}

// binding is what holds something.
type binding struct {
	place
	x *msl.Value
}

type what uint8

const (
	theElement what = iota
	theCosine       // of the turn by a frequency
	theSine
	theParts // how many parts of a row's keys there are
)

func newEmitter(k *kernel, r *region, w int) *emitter {
	e := &emitter{k: k, r: r, report: yes}
	e.Walk = task.NewWalk(r.asked, w, e)
	if r.inParts != nil {
		e.Merged = r.inParts.Attention
	}
	k.walks = append(k.walks, e.Walk)
	return e
}

// scope forgets, when the returned function is called, what was computed since:
// at the end of the block in which the names were declared.
func (e *emitter) scope() func() {
	n := len(e.bound)
	return func() { e.bound = e.bound[:n] }
}

// bind says what holds element ix of v.
func (e *emitter) bind(v *ir.Value, ix []affine, x *msl.Value) { e.hold(place{v: v, at: ix}, x) }

// hold says what holds something, from now on.
func (e *emitter) hold(p place, x *msl.Value) { e.bound = append(e.bound, binding{p, x}) }

// holds returns what holds something, nil where it was not computed.
func (e *emitter) holds(p place) *msl.Value {
	for i := len(e.bound) - 1; i >= 0; i-- {
		if b := &e.bound[i]; b.v == p.v && b.what == p.what && task.Same(b.at, p.at) {
			return b.x
		}
	}
	return nil
}

// vec is the type that a thread holds: float or, where indices are moved, int.
func (e *emitter) vec() *msl.Value {
	return vectors[e.vectorOf()]
}

func (e *emitter) vectorOf() (i int) {
	if e.Width == 4 {
		i = 1
	}
	if e.Whole {
		i += 2
	}
	return i
}

var (
	vectors      = [...]*msl.Value{floatType, msl.Name("float4"), intType, msl.Name("int4")}
	constVectors = [...]*msl.Value{constFloat, msl.Name("const float4"), constInt, msl.Name("const int4")}
)

// argName names a param after the role that its first user gives it.
func (r *region) argName(param int) string {
	v := r.g.Params[param]
	if len(v.Users()) == 0 {
		return "x"
	}
	u := v.Users()[0]
	second := len(u.Args) > 1 && u.Args[1] == v
	switch {
	case u.Op == ir.OpEmbedding && second:
		return "table"
	case u.Op == ir.OpEmbedding:
		return "ids"
	case u.Op == ir.OpRMSNorm && second, u.Op == ir.OpRMSScale && u.Args[2] == v:
		return "gamma"
	case u.Op == ir.OpRMSScale && second:
		return "sums"
	case u.Op == ir.OpMatmulNT && second:
		return "weight"
	case u.Op == ir.OpAdd && second && v.Type.Shape.Rank == 1:
		return "bias"
	case u.Op == ir.OpRope && second:
		return "inv_freq"
	case u.Op == ir.OpBmmNT && second:
		return "keys"
	case u.Op == ir.OpBmmNN && second:
		return "values"
	}
	return "x"
}

// at returns what holds v at ix, a float (or float4); the last index is the first of w
// adjacent elements.
func (e *emitter) at(v *ir.Value, ix []affine) *msl.Value {
	p := place{v: v, at: ix}
	if x := e.holds(p); x != nil {
		return x
	}
	x := e.compute(v, ix)
	e.hold(p, x)
	return x
}

// define declares what the thread computes of an element.
func (e *emitter) define(base string, value *msl.Value) *msl.Value {
	return e.k.let(constVectors[e.vectorOf()], e.k.fresh(base), value)
}

func (e *emitter) compute(v *ir.Value, ix []affine) *msl.Value {
	if n := v.Def; n != nil && n.Op == ir.OpBmmNN && e.r.inParts != nil {
		return e.r.inParts.mergedParts(e, ix[0], ix[1], ix[2])
	}
	step := e.StepFrom(v, ix)
	if e.Err != nil {
		return zero // the kernel is none
	}
	of := func(i int) *msl.Value { return e.at(step.Of[i].Value, step.Of[i].Index) }
	switch n := v.Def; {
	case v.Param != nil && v.Type.DType.Quantised():
		return e.define(e.r.argName(v.Index)+"_value", e.four(v, e.k.index(step.At), ix[len(ix)-1]))
	case v.Param != nil:
		return e.load(v, step.At)
	case step.Moved:
		return of(0)
	case n.Op == ir.OpAdd:
		a := of(0)
		return e.define("sum", a.Add(of(1)))
	case n.Op == ir.OpMul:
		a := of(0)
		return e.define("product", a.Mul(of(1)))
	case n.Op == ir.OpSilu:
		e.k.use("epilogue/silu.metal")
		return e.define("gated", msl.Call("silu", of(0)))
	case n.Op == ir.OpCast:
		return e.narrow(n, of(0))
	case n.Op == ir.OpRope:
		return e.rope(n, ix, step.Of)
	case n.Op == ir.OpEmbedding:
		return e.embedding(n, ix, step)
	case n.Op == ir.OpConcat:
		return e.concat(n, ix, step.Of)
	case n.Op == ir.OpSumSquares:
		return e.sumSquares(n, step)
	}
	return e.function(v.Def, of(0))
}

// function calls the stage of an op that works on one element: epilogue/NAME.metal
// holds NAME of the element and of the numbers in the op's attrs.
func (e *emitter) function(n *ir.Node, element *msl.Value) *msl.Value {
	name := n.Op.String()
	e.k.use("epilogue/" + name + ".metal")
	args := []*msl.Value{element}
	for _, f := range n.Op.Info().Fields {
		x, _ := f.Number(&n.Attr)
		args = append(args, msl.Float(x))
	}
	return e.define(name+"_value", msl.Call(name, args...))
}

// load reads an operand at an offset.
func (e *emitter) load(v *ir.Value, off affine) *msl.Value {
	e.k.use("common/load.metal")
	name := e.r.argName(v.Index)
	if e.owns {
		note(e.k.reads, v.Index, off)
	} else {
		e.k.readBeyond[v.Index] = true
	}
	from := e.r.offset(e.k, v.Index, off)
	if e.early.takes(e) && !e.r.operands[v.Index].Scaled {
		return e.early.load(e.r.operands[v.Index].Fixed, from)
	}
	x := loading(e.Width, from)
	if e.r.operands[v.Index].Scaled && v != e.stored {
		x = x.Mul(e.r.up(e.k, v))
	}
	return e.define(name+"_value", x)
}

// loading reads w adjacent elements, storing stores them.
func loading(w int, from *msl.Value) *msl.Value {
	if w == 4 {
		return msl.Call("load4", from)
	}
	return msl.Call("load1", from)
}

func storing(w int, to, value *msl.Value) msl.Statement {
	if w == 4 {
		return &msl.Do{Call: msl.Call("store4", to, value)}
	}
	return &msl.Do{Call: msl.Call("store1", to, value)}
}

// narrow rounds to a cast's dtype and back: a register is always float.
func (e *emitter) narrow(n *ir.Node, x *msl.Value) *msl.Value {
	switch n.Attr.To {
	case dtype.F32:
		return x
	case dtype.F16:
		if e.Width == 4 {
			return e.define("narrowed", msl.Call("float4", msl.Call("half4", x)))
		}
		return e.define("narrowed", msl.Call("float", msl.Call("half", x)))
	}
	e.k.use("common/load.metal")
	return e.define("narrowed", msl.Call("bf16_round", x))
}

func (e *emitter) embedding(n *ir.Node, ix []affine, step task.Step) *msl.Value {
	k, table := e.k, n.Args[1]
	from := e.r.at(k, step.Param, step.At)
	k.use("prologue/embedding.metal", "common/load.metal")
	refused := k.refused()
	id, known := k.fresh("id"), k.fresh("known")
	row := k.let(constInt, id, from.Paren().Deref())
	there := k.let(constBool, known, msl.Call("embedding_known", row, u(table.Type.Shape.At(0).C), e.report, refused))
	return e.define("row", there.Select(e.gather(table, row, ix[1]), e.vec().Call(zero)))
}

// gather returns the expression for w elements of a table's row at column c.
func (e *emitter) gather(table *ir.Value, id *msl.Value, c affine) *msl.Value {
	if table.Type.DType.Quantised() {
		return e.four(table, id, c)
	}
	slot := e.r.argSlot(e.k, table.Index)
	e.k.readBeyond[table.Index] = true
	return loading(e.Width, e.k.plus(slot.Add(msl.Call("ulong", id).Mul(u(table.Type.Shape.At(1).C))), c))
}

// four returns the expression for four elements, from column c on, of a row of blocks.
func (e *emitter) four(v *ir.Value, row *msl.Value, c affine) *msl.Value {
	f, t := e.r.format(v), v.Type
	e.k.use(f.files()...)
	e.k.readBeyond[v.Index] = true
	return f.four().Call(e.r.argSlot(e.k, v.Index).Add(msl.Call("ulong", row).Mul(u(f.rowBytes(t.DType, t.Shape.At(-1).C)))), e.k.index(c))
}

// sumSquares adds up a run of elements in a loop.
func (e *emitter) sumSquares(n *ir.Node, step task.Step) *msl.Value {
	k := e.k
	squares := k.let(floatType, k.fresh("squares"), zero)
	k.loopOn(k.variables[step.Loop], u(0), u(n.Attr.Size.C), nil, func() {
		defer e.scope()()
		x := e.at(step.Of[0].Value, step.Of[0].Index)
		k.add(msl.Raise(squares, x.Mul(x)))
	})
	return squares
}

// concat picks the operand that holds the element by comparing along the axis.
func (e *emitter) concat(n *ir.Node, ix []affine, of []task.Element) *msl.Value {
	k, axis := e.k, n.Attr.Axis
	joined := k.let(e.vec(), k.fresh("joined"), e.vec().Call(msl.Int(0)))
	end := number(0)
	conditions := make([]*msl.Value, len(of))
	for i, a := range of {
		end = end.Add(dimension(a.Value.Type.Shape.At(axis)))
		conditions[i] = k.index(ix[axis]).Less(k.index(end))
	}
	k.choose(conditions, func(i int) {
		defer e.scope()()
		k.add(msl.Set(joined, e.at(of[i].Value, of[i].Index)))
	})
	return joined
}
