package sym

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// What is computed of polynomials is computed of their values, in every one of their terms, and
// products beyond what they hold are refused.
func TestPolynomialsAreTheirValues(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	some := func() int64 { return r.Int64N(4) * (r.Int64N(9) - 4) } // often 0
	dim := func() Dim { return Dim{some(), int32(some()), int32(some())} }
	held, refused := 0, 0
	for range 4000 {
		p, q := Poly{some(), some(), some(), some(), some()}, Poly{some(), some(), some(), some(), some()}
		a, b := dim(), dim()
		n := some()
		e := Env{T: 1 + r.Int64N(9), P: r.Int64N(9)}
		square := func(x Poly) bool { return x.TT != 0 || x.TP != 0 }
		line := func(x Poly) bool { return x.T != 0 || x.P != 0 }
		require.Equal(t, p.C+p.T*e.T+p.P*e.P+p.TT*e.T*e.T+p.TP*e.T*e.P, p.Eval(e))
		require.Equal(t, p.Eval(e)+q.Eval(e), p.Add(q).Eval(e))
		require.Equal(t, n*p.Eval(e), p.Scale(n).Eval(e))
		require.Equal(t, a.Eval(e), a.Poly().Eval(e))
		product, ok := p.Times(q)
		fits := !(square(p) && (square(q) || line(q)) || square(q) && line(p) || p.P != 0 && q.P != 0)
		require.Equal(t, fits, ok, "%v %v", p, q)
		if ok {
			require.Equal(t, p.Eval(e)*q.Eval(e), product.Eval(e), "%v %v", p, q)
		}
		product, ok = Product(a, b)
		require.Equal(t, a.P == 0 || b.P == 0, ok, "%v %v", a, b)
		if ok {
			held++
			require.Equal(t, a.Eval(e)*b.Eval(e), product.Eval(e), "%v %v", a, b)
		}
		three, ok := Product(a, b, Dim{C: 2, T: int32(n)})
		if ok {
			require.Equal(t, a.Eval(e)*b.Eval(e)*(2+n*e.T), three.Eval(e))
		} else {
			refused++
		}
		require.Equal(t, p == Poly{C: p.C}, p.IsConst())
		require.Equal(t, a.Eval(e)+b.Eval(e), a.Add(b).Eval(e))
		require.Equal(t, a.Eval(e)-b.Eval(e), a.Sub(b).Eval(e))
		require.Equal(t, n*a.Eval(e), a.Scale(n).Eval(e))
		require.Equal(t, a.Eval(Env{T: 3, P: e.P}), a.Specialise(3).Eval(Env{T: 99, P: e.P}))
		require.Equal(t, a, a.Specialise(-1))
	}
	require.Greater(t, held, 100)
	require.Greater(t, refused, 100)
}

// The numbers of a text have 48 bits, those before a symbol 31.
func TestNumbersOfDims(t *testing.T) {
	for text, fits := range map[string]bool{"140737488355327": true, "140737488355328": false, "1073741823*T": true, "1073741824*T": false, "0": true, "T*2": false, "2*3": false, "": false,
		"T+": false, "+T": false, "-T": true, "T-1": true, "T--1": false, "2*T+3*P-1": true, "S+S": true, "1*": false, "*T": false} {
		d, err := Parse(text)
		require.Equal(t, fits, err == nil, "%q: %v", text, err)
		if err == nil {
			back, err := Parse(d.String())
			require.NoError(t, err)
			require.Equal(t, d, back)
		}
	}
}
