package metal

import (
	"slices"

	"foundry/lower/msl"
)

// early takes loads out of an epilogue to the ready point, so that they are on their
// way while main computes: before it what no dispatch of the step writes (biases,
// the angles of a rotation), right behind it the rest (the residual). The values wait
// in registers that the parts of a kernel share. A nil early takes nothing.
type early struct {
	k         *kernel
	list      *[]msl.Statement   // the list whose loads it takes; those of inner blocks stay
	indices   []*msl.Declare     // index variables declared in it so far
	taken     [2][]msl.Statement // what it took, to stand behind and before the ready point
	registers []*msl.Value
	used      int // registers that the list uses
}

// index notes the declaration of an index variable.
func (x *early) index(d *msl.Declare) {
	if x != nil {
		x.indices = append(x.indices, d)
	}
}

// takes reports whether a load that e is about to write may be taken out.
func (x *early) takes(e *emitter) bool {
	return x != nil && x.list == x.k.list && e.Width == 1 && !e.Whole
}

// register returns a register that the list has not used yet.
func (x *early) register() *msl.Value {
	if x.used == len(x.registers) {
		x.registers = append(x.registers, msl.Variable(x.k.fresh("early")))
	}
	x.used++
	return x.registers[x.used-1]
}

// load takes out a load from an address and returns the register that holds its value.
func (x *early) load(fixed bool, from *msl.Value) *msl.Value {
	r := x.register()
	x.take(fixed, msl.Set(r, loading(1, from)))
	return r
}

func (x *early) take(fixed bool, s msl.Statement) {
	i := 0
	if fixed {
		i = 1
	}
	x.taken[i] = append(x.taken[i], s)
}

// begin starts with the list that the kernel is written to now.
func (x *early) begin() {
	if x != nil {
		x.list, x.used, x.indices, x.taken = x.k.list, 0, nil, [2][]msl.Statement{}
	}
}

// end returns the statements that the list left for a side of the ready point, behind the
// declarations of the index variables that they read.
func (x *early) end(fixed bool) []msl.Statement {
	i := 0
	if fixed {
		i = 1
	}
	var needed []*msl.Value
	need := func(v *msl.Value) { needed = append(needed, v) }
	msl.Reads(x.taken[i], need)
	var out []msl.Statement
	for _, d := range slices.Backward(x.indices) {
		if slices.Contains(needed, d.Of[0].Variable) {
			out = append(out, d)
			d.Of[0].Value.Reads(need)
		}
	}
	slices.Reverse(out)
	return append(out, x.taken[i]...)
}

// declare adds the declaration of the registers.
func (x *early) declare() {
	d := &msl.Declare{Type: floatType}
	for _, r := range x.registers {
		d.Of = append(d.Of, msl.Declared{Variable: r, Value: zero})
	}
	x.k.add(d)
}
