package metal

import (
	"fmt"
	"strings"

	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/sym"
	"foundry/lower/plan"
)

// emitter writes the computation of one element of a region's value, or of w = 4
// adjacent ones, into a kernel: it walks from the value back through elementwise
// ops, views and index changes to params and to what a main stage has bound.
type emitter struct {
	k      *kernel
	r      *region
	w      int
	bound  map[string]string // value and index -> name that holds it
	below  map[string]int64  // atom -> exclusive upper bound, where it is known
	step   map[string]int64  // atom -> a number that divides it
	whole  bool              // values are i32, which are only moved
	owns   bool              // no other thread computes the element
	report string            // condition that is true once for each token, for refusals
	early  *early            // the taker of loads to the ready point, or nil
	stored *ir.Value         // a scaled operand that is wanted as it lies
	err    error
}

func newEmitter(k *kernel, r *region, w int) *emitter {
	return &emitter{k: k, r: r, w: w, bound: map[string]string{}, below: map[string]int64{}, step: map[string]int64{}, report: "true"}
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

func (e *emitter) fail(format string, args ...any) string {
	if e.err == nil {
		e.err = fmt.Errorf(format, args...)
	}
	return "0.0f"
}

// atom declares an index variable.
func (e *emitter) atom(base, init string, below, step int64) affine {
	name := e.k.fresh(base)
	line := fmt.Sprintf("const uint %s = %s;", name, init)
	e.k.line("%s", line)
	e.early.index(name, line)
	return e.know(name, below, step)
}

// know registers an index variable that the kernel has already.
func (e *emitter) know(name string, below, step int64) affine {
	if below > 0 {
		e.below[name] = below
	}
	e.step[name] = max(step, 1)
	return variable(name)
}

func (e *emitter) key(v *ir.Value, ix []affine) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%p", v)
	for _, i := range ix {
		b.WriteByte(',')
		b.WriteString(i.text())
	}
	return b.String()
}

func (e *emitter) bind(v *ir.Value, ix []affine, name string) { e.bound[e.key(v, ix)] = name }

