// Package sym turns affine expressions in the step symbols into numbers.
//
// T is the number of tokens of this run, P the number already cached; S = P + T
// is printed as a name of its own. A Dim is a comparable value: two dims are
// equal for every T and P exactly when they are ==.
//
// Read next: foundry/ir for shapes made of Dims.
package sym

import (
	"fmt"
	"strconv"
	"strings"
)

// Dim is the affine expression C + T*tokens + P*cached.
type Dim struct {
	C    int64
	T, P int32
}

// The symbols themselves.
var (
	T = Dim{T: 1}
	P = Dim{P: 1}
	S = Dim{T: 1, P: 1}
)

// Const returns the dim that is always n.
func Const(n int64) Dim { return Dim{C: n} }

// Env holds the values of the symbols in one run.
type Env struct{ T, P int64 }

// S returns the number of cached tokens after the run.
func (e Env) S() int64 { return e.T + e.P }

// Bounds are the inclusive ranges of the symbols, declared in a graph's header;
// SMax bounds T + P.
type Bounds struct{ TMin, TMax, PMin, PMax, SMax int64 }

// Contains reports whether e lies within the bounds.
func (b Bounds) Contains(e Env) bool {
	return e.T >= b.TMin && e.T <= b.TMax && e.P >= b.PMin && e.P <= b.PMax && e.S() <= b.SMax
}

// Valid reports whether the ranges are non-empty and their least corner is
// allowed by SMax.
func (b Bounds) Valid() bool {
	return b.TMin >= 1 && b.TMin <= b.TMax && b.PMin >= 0 && b.PMin <= b.PMax && b.TMin+b.PMin <= b.SMax
}

// corners returns the vertices of the polygon that the bounds describe: an
// affine dim takes its extremes on them.
func (b Bounds) corners() [5]Env {
	tTop, pTop := min(b.TMax, b.SMax-b.PMin), min(b.PMax, b.SMax-b.TMin)
	return [5]Env{
		{b.TMin, b.PMin}, {tTop, b.PMin}, {b.TMin, pTop},
		{tTop, min(b.PMax, b.SMax-tTop)}, {min(b.TMax, b.SMax-pTop), pTop},
	}
}

// IsConst reports whether d has no symbol.
func (d Dim) IsConst() bool { return d.T == 0 && d.P == 0 }

// Const returns the value of a constant dim; ok is false for a symbolic one.
func (d Dim) Const() (n int64, ok bool) { return d.C, d.IsConst() }

// Eval returns the value of d in e.
func (d Dim) Eval(e Env) int64 { return d.C + int64(d.T)*e.T + int64(d.P)*e.P }

// Max returns the largest value of d within b.
func (d Dim) Max(b Bounds) int64 {
	c := b.corners()
	m := d.Eval(c[0])
	for _, e := range c[1:] {
		m = max(m, d.Eval(e))
	}
	return m
}

// Min returns the smallest value of d within b.
func (d Dim) Min(b Bounds) int64 { return -d.Scale(-1).Max(b) }

// Add returns d + o.
func (d Dim) Add(o Dim) Dim { return Dim{d.C + o.C, d.T + o.T, d.P + o.P} }

// Sub returns d - o.
func (d Dim) Sub(o Dim) Dim { return Dim{d.C - o.C, d.T - o.T, d.P - o.P} }

// Scale returns n * d.
func (d Dim) Scale(n int64) Dim { return Dim{d.C * n, d.T * int32(n), d.P * int32(n)} }

// Div returns d / n; ok is false unless n divides every coefficient.
func (d Dim) Div(n int64) (q Dim, ok bool) {
	if n == 0 || d.C%n != 0 || int64(d.T)%n != 0 || int64(d.P)%n != 0 {
		return Dim{}, false
	}
	return Dim{d.C / n, int32(int64(d.T) / n), int32(int64(d.P) / n)}, true
}

// Mul returns the product; ok is false when both have symbols, which is not affine.
func Mul(a, b Dim) (prod Dim, ok bool) {
	if a.IsConst() {
		return b.Scale(a.C), true
	}
	if b.IsConst() {
		return a.Scale(b.C), true
	}
	return Dim{}, false
}

// Specialise replaces T by a constant where t is at least 0.
func (d Dim) Specialise(t int64) Dim {
	if t < 0 {
		return d
	}
	return Dim{C: d.C + int64(d.T)*t, P: d.P}
}

// String prints d as Parse reads it: "896", "T", "S", "2*T+P-1".
func (d Dim) String() string {
	if d.IsConst() {
		return strconv.FormatInt(d.C, 10)
	}
	var b strings.Builder
	term := func(c int32, name string) {
		if c == 0 {
			return
		}
		if b.Len() > 0 && c > 0 {
			b.WriteByte('+')
		}
		switch c {
		case 1:
		case -1:
			b.WriteByte('-')
		default:
			b.WriteString(strconv.Itoa(int(c)) + "*")
		}
		b.WriteString(name)
	}
	if d.T == d.P {
		term(d.T, "S")
	} else {
		term(d.T, "T")
		term(d.P, "P")
	}
	if d.C > 0 {
		b.WriteByte('+')
	}
	if d.C != 0 {
		b.WriteString(strconv.FormatInt(d.C, 10))
	}
	return b.String()
}

// Parse reads a sum of terms, each a number, a symbol T, P or S, or
// number*symbol, as String prints them.
func Parse(s string) (Dim, error) {
	var d Dim
	rest, first := s, true
	for rest != "" || first {
		sign := int64(1)
		if rest != "" && (rest[0] == '+' || rest[0] == '-') && !(first && rest[0] == '+') {
			if rest[0] == '-' {
				sign = -1
			}
			rest = rest[1:]
		} else if !first {
			return Dim{}, fmt.Errorf("bad dim %q", s)
		}
		end := strings.IndexAny(rest, "+-")
		if end < 0 {
			end = len(rest)
		}
		term, err := parseTerm(rest[:end])
		if err != nil {
			return Dim{}, fmt.Errorf("bad dim %q: %w", s, err)
		}
		d, rest, first = d.Add(term.Scale(sign)), rest[end:], false
	}
	return d, nil
}

func parseTerm(s string) (Dim, error) {
	num, name, isProduct := strings.Cut(s, "*")
	if !isProduct {
		switch s {
		case "T":
			return T, nil
		case "P":
			return P, nil
		case "S":
			return S, nil
		}
		n, err := strconv.ParseInt(s, 10, 48)
		if err != nil {
			return Dim{}, fmt.Errorf("want a number or one of T, P, S, have %q", s)
		}
		return Const(n), nil
	}
	n, err := strconv.ParseInt(num, 10, 31)
	if err != nil {
		return Dim{}, fmt.Errorf("want a number before *, have %q", num)
	}
	d, err := parseTerm(name)
	if err != nil || d.IsConst() {
		return Dim{}, fmt.Errorf("want T, P or S after *, have %q", name)
	}
	return d.Scale(n), nil
}

// MarshalText prints d as String does.
func (d Dim) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (d *Dim) UnmarshalText(b []byte) (err error) {
	*d, err = Parse(string(b))
	return err
}
