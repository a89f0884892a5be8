package task_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/interp"
	"foundry/ir/sym"
	"foundry/ir/target"
	"foundry/ir/task"
)

// follower computes what a kernel by element would: it follows a walk's steps with the
// numbers that variables hold, one thread after the other.
type follower struct {
	t       *testing.T
	env     sym.Env
	walk    *task.Walk
	values  map[task.Variable]int64 // variables that are given, or count
	derived []func() int64          // variables that the walk made, behind those that are given
	data    [][]float64             // operands as they lie
}

func (f *follower) fresh(v func() int64) task.Variable {
	f.derived = append(f.derived, v)
	return task.Given + task.Variable(len(f.derived)-1)
}

func (f *follower) Quotient(_ string, of task.Index, by sym.Dim) task.Variable {
	return f.fresh(func() int64 { return f.eval(of) / by.Eval(f.env) })
}

func (f *follower) Remainder(_ string, of task.Index, by sym.Dim) task.Variable {
	return f.fresh(func() int64 { return f.eval(of) % by.Eval(f.env) })
}

func (f *follower) Folded(_ string, of task.Index, half int64) task.Variable {
	return f.fresh(func() int64 { return f.eval(of) % half })
}

func (f *follower) Counter(string) task.Variable { return f.fresh(nil) }

func (f *follower) eval(i task.Index) int64 {
	n := i.Const.Eval(f.env)
	for _, t := range i.Terms {
		v, given := f.values[t.Variable]
		if !given {
			v = f.derived[t.Variable-task.Given]()
		}
		n += v * t.Coef.Eval(f.env)
	}
	return n
}

// element returns what computes element ix of v, and those beside it, from steps.
func (f *follower) element(v *ir.Value, ix []task.Index) func(lane int64) float64 {
	s := f.walk.StepFrom(v, ix)
	if f.walk.Err != nil {
		return nil
	}
	if v.Param != nil {
		return func(lane int64) float64 { return f.data[s.Param][f.eval(s.At)+lane] }
	}
	n := v.Def
	if n.Op == ir.OpEmbedding {
		table, cols := f.data[n.Args[1].Index], n.Args[1].Type.Shape.At(1).C
		return func(lane int64) float64 {
			return table[int64(f.data[s.Param][f.eval(s.At)])*cols+f.eval(ix[1])+lane]
		}
	}
	of := make([]func(int64) float64, len(s.Of))
	for i, o := range s.Of {
		if of[i] = f.element(o.Value, o.Index); of[i] == nil {
			return nil
		}
	}
	require.Equal(f.t, s.Moved, n.Op.Is(ir.View) || n.Op == ir.OpKVRearrange || n.Op == ir.OpRepeatKV, "%s", n.Op)
	switch n.Op {
	case ir.OpAdd:
		return func(lane int64) float64 { return of[0](lane) + of[1](lane) }
	case ir.OpMul:
		return func(lane int64) float64 { return of[0](lane) * of[1](lane) }
	case ir.OpSilu:
		return func(lane int64) float64 { x := of[0](lane); return x / (1 + math.Exp(-x)) }
	case ir.OpRope:
		half := v.Type.Shape.At(2).C / 2
		return func(lane int64) float64 {
			angle := float64(f.eval(ix[1])+n.Attr.Start.Eval(f.env)) * of[2](lane)
			sin, cos := math.Sincos(angle)
			if f.eval(ix[2])+lane < half {
				return of[0](lane)*cos - of[1](lane)*sin
			}
			return of[1](lane)*cos + of[0](lane)*sin
		}
	case ir.OpConcat:
		axis := n.Attr.Axis
		return func(lane int64) float64 {
			at := f.eval(ix[axis])
			for i, a := range n.Args {
				size := a.Type.Shape.At(axis).Eval(f.env)
				if at < size {
					return of[i](lane)
				}
				at -= size
			}
			panic("behind the last operand")
		}
	case ir.OpSumSquares:
		return func(int64) float64 {
			sum := 0.0
			for f.values[s.Loop] = 0; f.values[s.Loop] < n.Attr.Size.C; f.values[s.Loop]++ {
				sum += of[0](0) * of[0](0)
			}
			return sum
		}
	}
	require.True(f.t, s.Moved, "%s", n.Op)
	return of[0]
}

