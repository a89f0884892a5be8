package metal

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// early takes loads out of an epilogue to the ready point, so that they are on their
// way while main computes: before it what no dispatch of the step writes (biases,
// the angles of a rotation), right behind it the rest (the residual). The values wait
// in registers that the parts of a kernel share. A nil early takes nothing.
type early struct {
	k         *kernel
	depth     int         // the depth of the block whose loads it takes; those of inner blocks stay
	indices   []indexLine // declared in the block so far
	lines     [2][]string // lines behind and before the ready point
	registers []string
	taken     int // registers that the block uses
}

// indexLine declares an index variable.
type indexLine struct{ name, text string }

// index notes the declaration of an index variable.
func (x *early) index(name, line string) {
	if x != nil {
		x.indices = append(x.indices, indexLine{name, line})
	}
}

// takes reports whether a load that e is about to write may be taken out.
func (x *early) takes(e *emitter) bool {
	return x != nil && x.depth == x.k.depth && e.Width == 1 && !e.Whole
}

// register returns the name of a register that the block has not used yet.
func (x *early) register() string {
	if x.taken == len(x.registers) {
		x.registers = append(x.registers, x.k.fresh("early"))
	}
	x.taken++
	return x.registers[x.taken-1]
}

// load takes out a load from an address and returns the register that holds its value.
func (x *early) load(fixed bool, from string) string {
	r := x.register()
	x.line(fixed, fmt.Sprintf("%s = load1(%s);", r, from))
	return r
}

func (x *early) line(fixed bool, text string) {
	i := 0
	if fixed {
		i = 1
	}
	x.lines[i] = append(x.lines[i], text)
}

// begin starts a block; its body follows at the kernel's depth.
func (x *early) begin() {
	if x != nil {
		x.depth, x.taken, x.indices, x.lines = x.k.depth, 0, nil, [2][]string{}
	}
}

// end returns the lines that the block left for a side of the ready point, each
// behind the index variables that it needs.
func (x *early) end(fixed bool) []string {
	i := 0
	if fixed {
		i = 1
	}
	needed := map[string]bool{}
	need := func(text string) {
		for _, w := range word.FindAllString(text, -1) {
			needed[w] = true
		}
	}
	for _, l := range x.lines[i] {
		need(l)
	}
	var out []string
	for _, ix := range slices.Backward(x.indices) {
		if needed[ix.name] {
			out = append(out, ix.text)
			need(ix.text)
		}
	}
	slices.Reverse(out)
	return append(out, x.lines[i]...)
}

var word = regexp.MustCompile(`[A-Za-z_][A-Za-z0-9_]*`)

// declare returns the declaration of the registers.
func (x *early) declare() string {
	if len(x.registers) == 0 {
		return ""
	}
	return fmt.Sprintf("float %s = 0.0f;", strings.Join(x.registers, " = 0.0f, "))
}
