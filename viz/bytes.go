package viz

import (
	"fmt"
	"strings"

	"foundry/ir"
	"foundry/ir/sym"
)

// byteText prints a byte count with three digits: "3.5 KiB".
func byteText(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	if n < 0 {
		return "-" + byteText(-n)
	}
	v, u := float64(n), 0
	for v >= 1024 && u < len(units)-1 {
		v, u = v/1024, u+1
	}
	switch {
	case u == 0:
		return fmt.Sprintf("%d B", n)
	case v < 10:
		return strings.TrimSuffix(fmt.Sprintf("%.2f", v), "0") + " " + units[u]
	case v < 100:
		return fmt.Sprintf("%.1f %s", v, units[u])
	}
	return fmt.Sprintf("%.0f %s", v, units[u])
}

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
	return byteText(n/int64(elems)) + vary.String()
}

// polyBytes prints a byte count that depends on the step: "1.6 MiB + 512 B × P".
func polyBytes(p sym.Poly) string {
	var terms []string
	for _, t := range []struct {
		n    int64
		name string
	}{{p.C, ""}, {p.T, " × T"}, {p.P, " × P"}, {p.TT, " × T²"}, {p.TP, " × T × P"}} {
		if t.n != 0 {
			terms = append(terms, byteText(t.n)+t.name)
		}
	}
	if len(terms) == 0 {
		return "0 B"
	}
	return strings.Join(terms, " + ")
}
