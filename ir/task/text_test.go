package task

import (
	"strconv"
	"strings"

	"foundry/ir/sym"
)

// indexText is an index as an expression of unsigned integers.
func indexText(a Index) string {
	names := [Given]string{PositionX: "position.x", GroupX: "group.x", GroupY: "group.y", GroupZ: "group.z"}
	var parts []string
	for _, t := range a.Terms {
		name := "index" + strconv.Itoa(int(t.Variable-Given+1)) // one that the walk made
		if t.Variable < Given {
			name = names[t.Variable]
		}
		if t.Coef != (sym.Poly{C: 1}) {
			coef := polyText(t.Coef)
			if !t.Coef.IsConst() {
				coef = "(" + coef + ")"
			}
			name += " * " + coef
		}
		parts = append(parts, name)
	}
	if a.Const != (sym.Poly{}) || len(parts) == 0 {
		parts = append(parts, polyText(a.Const))
	}
	return strings.Join(parts, " + ")
}

func polyText(p sym.Poly) string {
	var b strings.Builder
	put := func(c int64, name string) {
		if c == 0 {
			return
		}
		sign := " + "
		if c < 0 {
			sign, c = " - ", -c
		}
		if b.Len() > 0 {
			b.WriteString(sign)
		} else if sign == " - " {
			b.WriteString("0u - ")
		}
		switch {
		case name == "":
			b.WriteString(strconv.FormatInt(c, 10) + "u")
		case c == 1:
			b.WriteString(name)
		default:
			b.WriteString(strconv.FormatInt(c, 10) + "u" + " * " + name)
		}
	}
	put(p.TT, "T * T")
	put(p.TP, "T * P")
	put(p.T, "T")
	put(p.P, "P")
	put(p.C, "")
	if b.Len() == 0 {
		return "0u"
	}
	return b.String()
}
