package sym

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// The text of a dim is read back as it was, and only such text.
func TestText(t *testing.T) {
	for text, d := range map[string]Dim{
		"0": {}, "896": {C: 896}, "-3": {C: -3}, "T": T, "P": P, "S": S, "2*T": {T: 2}, "-T": {T: -1}, "-2*P": {P: -2}, "T-P": {T: 1, P: -1}, "-T+P": {T: -1, P: 1},
		"2*S": {T: 2, P: 2}, "-S": {T: -1, P: -1}, "S+1": {C: 1, T: 1, P: 1}, "S-1": {C: -1, T: 1, P: 1}, "2*T+P-1": {C: -1, T: 2, P: 1}, "P+12": {C: 12, P: 1}, "3*T+2*P": {T: 3, P: 2},
	} {
		require.Equal(t, text, d.String())
		have, err := Parse(text)
		require.NoError(t, err, text)
		require.Equal(t, d, have, text)
		b, err := d.MarshalText()
		require.NoError(t, err)
		var again Dim
		require.NoError(t, again.UnmarshalText(b))
		require.Equal(t, d, again)
	}
	d, err := Parse("1+T-3+2*T")
	require.NoError(t, err)
	require.Equal(t, Dim{C: -2, T: 3}, d, "terms in any order")
	for text, want := range map[string]string{
		"": `want a number or one of T, P, S, have ""`, "+T": `bad dim "+T"`, "T P": `have "T P"`, "T+": `have ""`, "x*T": `want a number before *, have "x"`, "2*3": `want T, P or S after *, have "3"`,
		"2*x": `want T, P or S after *, have "x"`, "2*3*T": "", "T--1": `have ""`, "140737488355328": "want a number or one of", "1073741824*T": "want a number before *",
	} {
		_, err := Parse(text)
		if want == "" {
			require.NoError(t, err, text)
			continue
		}
		require.ErrorContains(t, err, want, text)
	}
	d, err = Parse("140737488355327")
	require.NoError(t, err)
	require.EqualValues(t, 1<<47-1, d.C)
}

// Sums, multiples and quotients of dims are those of their values.
func TestArithmetic(t *testing.T) {
	a, b, e := Dim{C: 6, T: 4, P: -2}, Dim{C: 3, T: 5, P: 7}, Env{T: 11, P: 13}
	require.EqualValues(t, 24, e.S())
	require.EqualValues(t, 6+44-26, a.Eval(e))
	require.Equal(t, a.Eval(e)+b.Eval(e), a.Add(b).Eval(e))
	require.Equal(t, a.Eval(e)-b.Eval(e), a.Sub(b).Eval(e))
	require.Equal(t, -3*a.Eval(e), a.Scale(-3).Eval(e))
	q, ok := a.Div(2)
	require.True(t, ok)
	require.Equal(t, Dim{C: 3, T: 2, P: -1}, q)
	for _, d := range []Dim{{C: 1, T: 2, P: 2}, {C: 2, T: 1, P: 2}, {C: 2, T: 2, P: 1}} {
		_, ok = d.Div(2)
		require.False(t, ok, d)
	}
	_, ok = a.Div(0)
	require.False(t, ok)
	for _, c := range []struct {
		a, b, want Dim
		ok         bool
	}{{Const(3), b, Dim{C: 9, T: 15, P: 21}, true}, {b, Const(3), Dim{C: 9, T: 15, P: 21}, true}, {a, b, Dim{}, false}, {T, P, Dim{}, false}} {
		have, ok := Mul(c.a, c.b)
		require.Equal(t, c.ok, ok)
		require.Equal(t, c.want, have)
	}
	n, ok := Const(5).Const()
	require.True(t, ok && n == 5)
	for _, d := range []Dim{T, P, S} {
		require.False(t, d.IsConst())
	}
	require.Equal(t, a, a.Specialise(-1))
	require.Equal(t, Dim{C: 6, P: -2}, a.Specialise(0))
	require.Equal(t, Dim{C: 18, P: -2}, a.Specialise(3))
}

