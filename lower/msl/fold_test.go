package msl_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/lower/msl"
)

var (
	uintType = msl.Name("uint")
	p        = msl.Variable("P")
	x        = msl.Name("x")
)

func u(n int) *msl.Value { return msl.U(n) }

// folded is the text of statements that are folded; the arguments of their function are
// x and y.
func folded(list ...msl.Statement) string {
	return msl.Print(msl.Fold(list, func(name string) bool { return name == "x" || name == "y" }), 0)
}

func TestFoldValues(t *testing.T) {
	for _, c := range []struct {
		v    *msl.Value
		want string
	}{
		{msl.Min(p.Add(u(1)), p.Add(u(1))), "P + 1u"},
		{msl.Min(p.Add(u(1)), msl.Variable("P").Add(u(1))), "min(P + 1u, P + 1u)"}, // another variable of that name
		{msl.Min(msl.Call("next"), msl.Call("next")), "min(next(), next())"},       // which may differ
		{x.Mul(u(1)).Add(u(0)), "x"},
		{msl.Min(msl.Call("next"), p), "min(next(), P)"},
		{msl.Int(1234567890), "1234567890"}, {msl.Int(int64(-10)), "-10"}, {u(1234567890), "1234567890u"},
		{x.Add(p.Mul(u(0))), "x"},
		{x.Add(msl.Call("next").Mul(u(0))), "x + next() * 0u"},
		{u(6).Mul(u(7)).Add(p), "42u + P"},
		{u(1 << 20).Mul(u(1 << 12)), "1048576u * 4096u"}, // wraps
		{u(2).Sub(u(3)), "2u - 3u"},
		{u(7).Mod(u(4)).Add(u(9).Div(u(2))), "7u"},
		{msl.Name("1.0f").Mul(x.Mul(p).Paren()), "1.0f * (x * P)"}, // of floats nothing but parentheses
		{x.Mul(p).Paren().Mul(msl.Name("2.0f")), "x * P * 2.0f"},
		{p.Sub(p.Sub(u(0)).Sub(u(2)).Paren()), "P - (P - 2u)"},
	} {
		require.Equal(t, "f("+c.want+");\n", folded(&msl.Do{Call: msl.Call("f", c.v)}))
	}
}

func TestFoldLoops(t *testing.T) {
	i, n, at := msl.Variable("i"), msl.Variable("ROWS"), msl.Variable("at")
	constant := &msl.Declare{Type: msl.Constexpr(msl.Name("uint")), Of: []msl.Declared{{Variable: n, Value: u(1)}}}
	store := func(v *msl.Value) msl.Statement { return msl.Set(x.At(v), msl.Call("f", v)) }
	loop := func(below, step *msl.Value, body ...msl.Statement) msl.Statement {
		return &msl.For{Variable: i, From: u(0), Below: below, Step: step, Body: body}
	}
	unroll := &msl.Unroll{Macro: "UNROLL"}
	require.Equal(t, "x[0u] = f(0u);\n", folded(unroll, loop(u(1), nil, store(i))))
	require.Equal(t, "x[0u] = f(0u);\n", folded(loop(u(4), u(8), store(i))))
	require.Equal(t, "x[0u] = f(0u);\n", folded(constant, loop(n.Mul(n), nil, store(i))))
	require.Empty(t, folded(unroll, loop(u(0), nil, store(i))))
	require.Equal(t, "UNROLL\nfor (uint i = 0u; i < 2u; i++) {\n    x[i] = f(i);\n}\n", folded(unroll, loop(u(2), nil, store(i))))
	require.Equal(t, "for (uint i = 0u; i < x; i++) {\n    x[i] = f(i);\n}\n", folded(loop(x, nil, store(i))))

	declare := func(v *msl.Value) msl.Statement { return msl.Let(uintType, v, i.Add(p)) }
	require.Equal(t, "uint at = P;\nx[at] = f(at);\n", folded(loop(u(1), nil, declare(at), store(at))))
	again := msl.Variable("at")
	require.Equal(t, "uint at = x;\n{\n    uint at = P;\n    x[at] = f(at);\n}\nx[at] = f(at);\n",
		folded(msl.Let(uintType, again, x), loop(u(1), nil, declare(at), store(at)), store(again)))
	y := msl.Variable("y") // as an argument is called
	require.Equal(t, "{\n    uint y = P;\n    x[y] = f(y);\n}\n", folded(loop(u(1), nil, declare(y), store(y))))
}

func TestFoldDropsWhatNothingReads(t *testing.T) {
	a, b, c := msl.Variable("a"), msl.Variable("b"), msl.Variable("c")
	let := func(v, value *msl.Value) msl.Statement { return msl.Let(uintType, v, value) }
	require.Empty(t, folded(let(a, p), let(b, a.Add(u(1)))))
	require.Equal(t, "uint a = next();\n", folded(let(a, msl.Call("next"))))
	require.Equal(t, "uint b = P, c = b;\nx = c;\n",
		folded(&msl.Declare{Type: uintType, Of: []msl.Declared{{Variable: a, Value: u(1)}, {Variable: b, Value: p}, {Variable: c, Value: b}}}, msl.Set(x, c)))
	require.Empty(t, folded(&msl.If{Branches: []msl.Branch{{Condition: p.Less(u(1)), Body: []msl.Statement{let(a, p)}}}}))

	// A declaration that stands twice, as one that was moved to the ready point does, goes
	// where nothing reads it.
	twice := let(a, p.Add(u(2)))
	ready := &msl.Ready{Behind: []msl.Statement{&msl.Block{Body: []msl.Statement{twice, msl.Set(x, a)}}}}
	require.Equal(t, "FOUNDRY_READY();\n{\n    uint a = P + 2u;\n    x = a;\n}\n{\n    x = P;\n}\n",
		folded(ready, &msl.Block{Body: []msl.Statement{twice, msl.Set(x, p)}}))
}

// What stands between operands decides on parentheses, not who wrote the value.
func TestPrintParentheses(t *testing.T) {
	a, b, c := msl.Name("a"), msl.Name("b"), msl.Name("c")
	for _, v := range []struct {
		v    *msl.Value
		want string
	}{
		{a.Add(b).Mul(c), "(a + b) * c"},
		{a.Mul(b).Add(c), "a * b + c"},
		{a.Sub(b.Sub(c)), "a - (b - c)"},
		{a.Sub(b).Sub(c), "a - b - c"},
		{a.Mul(b.Mod(c)), "a * (b % c)"},
		{a.Less(b).And(b.Equal(c)).Select(a, b.Less(c).Select(b, c)), "a < b && b == c ? a : b < c ? b : c"},
		{a.Less(b).Select(a, b).Add(c), "(a < b ? a : b) + c"},
		{a.Add(b).Cast("device uchar *").Deref(), "*(device uchar *)(a + b)"},
		{a.Add(b).At(c).Dot("x"), "(a + b)[c].x"},
		{a.Dot("f").Call(b, msl.Of("g", c, u(2)).Call()), "a.f(b, g<c, 2u>())"},
		{msl.Of("T", a).Scoped("Raw").Make(b, msl.U(-1)), "T<a>::Raw{b, uint(-1)}"},
		{a.Or(b).And(c.Not()), "(a || b) && !c"},
	} {
		require.Equal(t, v.want, v.v.String())
	}
}