// vec is the type that a thread holds: float or, where indices are moved, int.
func (e *emitter) vec() string {
	name := "float"
	if e.whole {
		name = "int"
	}
	if e.w == 4 {
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
	if e.err != nil {
		return "0.0f"
	}
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
	if v.Param != nil {
		return e.load(v, ix)
	}
	n := v.Def
	if x, to, ok := e.operandIndex(v, ix); ok {
		return e.at(x, to)
	}
	switch n.Op {
	case ir.OpAdd, ir.OpMul:
		a := e.at(n.Args[0], ix)
		b := e.at(n.Args[1], ix[len(ix)-int(n.Args[1].Type.Shape.Rank):])
		sign := map[ir.Op]string{ir.OpAdd: "+", ir.OpMul: "*"}[n.Op]
		return e.define(map[ir.Op]string{ir.OpAdd: "sum", ir.OpMul: "product"}[n.Op], "%s %s %s", a, sign, b)
	case ir.OpSilu:
		e.k.use("epilogue/silu.metal")
		return e.define("gated", "silu(%s)", e.at(n.Args[0], ix))
	case ir.OpCast:
		return e.narrow(n, e.at(n.Args[0], ix))
	case ir.OpRope:
		return e.rope(n, ix)
	case ir.OpEmbedding:
		return e.embedding(n, ix)
	case ir.OpConcat:
		return e.concat(n, ix)
	case ir.OpSumSquares:
		return e.sumSquares(n, ix)
	case ir.OpBmmNN:
		if a := e.r.inParts; a != nil {
			return a.mergedParts(e, ix[0], ix[1], ix[2])
		}
	}
	if n.Op.IsFunction() {
		return e.function(n, ix)
	}
	return e.fail("%s cannot be computed an element at a time here", n.Op)
}

// function calls the stage of an op that works on one element: epilogue/NAME.metal
// holds NAME of the element and of the numbers in the op's attrs.
func (e *emitter) function(n *ir.Node, ix []affine) string {
	name := n.Op.String()
	e.k.use("epilogue/" + name + ".metal")
	args := []string{e.at(n.Args[0], ix)}
	for _, f := range n.Op.Info().Fields {
		x, _ := f.Number(&n.Attr)
		args = append(args, floatText(x))
	}
	return e.define(name+"_value", "%s(%s)", name, strings.Join(args, ", "))
}

func (e *emitter) load(v *ir.Value, ix []affine) string {
	if (v.Type.DType == dtype.I32) != e.whole {
		return e.fail("%s values are not read by element", v.Type.DType)
	}
	if v.Type.DType.Quantised() {
		return e.loadBlocks(v, ix)
	}
	_, off, ok := e.address(v, ix)
	if !ok {
		return e.fail("a value has no address")
	}
	if e.w > 1 {
		last := e.r.operands[v.Index].Layout.Stride[v.Type.Shape.Rank-1]
		if last != (sym.Poly{C: 1}) || !e.divides(int64(e.w), off) {
			return e.fail("four adjacent elements are not aligned")
		}
	}
	e.k.use("common/load.metal")
	name := e.r.argName(v.Index)
	if e.owns {
		note(e.k.reads, v.Index, off.text())
	} else {
		e.k.readBeyond[v.Index] = true
	}
	from := e.r.offset(e.k, v.Index, off)
	if e.early.takes(e) && !e.r.operands[v.Index].Scaled {
		return e.early.load(e.r.operands[v.Index].Fixed, from)
	}
	if e.r.operands[v.Index].Scaled && v != e.stored {
		return e.define(name+"_value", "load%d(%s) * %s", e.w, from, e.r.up(e.k, v))
	}
	return e.define(name+"_value", "load%d(%s)", e.w, from)
}

// loadBlocks is load from rows of blocks, which have no views.
func (e *emitter) loadBlocks(v *ir.Value, ix []affine) string {
	last := len(ix) - 1
	row := number(0)
	for d, i := range ix[:last] {
		scaled, ok := row.times(v.Type.Shape.Dims[d].Poly())
		if !ok {
			return e.fail("rows of %s have too many symbols", v.Type)
		}
		row = scaled.add(i)
	}
	four := e.four(v, e.k.text(row), ix[last])
	if e.err != nil {
		return four
	}
	return e.define(e.r.argName(v.Index)+"_value", "%s", four)
}

// narrow rounds to a cast's dtype and back: a register is always float.
func (e *emitter) narrow(n *ir.Node, x string) string {
	switch n.Attr.To {
	case dtype.F32:
		return x
	case dtype.F16:
		if e.w == 4 {
			return e.define("narrowed", "float4(half4(%s))", x)
		}
		return e.define("narrowed", "float(half(%s))", x)
	}
	e.k.use("common/load.metal")
	return e.define("narrowed", "bf16_round(%s)", x)
}

func (e *emitter) embedding(n *ir.Node, ix []affine) string {
	ids, table := n.Args[0], n.Args[1]
	from, ok := e.pointer(ids, ix[:1])
	if !ok || table.Param == nil {
		return e.fail("the ids and the table of an embedding are operands")
	}
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
	cols := table.Type.Shape.At(1).C
	if e.w > 1 && (cols%int64(e.w) != 0 || !e.divides(int64(e.w), c)) {
		return e.fail("four adjacent elements are not aligned")
	}
	return fmt.Sprintf("load%d(%s + ulong(%s) * %s + %s)", e.w, slot, id, unsigned(cols), e.k.text(c))
}

// four returns the expression for four elements, from column c on, of a row of blocks.
func (e *emitter) four(v *ir.Value, row string, c affine) string {
	t := v.Type.DType
	if e.w != 4 {
		return e.fail("rows of %s are read four at a time", t)
	}
	if !e.divides(4, c) {
		return e.fail("four adjacent elements are not aligned")
	}
	f := e.r.format(v)
	e.k.use(f.files()...)
	e.k.readBeyond[v.Index] = true
	return fmt.Sprintf("%s(%s + ulong(%s) * %s, %s)", f.four(), e.r.argSlot(e.k, v.Index), row, unsigned(f.rowBytes(t, v.Type.Shape.At(-1).C)), e.k.text(c))
}

// sumSquares adds up a run of elements in a loop.
func (e *emitter) sumSquares(n *ir.Node, ix []affine) string {
	if e.w > 1 {
		return e.fail("sums of squares are made one at a time")
	}
	last := len(ix) - 1
	run, ok := ix[last].times(sym.Poly{C: n.Attr.Size.C})
	if !ok {
		return e.fail("a run has too many symbols")
	}
	name := e.k.fresh("squares")
	e.k.line("float %s = 0.0f;", name)
	j := e.k.fresh("j")
	e.k.open("for (uint %s = 0u; %s < %du; %s++)", j, j, n.Attr.Size.C, j)
	done := e.scope()
	to := append([]affine(nil), ix...)
	to[last] = run.add(e.know(j, n.Attr.Size.C, 1))
	x := e.at(n.Args[0], to)
	e.k.line("%s += %s * %s;", name, x, x)
	done()
	e.k.close()
	return name
}

// concat picks the operand that holds the element by comparing along the axis.
func (e *emitter) concat(n *ir.Node, ix []affine) string {
	axis := n.Attr.Axis
	name := e.k.fresh("joined")
	e.k.line("%s %s = %s(0);", e.vec(), name, e.vec())
	begin := number(0)
	for i, a := range n.Args {
		end := begin.add(dimension(a.Type.Shape.At(axis)))
		if e.w > 1 && axis == len(ix)-1 && !e.divides(int64(e.w), end) {
			return e.fail("four adjacent elements cross operands of concat")
		}
		head := "else if"
		if i == 0 {
			head = "if"
		}
		e.k.open("%s (%s < %s)", head, e.k.text(ix[axis]), e.k.text(end))
		done := e.scope()
		to := append([]affine(nil), ix...)
		to[axis] = ix[axis].add(affine{c: begin.c.Scale(-1)})
		e.k.line("%s = %s;", name, e.at(a, to))
		done()
		e.k.close()
		begin = end
	}
	return name
}
