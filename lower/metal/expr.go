package metal

import (
	"fmt"
	"strings"

	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/task"
	"foundry/lower/plan"
)

// emitter writes the computation of one element of a region's value, or of four adjacent
// ones, into a kernel, along a walk back to params and to what a main stage has bound.
type emitter struct {
	*task.Walk
	k      *kernel
	r      *region
	bound  map[string]string // value and index -> name that holds it
	owns   bool              // no other thread computes the element
	report string            // condition that is true once for each token, for refusals
	early  *early            // the taker of loads to the ready point, or nil
	stored *ir.Value         // a scaled operand that is wanted as it lies
}

func newEmitter(k *kernel, r *region, w int) *emitter {
	e := &emitter{k: k, r: r, bound: map[string]string{}, report: "true"}
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
	saved := e.bound
	e.bound = make(map[string]string, len(saved)+8)
	for k, v := range saved {
		e.bound[k] = v
	}
	return func() { e.bound = saved }
}

func (e *emitter) key(v *ir.Value, ix []affine) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%p", v)
	for _, i := range ix {
		b.WriteByte(',')
		b.WriteString(i.String())
	}
	return b.String()
}

func (e *emitter) bind(v *ir.Value, ix []affine, name string) { e.bound[e.key(v, ix)] = name }

// vec is the type that a thread holds: float or, where indices are moved, int.
func (e *emitter) vec() string {
	name := "float"
	if e.Whole {
		name = "int"
	}
	if e.Width == 4 {
		return name + "4"
	}
	return name
}

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

// at returns the name of a float (or float4) that holds v at ix; the last index
// is the first of w adjacent elements.
func (e *emitter) at(v *ir.Value, ix []affine) string {
	key := e.key(v, ix)
	if name := e.bound[key]; name != "" {
		return name
	}
	name := e.compute(v, ix)
	e.bound[key] = name
	return name
}

func (e *emitter) define(base, format string, args ...any) string {
	name := e.k.fresh(base)
	e.k.line("const %s %s = %s;", e.vec(), name, fmt.Sprintf(format, args...))
	return name
}