// follow computes all results of g's nodes as one region, width elements a thread. ok is
// false where the walk says that it cannot be.
func follow(t *testing.T, g *ir.Graph, env sym.Env, inputs map[string]interp.Tensor, width int) (results [][]float64, caches map[int][]float64, err error) {
	t.Helper()
	n, err := g.FusedNode(g.Nodes(), "x", "x")
	require.NoError(t, err)
	x, err := target.Find(target.Default)
	require.NoError(t, err)
	r, err := task.Of(n, g.Bounds, x)
	if err != nil {
		return nil, nil, err
	}
	f := &follower{t: t, env: env, values: map[task.Variable]int64{}}
	for i, a := range n.Args {
		in := inputs[a.Param.Name]
		f.data = append(f.data, nil)
		if in.DType != dtype.I32 {
			f.data[i] = in.Float64s()
		}
		for _, id := range in.I32 {
			f.data[i] = append(f.data[i], float64(id))
		}
	}
	results, caches = make([][]float64, len(r.Graph.Results)), map[int][]float64{}
	for _, p := range task.ElementsOf(r) {
		grid, err := p.Grid(width)
		if err != nil {
			return nil, nil, err
		}
		f.walk = task.NewWalk(r, width, f)
		ix := f.walk.Cell(&p, grid)
		type store struct {
			result, cache int
			at            task.Index
			value         func(int64) float64
		}
		var stores []store
		for _, place := range p.Places(ix) {
			for _, j := range p.Results {
				v := r.Graph.Results[j].Value
				if v.Def != nil && v.Def.Op == ir.OpKVWrite {
					v = v.Def.Args[1]
				}
				value := f.element(v, place)
				cache, at := f.walk.Target(j, place)
				if f.walk.Err != nil {
					return nil, nil, f.walk.Err
				}
				stores = append(stores, store{j, cache, at, value})
			}
		}
		for f.values[task.GroupY] = 0; f.values[task.GroupY] < grid.Rows.Eval(env); f.values[task.GroupY]++ {
			for f.values[task.PositionX] = 0; f.values[task.PositionX] < grid.Columns.Eval(env); f.values[task.PositionX]++ {
				for _, s := range stores {
					out := &results[s.result]
					if s.cache >= 0 {
						if caches[s.cache] == nil {
							caches[s.cache] = append([]float64(nil), f.data[s.cache]...)
						}
						for lane := range int64(width) {
							caches[s.cache][f.eval(s.at)+lane] = s.value(lane)
						}
						continue
					}
					if *out == nil {
						*out = make([]float64, r.Graph.Results[s.result].Value.Type.Shape.Elems(env))
						for i := range *out {
							(*out)[i] = math.NaN() // not written
						}
					}
					for lane := range int64(width) {
						at := f.eval(s.at) + lane
						require.True(t, math.IsNaN((*out)[at]), "element %d of result %d is written twice", at, s.result)
						(*out)[at] = s.value(lane)
					}
				}
			}
		}
	}
	return results, caches, nil
}

// numbered returns inputs for g: of each every element is another number, ids are small.
func numbered(g *ir.Graph, env sym.Env) map[string]interp.Tensor {
	out := map[string]interp.Tensor{}
	for i, v := range g.Params {
		shape := v.Type.Shape.Eval(env)
		n := v.Type.Shape.Elems(env)
		if v.Type.DType == dtype.I32 {
			ids := make([]int32, n)
			for j := range ids {
				ids[j] = int32(3*j+1) % 7
			}
			out[v.Param.Name] = interp.Ints(ids, shape...)
			continue
		}
		values := make([]float32, n)
		for j := range values {
			values[j] = float32(j)/64 + float32(i) + 0.25
		}
		out[v.Param.Name] = interp.Floats(values, shape...)
	}
	return out
}

