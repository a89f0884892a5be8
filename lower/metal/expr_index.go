package metal

import (
	"foundry/ir"
	"foundry/ir/sym"
	"foundry/ir/task"
	"foundry/lower/msl"
	"foundry/lower/plan"
)

// know says what is known of a variable, and returns the index that it holds.
func (e *emitter) know(v *msl.Value, below, step int64) affine {
	return e.Know(e.k.variable(v), below, step)
}

// atom declares an index variable.
func (e *emitter) atom(base string, value *msl.Value, below, step int64) affine {
	return e.Know(e.declare(base, value), below, step)
}

func (e *emitter) declare(base string, value *msl.Value) task.Variable {
	v := e.k.newVariable(base)
	line := &msl.Declare{Type: constUint, Of: []msl.Declared{{Variable: e.k.variables[v], Value: value}}}
	e.k.add(line)
	e.early.index(line)
	return v
}

// Quotient and Remainder declare what a walk divides.
func (e *emitter) Quotient(base string, of affine, by sym.Dim) task.Variable {
	return e.declare(base, grouped(e.k.index(of)).Div(e.divisor(by)))
}

func (e *emitter) Remainder(base string, of affine, by sym.Dim) task.Variable {
	return e.declare(base, grouped(e.k.index(of)).Mod(e.divisor(by)))
}

func (e *emitter) divisor(by sym.Dim) *msl.Value {
	d := e.k.dim(by)
	if !by.IsConst() {
		d = d.Paren()
	}
	return d
}

// Folded declares the place in either half of a head.
func (e *emitter) Folded(base string, of affine, half int64) task.Variable {
	d := e.k.index(of).Paren()
	return e.declare(base, d.Less(u(half)).Select(d, d.Sub(u(half))))
}

// Counter names what a loop counts in; who opens the loop declares it.
func (e *emitter) Counter(base string) task.Variable { return e.k.newVariable(base) }

// pointer returns the pointer to element ix of a param, or of views of one.
func (e *emitter) pointer(v *ir.Value, ix []affine) *msl.Value {
	p, off, _ := e.Address(v, ix)
	return e.r.at(e.k, p, off)
}

// at returns the pointer to element off of a param.
func (r *region) at(k *kernel, param int, off affine) *msl.Value {
	k.readBeyond[param] = true
	return r.offset(k, param, off)
}

func (r *region) offset(k *kernel, param int, off affine) *msl.Value {
	return k.from(r.argSlot(k, param), off)
}

// from is the pointer that lies off elements behind another one.
func (k *kernel) from(pointer *msl.Value, off affine) *msl.Value {
	if off.IsNumber() && off.Const.C == 0 {
		return pointer
	}
	return k.plus(pointer, off)
}

func (r *region) argSlot(k *kernel, param int) *msl.Value {
	return k.slot(ref{refArg, param}, r.argName(param), pointee(r.operandType(param)), plan.Read)
}
