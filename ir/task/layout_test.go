package task_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/sym"
	"foundry/ir/target"
	"foundry/ir/task"
)

// offsets lists where each element of a shape lies, in row-major order.
func offsets(l task.Layout, s ir.Shape, e sym.Env) (out []int64) {
	dims := s.Eval(e)
	n := int64(1)
	for _, d := range dims {
		n *= int64(d)
	}
	for i := range n {
		at, rest := l.Off.Eval(e), i
		for d := len(dims) - 1; d >= 0; d-- {
			at += rest % int64(dims[d]) * l.Stride[d].Eval(e)
			rest /= int64(dims[d])
		}
		out = append(out, at)
	}
	return out
}

// Where a chain of views says that elements lie is where they lie: an operand's values at
// these places are the view's, and the last place is where the layout ends.
func TestViewsLieWhereTheySay(t *testing.T) {
	x, err := target.Find(target.Default)
	require.NoError(t, err)
	bounds := sym.Bounds{TMin: 1, TMax: 6, PMin: 0, PMax: 20, SMax: 26}
	shapes := [][]sym.Dim{{sym.T, sym.Const(24)}, {sym.Const(2), sym.T, sym.Const(12)}, {sym.Const(24), sym.Const(4)}, {sym.Const(4), sym.Const(6), sym.Const(8)}, {sym.T, sym.Const(2), sym.Const(3), sym.Const(4)}, {sym.Const(1), sym.Const(16), sym.T}, {sym.Const(30), sym.Const(8)}, {sym.Const(2), sym.Const(32), sym.Const(8)}}
	views, copies, contiguous := 0, 0, 0
	for seed := range uint64(400) {
		rng := rand.New(rand.NewPCG(seed, 2))
		g := ir.NewGraph("g", bounds)
		v := g.Param(ir.Input, "x", ir.TypeOf(dtype.F32, shapes[rng.IntN(len(shapes))]...))
		for range 1 + rng.IntN(5) {
			rank, a, op := int(v.Type.Shape.Rank), ir.Attr{}, ir.OpReshape
			switch rng.IntN(3) {
			case 0:
				op, a.Axis = ir.OpSlice, rng.IntN(rank)
				a.Start, a.Size = []sym.Dim{sym.Const(0), sym.Const(1), sym.P, sym.Const(4)}[rng.IntN(4)], []sym.Dim{sym.Const(1), sym.Const(2), sym.Const(4), sym.T}[rng.IntN(4)]
				if n := v.Type.Shape.Dims[a.Axis]; !n.IsConst() || a.Start.Add(a.Size).Max(bounds) > n.C {
					continue
				}
			case 1:
				op = ir.OpTranspose
				for i, p := range rng.Perm(rank) {
					a.Perm[i] = int8(p)
				}
			default:
				dims := append([]sym.Dim(nil), v.Type.Shape.Dims[:rank]...)
				if i := rng.IntN(rank); rng.IntN(2) == 0 && i+1 < rank {
					if m, ok := sym.Mul(dims[i], dims[i+1]); ok {
						dims = append(append(dims[:i:i], m), dims[i+2:]...)
					}
				} else if q, ok := dims[i].Div(2); ok {
					dims = append(append(dims[:i:i], sym.Const(2), q), dims[i+1:]...)
				}
				if len(dims) > ir.MaxRank {
					continue
				}
				a.Shape = ir.ShapeOf(dims...)
			}
			if next, err := g.Add(op, "", a, v); err == nil {
				v = next
			}
		}
		chain := len(g.Nodes())
		y, err := g.Add(ir.OpSilu, "", ir.Attr{}, v)
		require.NoError(t, err)
		g.Return("v", v)
		g.Return("y", y)
		if ir.Verify(g) != nil {
			continue
		}
		free := 0
		for _, n := range g.Nodes()[:chain] {
			if task.IsView(n) {
				free++
			}
		}
		r, err := task.In(y.Def, bounds, x)
		if err != nil {
			continue
		}
		l, shape := r.Operands[0].Layout, v.Type.Shape
		if free < chain { // a copy is made, of which nothing but its end is known here
			copies++
			continue
		}
		views++
		most, same := int64(0), true
		for _, e := range []sym.Env{{T: 1, P: 0}, {T: 5, P: 3}, {T: 6, P: 20}, {T: 2, P: 11}} {
			inputs := numbered(g, e)
			have, want := inputs["x"].Float64s(), meant(t, g, e, inputs)["v"].Float64s()
			at := offsets(l, shape, e)
			require.Len(t, at, len(want))
			for i := range at {
				require.Equal(t, want[i], have[at[i]], "%s\n%v: element %d", g, e, i)
				most, same = max(most, at[i]+1), same && at[i] == int64(i)
			}
		}
		if end, ok := l.End(shape, bounds); ok {
			require.Equal(t, most, end, "%s", g)
		}
		if l.IsContiguous(shape) {
			contiguous++
			require.True(t, same, "%s", g)
		}
	}
	require.Greater(t, views, 120)
	require.Greater(t, copies, 20)
	require.Greater(t, contiguous, 40)
}