// meant is what the interpreter makes of g.
func meant(t *testing.T, g *ir.Graph, env sym.Env, inputs map[string]interp.Tensor) map[string]interp.Tensor {
	t.Helper()
	p, err := interp.New(g, func(name string, _ ir.Type) (interp.Tensor, error) { return inputs[name], nil }, interp.Float64)
	require.NoError(t, err)
	run := interp.Run{Env: env, Inputs: map[string]interp.Tensor{}, State: p.NewState()}
	for _, v := range g.Params {
		switch v.Param.Kind {
		case ir.Input:
			run.Inputs[v.Param.Name] = inputs[v.Param.Name]
		case ir.State:
			require.NoError(t, run.State.Set(v.Param.Name, inputs[v.Param.Name].Float32s()))
		}
	}
	out, err := p.Run(context.Background(), run)
	require.NoError(t, err)
	for _, name := range run.State.Names() {
		if out[name], err = run.State.Tensor(name); err != nil {
			require.NoError(t, err)
		}
	}
	return out
}

// requireMeaning follows g's walks and compares with what it means; accepted says of each
// width whether a kernel can have it.
func requireMeaning(t *testing.T, g *ir.Graph, env sym.Env, width int) error {
	t.Helper()
	inputs := numbered(g, env)
	results, caches, err := follow(t, g, env, inputs, width)
	if err != nil {
		return err
	}
	want := meant(t, g, env, inputs)
	for j, res := range g.Results {
		have := results[j]
		if have == nil {
			require.Len(t, caches, 1)
			for _, have = range caches {
			}
		}
		w := want[res.Name].Float64s()
		require.Len(t, have, len(w), "%s\nwidth %d", g, width)
		for i := range w {
			require.InDelta(t, w[i], have[i], 1e-4*(1+math.Abs(w[i])), "%s\nwidth %d, %v: element %d of %s", g, width, env, i, res.Name)
		}
	}
	return nil
}

