package sym

// Poly is C + T*tokens + P*cached + TT*tokens² + TP*tokens*cached: what byte and
// operation counts of a dispatch come to, attention's included.
type Poly struct {
	C  int64 `json:"c,omitempty"`
	T  int64 `json:"t,omitempty"`
	P  int64 `json:"p,omitempty"`
	TT int64 `json:"tt,omitempty"`
	TP int64 `json:"tp,omitempty"`
}

// Eval returns the value of p in e.
func (p Poly) Eval(e Env) int64 {
	return p.C + p.T*e.T + p.P*e.P + p.TT*e.T*e.T + p.TP*e.T*e.P
}

// Add returns p + q.
func (p Poly) Add(q Poly) Poly {
	return Poly{p.C + q.C, p.T + q.T, p.P + q.P, p.TT + q.TT, p.TP + q.TP}
}

// Scale returns n * p.
func (p Poly) Scale(n int64) Poly {
	return Poly{p.C * n, p.T * n, p.P * n, p.TT * n, p.TP * n}
}

// Product returns the product of dims; ok is false when it holds P², T³ or
// another term that a Poly has no place for.
func Product(dims ...Dim) (prod Poly, ok bool) {
	prod = Poly{C: 1}
	for _, d := range dims {
		t, p := int64(d.T), int64(d.P)
		if prod.TT*t != 0 || prod.TT*p != 0 || prod.TP*t != 0 || prod.TP*p != 0 || prod.P*p != 0 {
			return Poly{}, false
		}
		prod = Poly{
			C:  prod.C * d.C,
			T:  prod.T*d.C + prod.C*t,
			P:  prod.P*d.C + prod.C*p,
			TT: prod.TT*d.C + prod.T*t,
			TP: prod.TP*d.C + prod.T*p + prod.P*t,
		}
	}
	return prod, true
}

// Poly returns d as a polynomial.
func (d Dim) Poly() Poly { return Poly{C: d.C, T: int64(d.T), P: int64(d.P)} }

// IsConst reports whether p has no symbols.
func (p Poly) IsConst() bool { return p == Poly{C: p.C} }

// Times returns p * q; ok is false beyond the degree that a Poly holds.
func (p Poly) Times(q Poly) (product Poly, ok bool) {
	if p.IsConst() {
		return q.Scale(p.C), true
	}
	if q.IsConst() {
		return p.Scale(q.C), true
	}
	if p.TT != 0 || p.TP != 0 || q.TT != 0 || q.TP != 0 || p.P*q.P != 0 {
		return Poly{}, false
	}
	return Poly{
		C: p.C * q.C, T: p.C*q.T + p.T*q.C, P: p.C*q.P + p.P*q.C,
		TT: p.T * q.T, TP: p.T*q.P + p.P*q.T,
	}, true
}
