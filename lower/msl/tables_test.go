package msl_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/lower/msl"
)

var update = flag.Bool("update", false, "rewrite the expected texts in testdata")

// operators are those of two operands.
var operators = []func(a, b *msl.Value) *msl.Value{
	(*msl.Value).Add, (*msl.Value).Sub, (*msl.Value).Mul, (*msl.Value).Div, (*msl.Value).Mod, (*msl.Value).Less, (*msl.Value).More,
	(*msl.Value).Least, (*msl.Value).Equal, (*msl.Value).And, (*msl.Value).Or, (*msl.Value).Bits,
}

// TestTables holds what values are folded to and how they are printed: each operator of
// numbers at the ends, of names and of calls; each operator within each other; everything
// that has operands.
func TestTables(t *testing.T) {
	var got strings.Builder
	next := msl.Call("next")
	operands := []*msl.Value{u(0), u(1), u(2), u(3), u(129), u(130), u(1 << 16), u(1<<32 - 1), msl.U(-1), x, next}
	show := func(v *msl.Value) {
		fmt.Fprintf(&got, "%v: %s", v, folded(&msl.Do{Call: v}))
	}
	for _, op := range operators {
		for _, a := range operands {
			for _, b := range operands {
				show(op(a, b))
			}
		}
	}
	a, b, c := msl.Name("a"), msl.Name("b"), msl.Name("c")
	forms := []func(v *msl.Value) *msl.Value{
		(*msl.Value).Not, (*msl.Value).Deref, (*msl.Value).Paren, msl.Const, func(v *msl.Value) *msl.Value { return v.Cast("T *") },
		func(v *msl.Value) *msl.Value { return v.At(v) }, func(v *msl.Value) *msl.Value { return v.Dot("x") }, func(v *msl.Value) *msl.Value { return v.Scoped("N") },
		func(v *msl.Value) *msl.Value { return v.Call(v, v) }, func(v *msl.Value) *msl.Value { return v.Make(v) }, func(v *msl.Value) *msl.Value { return msl.Of("f", v, v) },
		func(v *msl.Value) *msl.Value { return v.Select(v, v) }, func(v *msl.Value) *msl.Value { return msl.Min(v, v) }, func(v *msl.Value) *msl.Value { return msl.Min(v, a) },
		func(v *msl.Value) *msl.Value { return v.Call() }, func(v *msl.Value) *msl.Value { return msl.Call("max", v, v) },
	}
	for _, op := range operators {
		v := op(a, b)
		for _, inner := range operators {
			fmt.Fprintf(&got, "%v; %v\n", op(inner(a, b), c), op(a, inner(b, c)))
		}
		for _, form := range forms {
			fmt.Fprintf(&got, "%v; %v; %v\n", form(v), op(form(a), b), op(a, form(b)))
		}
	}
	for _, outer := range forms {
		for _, inner := range forms {
			show(outer(inner(a.Add(u(0)))))
		}
	}
	for _, v := range []*msl.Value{msl.Float(0), msl.Float(-1.5), msl.Float(1e-30), msl.Float(1.0 / 3), msl.Long(1 << 40), msl.Int(-3), msl.Bool(true), msl.Bool(false), msl.U(uint32(7)), msl.U(int64(1 << 31))} {
		fmt.Fprintln(&got, v)
	}
	const file = "testdata/values.txt"
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(got.String()), 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), got.String(), "rewrite with -update")
}

// A loop of constants that runs once is its body, one that never runs is nothing, and of
// others nothing is changed, whatever it counts from, to and by.
func TestRounds(t *testing.T) {
	for from := range 4 {
		for below := range 6 {
			for step := range 5 {
				i := msl.Variable("i")
				loop := &msl.For{Variable: i, From: u(from), Below: u(below), Body: []msl.Statement{msl.Set(x, i)}}
				by := 1
				if step > 0 {
					loop.Step, by = u(step), step
				}
				rounds := 0
				for at := from; at < below; at += by {
					rounds++
				}
				text := msl.Print([]msl.Statement{loop}, 0)
				switch rounds {
				case 0:
					text = ""
				case 1:
					text = fmt.Sprintf("x = %du;\n", from)
				}
				require.Equal(t, text, folded(loop))
				for _, open := range []**msl.Value{&loop.From, &loop.Below, &loop.Step} {
					*open = x
					require.Contains(t, folded(loop), "for (uint i")
					*open = u(from + 1)
				}
			}
		}
	}
}

// Constants that are declared count as their numbers, in expressions too; what is no constant
// leaves a loop as it is, on whichever side it stands.
func TestRoundsOfConstants(t *testing.T) {
	n, i := msl.Variable("N"), msl.Variable("i")
	constant := &msl.Declare{Type: msl.Constexpr(msl.Name("uint")), Of: []msl.Declared{{Variable: n, Value: u(5)}}}
	for below, rounds := range map[*msl.Value]int{
		n.Sub(u(4)): 1, n.Sub(u(5)): 0, n.Div(u(3)): 1, u(3).Div(n): 0, n.Mod(u(2)): 1, u(7).Mod(n): 2, u(6).Sub(n): 1, n.Sub(n): 0, n.Div(n): 1,
		n.Sub(x): 2, x.Sub(n): 2, x.Div(n): 2, n.Mod(x): 2, n: 2, u(4).Sub(n): 2,
	} {
		text := folded(constant, &msl.For{Variable: i, From: u(0), Below: below, Body: []msl.Statement{msl.Set(x, i)}})
		switch rounds {
		case 0:
			require.Empty(t, text, below.String())
		case 1:
			require.Equal(t, "x = 0u;\n", text, below.String())
		default:
			require.Contains(t, text, "for (uint i = 0u; i < "+below.String()+"; i++)", below.String())
		}
	}
}