// What strides cannot say is a copy, and says so.
func TestViewsThatAreCopies(t *testing.T) {
	for _, c := range []struct {
		name, decl, text string
		view             bool
	}{
		{"rows of the copy that a transpose is", "%a = input \"a\" : f32[4, 6]", "%s = transpose %a {perm=[1, 0]}\n%v = reshape %s {shape=[24]}", true},
		{"columns that are no rows", "%a = input \"a\" : f32[4, 6]", "%s = reshape %a {shape=[4, 6]}\n%v = transpose %s {perm=[1, 0]}", false},
		{"rows of rows", "%a = input \"a\" : f32[4, 2, 6]", "%s = transpose %a {perm=[1, 0, 2]}\n%v = reshape %s {shape=[2, 4, 2, 3]}", true},
		{"what lies apart is not merged", "%a = input \"a\" : f32[4, 8]", "%s = slice %a {axis=1, start=0, size=4}\n%v = reshape %s {shape=[16]}", false},
		{"what lies together is", "%a = input \"a\" : f32[4, 8]", "%s = slice %a {axis=0, start=1, size=2}\n%v = reshape %s {shape=[16]}", true},
		{"one column is a row of one", "%a = input \"a\" : f32[4, 8]", "%s = slice %a {axis=1, start=3, size=1}\n%v = transpose %s {perm=[1, 0]}", false},
	} {
		g, err := ir.Parse("g.fir", fmt.Sprintf("graph @g (T=1..8, P=0..40, S<=64) {\n%s\n%s\nreturn v=%%v\n}", c.decl, c.text))
		require.NoError(t, err, c.name)
		require.Equal(t, c.view, task.IsView(g.Nodes()[1]), c.name)
	}
}

// How indices are added and multiplied.
func TestIndices(t *testing.T) {
	times := func(i task.Index, p sym.Poly) task.Index {
		t.Helper()
		out, ok := i.Times(p)
		require.True(t, ok)
		return out
	}
	column, row := task.PositionX.Index(), task.GroupY.Index()
	term := func(v task.Variable, p sym.Poly) task.Term { return task.Term{Variable: v, Coef: p} }
	b := times(row.Plus(3), sym.Poly{C: 8})
	for _, c := range []struct {
		what string
		have task.Index
		want task.Index
	}{
		{"multiplied", b, task.Index{Const: sym.Poly{C: 24}, Terms: []task.Term{term(task.GroupY, sym.Poly{C: 8})}}},
		{"by number", b.Add(column), task.Index{Const: sym.Poly{C: 24}, Terms: []task.Term{term(task.PositionX, sym.Poly{C: 1}), term(task.GroupY, sym.Poly{C: 8})}}},
		{"either way round", column.Add(b), b.Add(column)},
		{"of both sides", b.Add(column).Add(row.Add(task.GroupX.Index())), task.Index{Const: sym.Poly{C: 24}, Terms: []task.Term{
			term(task.PositionX, sym.Poly{C: 1}), term(task.GroupX, sym.Poly{C: 1}), term(task.GroupY, sym.Poly{C: 9})}}},
		{"what comes to nothing is left out", b.Add(column).Add(times(row, sym.Poly{C: -8})), column.Plus(24)},
		{"by nothing", times(b, sym.Poly{}), task.Number(0)},
		{"by a dim", times(row.Plus(2), sym.Poly{T: 2, C: 1}), task.Index{Const: sym.Poly{T: 4, C: 2}, Terms: []task.Term{term(task.GroupY, sym.Poly{T: 2, C: 1})}}},
		{"a dim", task.Dimension(sym.T).Plus(-1), task.Index{Const: sym.Poly{T: 1, C: -1}}},
	} {
		require.True(t, c.have.Equal(c.want), "%s: %v, not %v", c.what, c.have, c.want)
	}
	for _, other := range []task.Index{column, row.Plus(1), times(row, sym.Poly{C: 2}), row.Add(column), task.Number(0)} {
		require.False(t, row.Equal(other), "%v", other)
		require.False(t, task.Same([]task.Index{column, row}, []task.Index{column, other}))
	}
	require.True(t, task.Same([]task.Index{column, row}, []task.Index{column, row}))
	require.False(t, task.Same([]task.Index{column, row}, []task.Index{column}))
	_, ok := task.Index{Const: sym.Poly{TT: 1}}.Times(sym.Poly{T: 1})
	require.False(t, ok)
	_, ok = task.Index{Terms: []task.Term{term(task.GroupY, sym.Poly{TT: 1})}}.Times(sym.Poly{T: 1})
	require.False(t, ok)
	require.False(t, b.IsNumber())
	require.True(t, times(b, sym.Poly{}).IsNumber())
	require.False(t, task.Dimension(sym.T).IsNumber())
	require.True(t, task.Number(4).IsNumber())
}