// What walks say an element is made of is what the interpreter makes it of, in every
// operation by element and every move; four at a time only where four lie side by side.
func TestWalksMeanWhatTheGraphMeans(t *testing.T) {
	env := sym.Env{T: 5, P: 7}
	for _, c := range []struct{ name, decl, text, results, four string }{
		{"add", "%a = input \"a\" : f32[T, 24]\n%b = input \"b\" : f32[T, 24]", "%y = add %a, %b", "y=%y", ""},
		{"of a vector", "%a = input \"a\" : f32[T, 24]\n%b = input \"b\" : f32[24]", "%s = silu %a\n%y = mul %s, %b", "y=%y", ""},
		{"odd rows", "%a = input \"a\" : f32[T, 25]", "%y = silu %a", "y=%y", "do not split into 4"},
		{"slice of rows", "%a = input \"a\" : f32[9, 24]", "%s = slice %a {axis=0, start=3, size=4}\n%y = silu %s", "y=%y", ""},
		{"slice from P", "%a = input \"a\" : f32[64, 24]", "%s = slice %a {axis=0, start=P, size=T}\n%y = silu %s", "y=%y", ""},
		{"slice of columns", "%a = input \"a\" : f32[T, 24]", "%s = slice %a {axis=1, start=8, size=12}\n%y = silu %s", "y=%y", ""},
		{"slice in the middle of four", "%a = input \"a\" : f32[T, 24]", "%s = slice %a {axis=1, start=6, size=12}\n%y = silu %s", "y=%y", "four adjacent elements of a slice are not aligned"},
		{"transpose", "%a = input \"a\" : f32[6, T, 8]", "%s = transpose %a {perm=[1, 0, 2]}\n%y = silu %s", "y=%y", ""},
		{"transpose of columns", "%a = input \"a\" : f32[4, 8]", "%s = transpose %a {perm=[1, 0]}\n%y = silu %s", "y=%y", "four adjacent elements of a transpose are not adjacent"},
		{"two transposes", "%a = input \"a\" : f32[4, T, 8]", "%r = transpose %a {perm=[1, 2, 0]}\n%s = transpose %r {perm=[2, 0, 1]}\n%y = silu %s", "y=%y", "four adjacent elements of a transpose are not adjacent"},
		{"three dims turned", "%a = input \"a\" : f32[3, T, 8]", "%s = transpose %a {perm=[2, 0, 1]}\n%y = silu %s", "y=%y", "do not split into 4"},
		{"heads", "%a = input \"a\" : f32[T, 24]", "%s = kv_rearrange %a {heads=3}\n%y = silu %s", "y=%y", ""},
		{"small heads", "%a = input \"a\" : f32[T, 24]", "%s = kv_rearrange %a {heads=4}\n%y = silu %s", "y=%y", "do not split into 4"},
		{"repeated heads", "%a = input \"a\" : f32[3, T, 8]", "%s = repeat_kv %a {times=2}\n%y = silu %s", "y=%y", ""},
		{"reshape", "%a = input \"a\" : f32[T, 24]", "%s = reshape %a {shape=[T, 3, 8]}\n%y = silu %s", "y=%y", ""},
		{"reshape of shorter rows", "%a = input \"a\" : f32[T, 4, 6]", "%s = reshape %a {shape=[T, 24]}\n%y = silu %s", "y=%y", "four adjacent elements cross a row"},
		{"reshape of single elements", "%a = input \"a\" : f32[T, 24, 1]", "%s = reshape %a {shape=[T, 24]}\n%y = silu %s", "y=%y", "four adjacent elements"},
		{"reshape and transpose", "%a = input \"a\" : f32[T, 24]", "%s = reshape %a {shape=[T, 3, 8]}\n%u = transpose %s {perm=[1, 0, 2]}\n%y = silu %u", "y=%y", ""},
		{"back again", "%a = input \"a\" : f32[3, T, 8]", "%s = transpose %a {perm=[1, 0, 2]}\n%u = reshape %s {shape=[T, 24]}\n%y = silu %u", "y=%y", ""},
		{"concat of rows", "%a = input \"a\" : f32[3, 24]\n%b = input \"b\" : f32[T, 24]", "%s = concat %a, %b {axis=0}\n%y = silu %s", "y=%y", ""},
		{"concat of columns", "%a = input \"a\" : f32[T, 8]\n%b = input \"b\" : f32[T, 12]", "%s = concat %a, %b {axis=1}\n%y = silu %s", "y=%y", ""},
		{"concat of odd columns", "%a = input \"a\" : f32[T, 6]\n%b = input \"b\" : f32[T, 10]", "%s = concat %a, %b {axis=1}\n%y = silu %s", "y=%y", "four adjacent elements cross operands of concat"},
		{"runs of squares", "%a = input \"a\" : f32[T, 24]", "%y = sum_squares %a {size=6}", "y=%y", "sums of squares are made one at a time"},
		{"rotation", "%a = input \"a\" : f32[3, T, 16]\n%f = input \"f\" : f32[8]", "%y = rope %a, %f {start=P}", "y=%y", ""},
		{"rotation of odd halves", "%a = input \"a\" : f32[3, T, 12]\n%f = input \"f\" : f32[6]", "%y = rope %a, %f {start=P}", "y=%y", "do not split into 8"},
		{"rotated heads", "%a = input \"a\" : f32[T, 48]\n%f = input \"f\" : f32[8]", "%s = kv_rearrange %a {heads=3}\n%y = rope %s, %f {start=P}", "y=%y", ""},
		{"rotated and not", "%a = input \"a\" : f32[T, 48]\n%b = input \"b\" : f32[T, 48]\n%f = input \"f\" : f32[8]", "%s = kv_rearrange %a {heads=3}\n%y = rope %s, %f {start=P}\n%z = add %a, %b", "y=%y, z=%z", ""},
		{"rotation behind a move", "%a = input \"a\" : f32[3, T, 16]\n%f = input \"f\" : f32[8]", "%r = rope %a, %f {start=P}\n%s = transpose %r {perm=[1, 0, 2]}\n%u = reshape %s {shape=[T, 48]}\n%b = add %u, %u", "b=%b", ""},
		{"embedding", "%i = input \"i\" : i32[T]\n%w = weight \"w\" : f32[7, 24]", "%e = embedding %i, %w\n%y = silu %e", "y=%y", ""},
		{"embedding of odd rows", "%i = input \"i\" : i32[T]\n%w = weight \"w\" : f32[7, 6]", "%e = embedding %i, %w\n%y = silu %e", "y=%y", "do not split into 4"},
		{"cache", "%k = state \"k\" : f32[2, 64, 12]\n%x = input \"x\" : f32[2, T, 12]", "%s = silu %x\n%y = kv_write %k, %s {start=P}", "k=%y", ""},
		{"cache of heads", "%k = state \"k\" : f32[2, 64, 12]\n%x = input \"x\" : f32[T, 24]", "%s = kv_rearrange %x {heads=2}\n%y = kv_write %k, %s {start=P}", "k=%y", ""},
	} {
		g, err := ir.Parse("g.fir", fmt.Sprintf("graph @g (T=1..8, P=0..40, S<=64) {\n%s\n%s\nreturn %s\n}", c.decl, c.text, c.results))
		require.NoError(t, err, c.name)
		require.NoError(t, requireMeaning(t, g, env, 1), c.name)
		err = requireMeaning(t, g, env, 4)
		if c.four == "" {
			require.NoError(t, err, c.name)
		} else {
			require.ErrorContains(t, err, c.four, c.name)
		}
	}
}