// The extremes of a dim are those over every run that the bounds allow, found by trying all.
func TestExtremes(t *testing.T) {
	for _, b := range []Bounds{{1, 4, 0, 9, 10}, {1, 1, 0, 9, 10}, {2, 8, 3, 9, 10}, {1, 20, 0, 20, 10}, {3, 3, 2, 2, 5}, {1, 5, 0, 5, 7}, {1, 4, 0, 9, 100}} {
		require.True(t, b.Valid(), "%v", b)
		for _, d := range []Dim{Const(7), T, P, S, {C: 1, T: -1}, {P: -1}, {T: -1, P: -1}, {T: 2, P: -1}, {T: -1, P: 3}, {C: -4, T: 3, P: 1}} {
			least, most, runs := int64(1<<40), int64(-1<<40), 0
			for tokens := int64(0); tokens <= 25; tokens++ {
				for cached := int64(-1); cached <= 25; cached++ {
					e := Env{T: tokens, P: cached}
					allowed := tokens >= b.TMin && tokens <= b.TMax && cached >= b.PMin && cached <= b.PMax && tokens+cached <= b.SMax
					require.Equal(t, allowed, b.Contains(e), "%v %v", b, e)
					if allowed {
						least, most, runs = min(least, d.Eval(e)), max(most, d.Eval(e)), runs+1
					}
				}
			}
			require.NotZero(t, runs)
			require.Equal(t, most, d.Max(b), "%v of %v", d, b)
			require.Equal(t, least, d.Min(b), "%v of %v", d, b)
		}
	}
	for _, b := range []Bounds{{0, 4, 0, 9, 10}, {5, 4, 0, 9, 10}, {1, 4, -1, 9, 10}, {1, 4, 9, 8, 10}, {6, 8, 5, 9, 10}} {
		require.False(t, b.Valid(), "%v", b)
	}
	require.True(t, Bounds{1, 1, 0, 0, 1}.Valid())
}

// A polynomial is the product of dims wherever it has a place for all of it.
func TestPolynomials(t *testing.T) {
	dims := []Dim{{}, Const(1), Const(-3), T, P, S, {C: 2, T: 3}, {C: 5, P: -7}, {C: 2, T: -1, P: 4}}
	runs := []Env{{1, 0}, {2, 3}, {5, 7}, {11, 4}}
	for _, a := range dims {
		for _, b := range dims {
			degree := !a.IsConst() && !b.IsConst()
			p, ok := Product(a, b)
			require.Equal(t, !(degree && int64(a.P)*int64(b.P) != 0), ok, "%v times %v", a, b)
			q, also := a.Poly().Times(b.Poly())
			require.Equal(t, ok, also)
			require.Equal(t, p, q, "%v times %v", a, b)
			for _, e := range runs {
				require.Equal(t, a.Eval(e), a.Poly().Eval(e))
				require.Equal(t, a.Eval(e)+b.Eval(e), a.Poly().Add(b.Poly()).Eval(e))
				if ok {
					require.Equal(t, a.Eval(e)*b.Eval(e), p.Eval(e), "%v times %v", a, b)
					require.Equal(t, -3*p.Eval(e), p.Scale(-3).Eval(e))
				}
			}
			for _, c := range dims {
				three, ok := Product(a, b, c)
				if !ok {
					continue
				}
				for _, e := range runs {
					require.Equal(t, a.Eval(e)*b.Eval(e)*c.Eval(e), three.Eval(e), "%v %v %v", a, b, c)
				}
			}
		}
	}
	for _, beyond := range [][]Dim{{T, T, T}, {T, T, P}, {T, P, T}, {T, P, P}, {P, P}, {P, T, T}, {P, T, P}} {
		_, ok := Product(beyond...)
		require.False(t, ok, "%v", beyond)
	}
	one, ok := Product()
	require.True(t, ok)
	require.Equal(t, Poly{C: 1}, one)
	for _, c := range []struct {
		a, b Poly
		ok   bool
	}{
		{Poly{TT: 1}, Poly{C: 2}, true}, {Poly{C: 2}, Poly{TP: 1}, true}, {Poly{TT: 1}, Poly{T: 1}, false}, {Poly{T: 1}, Poly{TT: 1}, false}, {Poly{TP: 1}, Poly{P: 1}, false}, {Poly{P: 1}, Poly{TP: 1}, false},
	} {
		p, ok := c.a.Times(c.b)
		require.Equal(t, c.ok, ok, "%v times %v", c.a, c.b)
		for _, e := range runs {
			if ok {
				require.Equal(t, c.a.Eval(e)*c.b.Eval(e), p.Eval(e))
			}
		}
	}
	for _, p := range []Poly{{T: 1}, {P: 1}, {TT: 1}, {TP: 1}} {
		require.False(t, p.IsConst())
	}
	require.True(t, Poly{C: 9}.IsConst())
}
