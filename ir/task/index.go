package task

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"foundry/ir/sym"
)

// Index is an index of an element, or an offset into memory in elements: a polynomial in
// the step symbols plus polynomial multiples of variables. Equal ones print alike, so
// their texts can be compared.
type Index struct {
	Const sym.Poly
	Terms []Term // sorted by variable
}

// Term is a multiple of a variable.
type Term struct {
	Variable string
	Coef     sym.Poly
}

// Number returns the index n.
func Number(n int64) Index { return Index{Const: sym.Poly{C: n}} }

// Dimension returns the index d.
func Dimension(d sym.Dim) Index { return Index{Const: d.Poly()} }

// Variable returns the index that the variable of that name holds.
func Variable(name string) Index {
	return Index{Terms: []Term{{Variable: name, Coef: sym.Poly{C: 1}}}}
}

// IsNumber reports whether neither variables nor step symbols stand in a.
func (a Index) IsNumber() bool { return len(a.Terms) == 0 && a.Const.IsConst() }

// Equal reports whether a and b are the same.
func (a Index) Equal(b Index) bool { return a.Const == b.Const && slices.Equal(a.Terms, b.Terms) }

// Key tells indices apart: equal ones have equal keys.
func Key(ix ...Index) string {
	b := make([]byte, 0, 64)
	for _, i := range ix {
		b = i.appendKey(b)
	}
	return string(b)
}

func (a Index) appendKey(b []byte) []byte {
	b = appendPoly(append(b, ','), a.Const)
	for _, t := range a.Terms {
		b = appendPoly(append(append(b, '+'), t.Variable...), t.Coef)
	}
	return b
}

// Plus returns a + n.
func (a Index) Plus(n int64) Index { return a.Add(Number(n)) }

// Add returns a + b.
func (a Index) Add(b Index) Index {
	out := Index{Const: a.Const.Add(b.Const), Terms: make([]Term, 0, len(a.Terms)+len(b.Terms))}
	out.Terms = append(append(out.Terms, a.Terms...), b.Terms...)
	slices.SortStableFunc(out.Terms, func(x, y Term) int { return cmp.Compare(x.Variable, y.Variable) })
	kept := out.Terms[:0]
	for _, t := range out.Terms {
		if n := len(kept); n > 0 && kept[n-1].Variable == t.Variable {
			kept[n-1].Coef = kept[n-1].Coef.Add(t.Coef)
		} else {
			kept = append(kept, t)
		}
	}
	out.Terms = slices.DeleteFunc(kept, func(t Term) bool { return t.Coef == sym.Poly{} })
	return out
}

// Times returns a * p; ok is false beyond the degree that a sym.Poly holds.
func (a Index) Times(p sym.Poly) (out Index, ok bool) {
	if out.Const, ok = a.Const.Times(p); !ok {
		return Index{}, false
	}
	for _, t := range a.Terms {
		coef, ok := t.Coef.Times(p)
		if !ok {
			return Index{}, false
		}
		if coef != (sym.Poly{}) {
			out.Terms = append(out.Terms, Term{t.Variable, coef})
		}
	}
	return out, true
}

// String prints a as an expression of unsigned integers without outer parentheses, such as
// "column + row * 896u + 64u".
func (a Index) String() string {
	var parts []string
	for _, t := range a.Terms {
		switch {
		case t.Coef == sym.Poly{C: 1}:
			parts = append(parts, t.Variable)
		case t.Coef.IsConst():
			parts = append(parts, t.Variable+" * "+unsigned(t.Coef.C))
		default:
			parts = append(parts, t.Variable+" * ("+polyText(t.Coef)+")")
		}
	}
	if a.Const != (sym.Poly{}) || len(parts) == 0 {
		parts = append(parts, polyText(a.Const))
	}
	return strings.Join(parts, " + ")
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