// Chains of moves that are drawn at random lead where the interpreter leads.
func TestWalksThroughRandomMoves(t *testing.T) {
	bounds := sym.Bounds{TMin: 1, TMax: 6, PMin: 0, PMax: 20, SMax: 26}
	walked := map[int]int{}
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 1))
		one := func(dims ...sym.Dim) sym.Dim { return dims[rng.IntN(len(dims))] }
		g := ir.NewGraph("g", bounds)
		shapes := [][]sym.Dim{{sym.T, sym.Const(24)}, {sym.Const(2), sym.T, sym.Const(12)}, {sym.Const(24), sym.Const(4)}, {sym.Const(2), sym.Const(3), sym.Const(8)}, {sym.T, sym.Const(2), sym.Const(3), sym.Const(4)}, {sym.Const(1), sym.Const(16), sym.T}}
		v := g.Param(ir.Input, "x", ir.TypeOf(dtype.F32, shapes[rng.IntN(len(shapes))]...))
		moves := 0
		for range 12 {
			rank, a, op := int(v.Type.Shape.Rank), ir.Attr{}, ir.OpSilu
			switch rng.IntN(6) {
			case 0:
				op, a.Axis = ir.OpSlice, rng.IntN(rank)
				a.Start, a.Size = one(sym.Const(0), sym.Const(1), sym.Const(4)), one(sym.Const(1), sym.Const(2), sym.Const(8), sym.Const(12))
				if n := v.Type.Shape.Dims[a.Axis]; !n.IsConst() || a.Start.C+a.Size.C > n.C {
					continue
				}
			case 1:
				op = ir.OpTranspose
				for i, p := range rng.Perm(rank) {
					a.Perm[i] = int8(p)
				}
			case 2:
				dims := append([]sym.Dim(nil), v.Type.Shape.Dims[:rank]...)
				if i := rng.IntN(rank); rng.IntN(2) == 0 && i+1 < rank {
					if m, ok := sym.Mul(dims[i], dims[i+1]); ok {
						dims = append(append(dims[:i:i], m), dims[i+2:]...)
					}
				} else if q, ok := dims[i].Div(2); ok {
					dims = append(append(dims[:i:i], sym.Const(2), q), dims[i+1:]...)
				}
				if len(dims) > ir.MaxRank || len(dims) == 0 {
					continue
				}
				op, a.Shape = ir.OpReshape, ir.ShapeOf(dims...)
			case 3:
				op, a.Heads = ir.OpKVRearrange, 1+rng.IntN(3)
			case 4:
				op, a.Times = ir.OpRepeatKV, 1+rng.IntN(3)
			}
			if next, err := g.Add(op, "", a, v); err == nil && next.Type.Shape.Elems(sym.Env{T: 6}) < 3000 {
				v = next
				moves++
			}
		}
		if moves == 0 {
			continue
		}
		g.Return("y", v)
		if ir.Verify(g) != nil {
			continue
		}
		for _, width := range []int{1, 4} {
			if requireMeaning(t, g, sym.Env{T: 1 + int64(seed%5), P: 3}, width) == nil {
				walked[width]++
			}
		}
	}
	require.Greater(t, walked[1], 200)
	require.Greater(t, walked[4], 25)
}
