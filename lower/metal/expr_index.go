package metal

import (
	"fmt"

	"foundry/ir"
	"foundry/ir/sym"
	"foundry/lower/plan"
)

// atom declares an index variable.
func (e *emitter) atom(base, init string, below, step int64) affine {
	return e.Know(e.declare(base, init), below, step)
}

func (e *emitter) declare(base, init string) string {
	name := e.k.fresh(base)
	line := fmt.Sprintf("const uint %s = %s;", name, init)
	e.k.line("%s", line)
	e.early.index(name, line)
	return name
}

// Quotient and Remainder declare what a walk divides.
func (e *emitter) Quotient(base string, of affine, by sym.Dim) string {
	return e.declare(base, e.divided(of, "/", by))
}

func (e *emitter) Remainder(base string, of affine, by sym.Dim) string {
	return e.declare(base, e.divided(of, "%", by))
}

func (e *emitter) divided(of affine, op string, by sym.Dim) string {
	e.k.text(of) // notes its symbols
	div := e.k.text(dimension(by))
	if !by.IsConst() {
		div = "(" + div + ")"
	}
	return fmt.Sprintf("%s %s %s", group(of), op, div)
}

// Folded declares the place in either half of a head.
func (e *emitter) Folded(base string, of affine, half int64) string {
	d := e.k.text(of)
	return e.declare(base, fmt.Sprintf("(%s) < %du ? (%s) : (%s) - %du", d, half, d, d, half))
}

// Counter names what a loop counts in; who opens the loop declares it.
func (e *emitter) Counter(base string) string { return e.k.fresh(base) }

// pointer returns the MSL pointer to element ix of a param, or of views of one.
func (e *emitter) pointer(v *ir.Value, ix []affine) string {
	p, off, _ := e.Address(v, ix)
	return e.r.at(e.k, p, off)
}

// at returns "name + offset" for a param.
func (r *region) at(k *kernel, param int, off affine) string {
	k.readBeyond[param] = true
	return r.offset(k, param, off)
}

func (r *region) offset(k *kernel, param int, off affine) string {
	return k.from(r.argSlot(k, param), off)
}

// from returns "name + offset", the name alone where the offset is 0.
func (k *kernel) from(name string, off affine) string {
	if off.IsNumber() && off.Const.C == 0 {
		return name
	}
	return name + " + " + k.text(off)
}

func (r *region) argSlot(k *kernel, param int) string {
	return k.slot(ref{refArg, param}, r.argName(param), pointee(r.operandType(param)), plan.Read)
}