func (e *emitter) compute(v *ir.Value, ix []affine) string {
	if n := v.Def; n != nil && n.Op == ir.OpBmmNN && e.r.inParts != nil {
		return e.r.inParts.mergedParts(e, ix[0], ix[1], ix[2])
	}
	step := e.StepFrom(v, ix)
	if e.Err != nil {
		return "0.0f" // the kernel is none
	}
	of := func(i int) string { return e.at(step.Of[i].Value, step.Of[i].Index) }
	switch n := v.Def; {
	case v.Param != nil && v.Type.DType.Quantised():
		return e.define(e.r.argName(v.Index)+"_value", "%s", e.four(v, e.k.text(step.At), ix[len(ix)-1]))
	case v.Param != nil:
		return e.load(v, step.At)
	case step.Moved:
		return of(0)
	case n.Op == ir.OpAdd:
		a := of(0)
		return e.define("sum", "%s + %s", a, of(1))
	case n.Op == ir.OpMul:
		a := of(0)
		return e.define("product", "%s * %s", a, of(1))
	case n.Op == ir.OpSilu:
		e.k.use("epilogue/silu.metal")
		return e.define("gated", "silu(%s)", of(0))
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
func (e *emitter) function(n *ir.Node, element string) string {
	name := n.Op.String()
	e.k.use("epilogue/" + name + ".metal")
	args := []string{element}
	for _, f := range n.Op.Info().Fields {
		x, _ := f.Number(&n.Attr)
		args = append(args, floatText(x))
	}
	return e.define(name+"_value", "%s(%s)", name, strings.Join(args, ", "))
}

// load reads an operand at an offset.
func (e *emitter) load(v *ir.Value, off affine) string {
	e.k.use("common/load.metal")
	name := e.r.argName(v.Index)
	if e.owns {
		note(e.k.reads, v.Index, off.String())
	} else {
		e.k.readBeyond[v.Index] = true
	}
	from := e.r.offset(e.k, v.Index, off)
	if e.early.takes(e) && !e.r.operands[v.Index].Scaled {
		return e.early.load(e.r.operands[v.Index].Fixed, from)
	}
	if e.r.operands[v.Index].Scaled && v != e.stored {
		return e.define(name+"_value", "load%d(%s) * %s", e.Width, from, e.r.up(e.k, v))
	}
	return e.define(name+"_value", "load%d(%s)", e.Width, from)
}

// narrow rounds to a cast's dtype and back: a register is always float.
func (e *emitter) narrow(n *ir.Node, x string) string {
	switch n.Attr.To {
	case dtype.F32:
		return x
	case dtype.F16:
		if e.Width == 4 {
			return e.define("narrowed", "float4(half4(%s))", x)
		}
		return e.define("narrowed", "float(half(%s))", x)
	}
	e.k.use("common/load.metal")
	return e.define("narrowed", "bf16_round(%s)", x)
}

func (e *emitter) embedding(n *ir.Node, ix []affine, step task.Step) string {
	table := n.Args[1]
	from := e.r.at(e.k, step.Param, step.At)
	e.k.use("prologue/embedding.metal", "common/load.metal")
	refused := e.k.slot(ref{kind: refRefused}, "refused", "atomic_uint", plan.Write)
	id, known := e.k.fresh("id"), e.k.fresh("known")
	e.k.line("const int %s = *(%s);", id, from)
	e.k.line("const bool %s = embedding_known(%s, %s, %s, %s);", known, id, unsigned(table.Type.Shape.At(0).C), e.report, refused)
	return e.define("row", "%s ? %s : %s(0.0f)", known, e.gather(table, id, ix[1]), e.vec())
}

// gather returns the expression for w elements of a table's row at column c.
func (e *emitter) gather(table *ir.Value, id string, c affine) string {
	if table.Type.DType.Quantised() {
		return e.four(table, id, c)
	}
	slot := e.r.argSlot(e.k, table.Index)
	e.k.readBeyond[table.Index] = true
	return fmt.Sprintf("load%d(%s + ulong(%s) * %s + %s)", e.Width, slot, id, unsigned(table.Type.Shape.At(1).C), e.k.text(c))
}

// four returns the expression for four elements, from column c on, of a row of blocks.
func (e *emitter) four(v *ir.Value, row string, c affine) string {
	f, t := e.r.format(v), v.Type
	e.k.use(f.files()...)
	e.k.readBeyond[v.Index] = true
	return fmt.Sprintf("%s(%s + ulong(%s) * %s, %s)", f.four(), e.r.argSlot(e.k, v.Index), row, unsigned(f.rowBytes(t.DType, t.Shape.At(-1).C)), e.k.text(c))
}

// sumSquares adds up a run of elements in a loop.
func (e *emitter) sumSquares(n *ir.Node, step task.Step) string {
	name := e.k.fresh("squares")
	e.k.line("float %s = 0.0f;", name)
	j := step.Loop
	e.k.open("for (uint %s = 0u; %s < %du; %s++)", j, j, n.Attr.Size.C, j)
	done := e.scope()
	x := e.at(step.Of[0].Value, step.Of[0].Index)
	e.k.line("%s += %s * %s;", name, x, x)
	done()
	e.k.close()
	return name
}

// concat picks the operand that holds the element by comparing along the axis.
func (e *emitter) concat(n *ir.Node, ix []affine, of []task.Element) string {
	axis := n.Attr.Axis
	name := e.k.fresh("joined")
	e.k.line("%s %s = %s(0);", e.vec(), name, e.vec())
	end := number(0)
	for i, a := range of {
		end = end.Add(dimension(a.Value.Type.Shape.At(axis)))
		head := "else if"
		if i == 0 {
			head = "if"
		}
		e.k.open("%s (%s < %s)", head, e.k.text(ix[axis]), e.k.text(end))
		done := e.scope()
		e.k.line("%s = %s;", name, e.at(a.Value, a.Index))
		done()
		e.k.close()
	}
	return name
}
