package metal

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"foundry/ir/sym"
)

// affine is an index or an offset in the text of a kernel: a polynomial in the
// step symbols plus polynomial multiples of variables (atoms). Equal affines
// print alike, so their text can be compared.
type affine struct {
	c     sym.Poly
	terms []term // sorted by atom
}

type term struct {
	atom string
	coef sym.Poly
}

func number(n int64) affine          { return affine{c: sym.Poly{C: n}} }
func dimension(d sym.Dim) affine     { return affine{c: d.Poly()} }
func variable(name string) affine    { return affine{terms: []term{{name, sym.Poly{C: 1}}}} }
func (a affine) isNumber() bool      { return len(a.terms) == 0 && a.c.IsConst() }
func (a affine) plus(n int64) affine { return a.add(number(n)) }

func (a affine) add(b affine) affine {
	out := affine{c: a.c.Add(b.c), terms: make([]term, 0, len(a.terms)+len(b.terms))}
	out.terms = append(append(out.terms, a.terms...), b.terms...)
	slices.SortStableFunc(out.terms, func(x, y term) int { return cmp.Compare(x.atom, y.atom) })
	kept := out.terms[:0]
	for _, t := range out.terms {
		if n := len(kept); n > 0 && kept[n-1].atom == t.atom {
			kept[n-1].coef = kept[n-1].coef.Add(t.coef)
		} else {
			kept = append(kept, t)
		}
	}
	out.terms = slices.DeleteFunc(kept, func(t term) bool { return t.coef == sym.Poly{} })
	return out
}

// times returns a * p; ok is false beyond the degree that a sym.Poly holds.
func (a affine) times(p sym.Poly) (out affine, ok bool) {
	if out.c, ok = a.c.Times(p); !ok {
		return affine{}, false
	}
	for _, t := range a.terms {
		coef, ok := t.coef.Times(p)
		if !ok {
			return affine{}, false
		}
		if coef != (sym.Poly{}) {
			out.terms = append(out.terms, term{t.atom, coef})
		}
	}
	return out, true
}

// text prints a as an MSL uint expression without outer parentheses.
func (a affine) text() string {
	var parts []string
	for _, t := range a.terms {
		switch {
		case t.coef == sym.Poly{C: 1}:
			parts = append(parts, t.atom)
		case t.coef.IsConst():
			parts = append(parts, t.atom+" * "+unsigned(t.coef.C))
		default:
			parts = append(parts, t.atom+" * ("+polyText(t.coef)+")")
		}
	}
	if a.c != (sym.Poly{}) || len(parts) == 0 {
		parts = append(parts, polyText(a.c))
	}
	return strings.Join(parts, " + ")
}

// group prints a so that it can stand in a product.
func (a affine) group() string {
	s := a.text()
	if strings.ContainsAny(s, " ") {
		return "(" + s + ")"
	}
	return s
}

func unsigned(n int64) string {
	if n < 0 {
		return "uint(" + strconv.FormatInt(n, 10) + ")"
	}
	return strconv.FormatInt(n, 10) + "u"
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
			b.WriteString(unsigned(c))
		case c == 1:
			b.WriteString(name)
		default:
			b.WriteString(unsigned(c) + " * " + name)
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
