package task

import (
	"slices"

	"foundry/ir/sym"
)

// Variable is what an index depends on beside the step symbols: a number, which says which
// one it is within a kernel. A name it gets where it is written.
type Variable int32

// The variables that every kernel has. Those that walks make follow.
const (
	PositionX Variable = iota // the thread's place in the grid, along x
	GroupX                    // its threadgroup's place
	GroupY
	GroupZ
	keyRow // the row of keys or values, within KeysOf, where nothing is written
	Given  // how many these are
)

// Index returns the index that v holds.
func (v Variable) Index() Index {
	return Index{Terms: []Term{{Variable: v, Coef: sym.Poly{C: 1}}}}
}

// Index is an index of an element, or an offset into memory in elements: a polynomial in
// the step symbols plus polynomial multiples of variables.
type Index struct {
	Const sym.Poly
	Terms []Term // sorted by variable, none of them zero
}

// Term is a multiple of a variable.
type Term struct {
	Variable Variable
	Coef     sym.Poly
}

// Number returns the index n.
func Number(n int64) Index { return Index{Const: sym.Poly{C: n}} }

// Dimension returns the index d.
func Dimension(d sym.Dim) Index { return Index{Const: d.Poly()} }

// IsNumber reports whether neither variables nor step symbols stand in a.
func (a Index) IsNumber() bool { return len(a.Terms) == 0 && a.Const.IsConst() }

// Equal reports whether a and b are the same.
func (a Index) Equal(b Index) bool { return a.Const == b.Const && slices.Equal(a.Terms, b.Terms) }

// Same reports whether indices are the same, each for each.
func Same(a, b []Index) bool { return slices.EqualFunc(a, b, Index.Equal) }

// Plus returns a + n.
func (a Index) Plus(n int64) Index {
	a.Const.C += n
	return a
}

// Add returns a + b.
func (a Index) Add(b Index) Index {
	out := Index{Const: a.Const.Add(b.Const)}
	switch {
	case len(a.Terms) == 0:
		out.Terms = b.Terms
		return out
	case len(b.Terms) == 0:
		out.Terms = a.Terms
		return out
	}
	out.Terms = make([]Term, 0, len(a.Terms)+len(b.Terms))
	x, y := a.Terms, b.Terms
	for len(x) > 0 && len(y) > 0 {
		switch {
		case x[0].Variable < y[0].Variable:
			out.Terms, x = append(out.Terms, x[0]), x[1:]
		case x[0].Variable > y[0].Variable:
			out.Terms, y = append(out.Terms, y[0]), y[1:]
		default:
			if t := (Term{x[0].Variable, x[0].Coef.Add(y[0].Coef)}); t.Coef != (sym.Poly{}) {
				out.Terms = append(out.Terms, t)
			}
			x, y = x[1:], y[1:]
		}
	}
	out.Terms = append(append(out.Terms, x...), y...)
	return out
}

// Times returns a * p; ok is false beyond the degree that a sym.Poly holds.
func (a Index) Times(p sym.Poly) (out Index, ok bool) {
	if p == (sym.Poly{C: 1}) {
		return a, true
	}
	if out.Const, ok = a.Const.Times(p); !ok {
		return Index{}, false
	}
	if len(a.Terms) == 0 || p == (sym.Poly{}) {
		return out, true
	}
	out.Terms = make([]Term, len(a.Terms))
	for i, t := range a.Terms {
		coef, ok := t.Coef.Times(p)
		if !ok {
			return Index{}, false
		}
		out.Terms[i] = Term{t.Variable, coef}
	}
	return out, true
}
