package viz

import (
	"strings"

	"foundry/ir"
	"foundry/ir/names"
	"foundry/ir/sym"
)

// typeBytes prints the storage of a tensor: the constant part, times the dims
// that vary: "56 B × T × S".
func typeBytes(t ir.Type) string {
	elems, bytes := t.DType.Block()
	n := int64(bytes)
	var vary strings.Builder
	for _, d := range t.Shape.Slice() {
		if c, ok := d.Const(); ok {
			n *= c
			continue
		}
		text := d.String()
		if strings.ContainsAny(text, "+-") {
			text = "(" + text + ")"
		}
		vary.WriteString(" × " + text)
	}
	return names.Bytes(n/int64(elems)) + vary.String()
}

// polyBytes prints a byte count that depends on the step: "1.6 MiB + 512 B × P".
func polyBytes(p sym.Poly) string {
	var terms []string
	for _, t := range []struct {
		n    int64
		name string
	}{{p.C, ""}, {p.T, " × T"}, {p.P, " × P"}, {p.TT, " × T²"}, {p.TP, " × T × P"}} {
		if t.n != 0 {
			terms = append(terms, names.Bytes(t.n)+t.name)
		}
	}
	if len(terms) == 0 {
		return "0 B"
	}
	return strings.Join(terms, " + ")
}