// every has each kind of statement once, and variables in each place that reads one.
func every() (list []msl.Statement, reads int) {
	next := 0
	v := func() *msl.Value { next++; return msl.Variable(fmt.Sprint("v", next-1)) }
	do := func() msl.Statement { return &msl.Do{Call: msl.Call("f", v())} }
	own := msl.Variable("own")
	list = []msl.Statement{
		&msl.Phase{Text: "main: what comes"},
		&msl.Declare{Type: msl.Of("T", v()), Of: []msl.Declared{{Variable: own, Size: u(4)}, {Variable: own, Size: v(), Value: v()}, {Variable: own, Value: u(5)}}, Note: "a note"},
		&msl.Declare{Type: msl.Name("device float *"), Of: []msl.Declared{{Variable: own, Value: v()}}},
		msl.Set(v(), v()), msl.Raise(x.At(v()), v()), msl.When(v(), do()), msl.Times(own, v(), do()), msl.Times(own, u(3), msl.Times(own, u(2), do())),
		&msl.If{Branches: []msl.Branch{{v(), []msl.Statement{do(), do()}}, {v(), nil}, {nil, []msl.Statement{do()}}}},
		&msl.If{Branches: []msl.Branch{{v(), []msl.Statement{do()}}, {nil, []msl.Statement{do()}}}, Line: true},
		&msl.For{Variable: own, From: v(), Below: v(), Step: v(), Body: []msl.Statement{&msl.Block{Body: []msl.Statement{do()}}}},
		&msl.Row{Of: []msl.Statement{do(), &msl.Return{}, msl.Let(uintType, own, v()), msl.Array(uintType, own, u(2))}},
		&msl.Unroll{Macro: "UNROLL"},
		&msl.Barrier{Memory: "mem_none"}, &msl.Barrier{Simdgroup: true, Memory: "mem_threadgroup"},
		&msl.Ready{Before: []msl.Statement{do()}, Behind: []msl.Statement{do()}},
		&msl.Return{},
	}
	return list, next
}

// Each kind of statement is printed on its lines, and what it reads is found in every place.
func TestStatements(t *testing.T) {
	list, reads := every()
	require.Equal(t, `    // main: what comes
    T<v0> own[4], own[v1] = v2, own = 5u; // a note
    device float *own = v3;
    v4 = v5;
    x[v6] += v7;
    if (v8) f(v9);
    for (uint own = 0u; own < v10; own++) f(v11);
    for (uint own = 0u; own < 3u; own++) for (uint own = 0u; own < 2u; own++) f(v12);
    if (v13) {
        f(v14);
        f(v15);
    }
    else if (v16) {
    }
    else {
        f(v17);
    }
    if (v18) f(v19);
    else f(v20);
    for (uint own = v21; own < v22; own += v23) {
        {
            f(v24);
        }
    }
    f(v25); return; uint own = v26; uint own[2];
    UNROLL
    threadgroup_barrier(mem_flags::mem_none);
    simdgroup_barrier(mem_flags::mem_threadgroup);
    f(v27);
    FOUNDRY_READY();
    f(v28);
    return;
`, msl.Print(list, 1))
	seen := map[string]int{}
	msl.Reads(list, func(v *msl.Value) { seen[v.String()]++ })
	require.Len(t, seen, reads)
	for name, n := range seen {
		require.Equal(t, 1, n, name)
	}
}

// Values are the same where they are the same expression of the same variables.
func TestSame(t *testing.T) {
	v := msl.Variable("v")
	build := []func() *msl.Value{
		func() *msl.Value { return v }, func() *msl.Value { return msl.Name("v") }, func() *msl.Value { return msl.U(200) }, func() *msl.Value { return msl.U(201) },
		func() *msl.Value { return v.Add(u(1)) }, func() *msl.Value { return v.Add(u(2)) }, func() *msl.Value { return u(1).Add(v) }, func() *msl.Value { return v.Sub(u(1)) },
		func() *msl.Value { return msl.Call("f", v) }, func() *msl.Value { return msl.Call("f", v, v) }, func() *msl.Value { return msl.Name("f").Make(v) }, func() *msl.Value { return v.Dot("x") }, func() *msl.Value { return v.Dot("y") },
	}
	for i, a := range build {
		for j, b := range build {
			require.Equal(t, i == j, a().Same(b()), "%v, %v", a(), b())
		}
	}
	require.False(t, v.Same(msl.Variable("v")), "another variable")
	for value, simple := range map[*msl.Value]bool{x: true, v: true, u(3): true, v.Dot("x"): true, v.Add(v).Dot("x"): false, v.At(v): false, msl.Call("f"): false, v.Dot("x").Dot("y"): true} {
		require.Equal(t, simple, value.IsSimple(), value.String())
	}
	require.True(t, u(3).IsNumber(3))
	require.False(t, u(3).IsNumber(4) || x.IsNumber(0))
}