// What is known of variables says what divides an index and how large it is, and whether a
// quotient needs a variable of its own.
func TestKnowledgeOfIndices(t *testing.T) {
	w := task.NewWalk(&task.Region{}, 4, &follower{})
	row, c := w.Know(task.GroupY, 10, 0), w.Know(task.PositionX, 8, 4)
	times := func(i task.Index, n int64) task.Index {
		out, ok := i.Times(sym.Poly{C: n})
		require.True(t, ok)
		return out
	}
	require.True(t, w.Divides(4, c))
	require.True(t, w.Divides(8, times(c, 2).Plus(16)))
	require.False(t, w.Divides(8, c))
	require.False(t, w.Divides(4, c.Plus(2)))
	require.False(t, w.Divides(4, row))
	require.True(t, w.Divides(4, times(row, 4)))
	require.True(t, w.Divides(2, task.Index{Const: sym.Poly{T: 2, P: 4, TT: 6, TP: 8}}))
	for _, p := range []sym.Poly{{T: 1}, {P: 1}, {TT: 1}, {TP: 1}, {C: 1}} {
		require.False(t, w.Divides(2, task.Index{Const: p}))
	}
	require.True(t, w.Bounded(row, 10))
	require.False(t, w.Bounded(row, 9))
	require.True(t, w.Bounded(times(row, 8).Add(c), 80), "9 * 8 + 7")
	require.False(t, w.Bounded(times(row, 8).Add(c), 79))
	require.False(t, w.Bounded(times(row, -1), 10))
	require.False(t, w.Bounded(row.Plus(-1), 10))
	require.False(t, w.Bounded(row.Add(task.Dimension(sym.T)), 1000))
	require.False(t, w.Bounded(task.GroupX.Index(), 1000))
	made := func(n task.Variable) task.Index { return (task.Given + n).Index() }
	for _, k := range []struct {
		of   task.Index
		n    sym.Dim
		q, r task.Index
	}{
		{task.Number(17), sym.Const(5), task.Number(3), task.Number(2)}, {row, sym.Const(1), row, task.Number(0)}, {row, sym.Const(10), task.Number(0), row},
		{times(row, 8).Add(c), sym.Const(8), row, c}, {times(row, 8).Add(c).Plus(16), sym.Const(8), row.Plus(2), c},
		{times(row, 8).Plus(3), sym.Const(8), row, task.Number(3)}, {task.Dimension(sym.T.Scale(6)), sym.Const(3), task.Dimension(sym.T.Scale(2)), task.Number(0)},
		{times(row, 8).Add(c).Plus(1), sym.Const(8), made(0), made(1)}, // 7 + 1 is a row more
		{row, sym.Const(9), made(2), made(3)}, {row, sym.T, made(4), made(5)},
	} {
		q, r := w.Split(k.of, k.n, "index")
		require.True(t, task.Same([]task.Index{k.q, k.r}, []task.Index{q, r}), "%v of %s: %v, %v", k.of, k.n, q, r)
	}
	require.True(t, w.Bounded(made(1), 8), "a remainder is below")
	require.False(t, w.Bounded(made(1), 7))
	require.False(t, w.Bounded(made(0), 1<<40))
	_, r := w.Split(times(w.Know(task.GroupZ, 0, 4), 1), sym.Const(12), "d")
	require.True(t, w.Divides(4, r), "four divide what is split, and the divisor")
	require.False(t, w.Divides(8, r))
	_, r = w.Split(w.Know(task.GroupZ, 0, 4), sym.Const(6), "d")
	require.False(t, w.Divides(4, r))
	require.True(t, w.Divides(2, r))
}
