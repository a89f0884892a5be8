package ir_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/sym"
)

// Random edits, erasures of dead nodes among them, leave a graph that verifies
// and whose text reads back.
func TestEditsKeepTheGraphWhole(t *testing.T) {
	inserted, erased := 0, 0
	graphs(t, 100, func(t require.TestingT, g *ir.Graph, r *rand.Rand) {
		for range 8 {
			nodes := g.Nodes()
			if len(nodes) == 0 {
				return
			}
			at := nodes[r.IntN(len(nodes))]
			if len(at.Args) == 0 {
				continue
			}
			k := r.IntN(len(at.Args))
			switch a := at.Args[k]; {
			case r.IntN(3) == 0:
				if g.Erase(at) == nil {
					erased++
				}
			case a.Type.DType == dtype.F32 && !at.Op.Is(ir.WritesState) && a.Param == nil:
				v, err := g.InsertBefore(at, ir.OpSilu, at.Label+".extra", ir.Attr{}, a)
				require.NoError(t, err)
				require.NoError(t, at.SetArg(k, v))
				inserted++
			}
		}
		require.NoError(t, ir.Verify(g))
		p, err := ir.Parse("g.fir", g.String())
		require.NoError(t, err)
		require.Equal(t, g.Canonical(), p.Canonical())
	})
	require.Greater(t, inserted, 100)
	t.Log(inserted, "inserted,", erased, "erased")
}

func TestEditsRefuse(t *testing.T) {
	g := mlp(t)
	n := nodesOf(g, ir.OpSilu)[0]
	require.ErrorContains(t, g.Erase(n), "cannot erase a node whose result is used")
	require.ErrorContains(t, n.SetArg(0, g.Params[0]), "cannot replace operand 0: the result would be f32[T, 64], not f32[T, 96]")
	require.ErrorContains(t, g.ReplaceUses(n.Result(), g.Params[0]), "cannot replace a value of type f32[T, 96]")
	_, err := g.InsertBefore(n, ir.OpMul, "x", ir.Attr{}, g.Params[0])
	require.ErrorContains(t, err, "x mul: has 1 operands, wants 2")
	dead, err := g.Add(ir.OpSilu, "dead", ir.Attr{}, n.Args[0])
	require.NoError(t, err)
	require.NoError(t, g.Erase(dead.Def))
	require.ErrorContains(t, g.Erase(dead.Def), "dead silu: is erased already")
	_, err = g.Outline([]*ir.Node{dead.Def}, "p", "l")
	require.ErrorContains(t, err, "cannot outline an erased node")
	_, err = g.Outline(nil, "p", "l")
	require.ErrorContains(t, err, "nothing")
}

// Nodes share a key exactly when they are one function of equal types.
func TestKey(t *testing.T) {
	g, err := ir.Parse("g.fir", `graph @g (T=1..4, P=0..4, S<=8) {
		%x = input "x" : f32[T, 8]
		%v = weight "v" : f32[8]
		%w = weight "w" : f32[8]
		%h = weight "h" : f16[8]
		%a = add %x, %v @"one"
		%b = add %a, %w @"two"
		%c = add %b, %h
		%d = rms_norm %c, %w {eps=1e-6}
		%e = rms_norm %d, %w {eps=1e-5}
		return y=%e
	}`)
	require.NoError(t, err)
	n := g.Nodes()
	require.Equal(t, n[0].Key(), n[1].Key())
	require.NotEqual(t, n[1].Key(), n[2].Key())
	require.NotEqual(t, n[3].Key(), n[4].Key())
	first, err := g.Outline(n[:1], "p", "l")
	require.NoError(t, err)
	second, err := g.Outline(n[1:2], "q", "m")
	require.NoError(t, err)
	require.Equal(t, first.Key(), second.Key())
}

// Regions that differ in anything that a kernel is made of have keys of their own: who shares
// a kernel by its key would compute something else.
func TestKeysOfRegions(t *testing.T) {
	key := func(params, nodes string) string {
		g, err := ir.Parse("g.fir", `graph @g (T=1..4, P=0..4, S<=8) {
			%x = input "x" : f32[T, 8]
			%y = input "y" : f32[T, 8]
			%z = input "z" : f16[T, 8]
			%v = input "v" : f32[8]
			%w = weight "w" : f32[8]
			`+params+` {pattern="p"} {`+nodes+`}
			return a=%a, b=%b
		}`)
		require.NoError(t, err, nodes)
		return g.Nodes()[0].Key()
	}
	const two, ones = `%a, %b = fused %x, %y`, "%0 = arg : f32[T, 8]\n%1 = arg : f32[T, 8]\n"
	base := key(two, ones+"%2 = add %0, %1\n%3 = silu %2\nreturn %2, %3")
	require.Equal(t, base, key(`%a, %b = fused %y, %x`, ones+"%7 = add %0, %1 @\"l.1.x\"\n%4 = silu %7\nreturn %7, %4"), "names are none of it")
	keys := map[string]string{base: "base"}
	for _, c := range [][2]string{
		{two, ones + "%2 = mul %0, %1\n%3 = silu %2\nreturn %2, %3"},
		{two, ones + "%2 = add %1, %0\n%3 = silu %2\nreturn %2, %3"},
		{two, ones + "%2 = add %0, %0\n%4 = mul %2, %1\n%3 = silu %4\nreturn %2, %3"},
		{two, ones + "%2 = add %0, %1\n%3 = silu %0\nreturn %2, %3"},
		{two, ones + "%2 = add %0, %1\n%3 = silu %1\nreturn %2, %3"},
		{two, ones + "%2 = add %0, %1\n%3 = silu %2\nreturn %3, %2"},
		{two, ones + "%2 = add %0, %1\n%3 = softmax %2 {causal=false, start=0}\nreturn %2, %3"},
		{two, ones + "%2 = add %0, %1\n%3 = softmax %2 {causal=true, start=P}\nreturn %2, %3"},
		{two, ones + "%2 = add %0, %1\n%3 = softmax %2 {causal=true, start=0}\nreturn %2, %3"},
		{`%a, %b = fused %x, %v`, "%0 = arg : f32[T, 8]\n%1 = arg : f32[8]\n%2 = add %0, %1\n%3 = silu %2\nreturn %2, %3"},
		{`%a, %b = fused %x, %v, %w`, "%0 = arg : f32[T, 8]\n%1 = arg : f32[8]\n%4 = arg : f32[8]\n%2 = rms_scale %0, %0, %1 {eps=1e-6}\n%3 = mul %2, %4\nreturn %2, %3"},
		{`%a, %b = fused %x, %v, %w`, "%0 = arg : f32[T, 8]\n%1 = arg : f32[8]\n%4 = arg : f32[8]\n%2 = rms_scale %0, %0, %4 {eps=1e-6}\n%3 = mul %2, %1\nreturn %2, %3"},
		{`%a, %b = fused %x, %v, %w`, "%0 = arg : f32[T, 8]\n%1 = arg : f32[8]\n%4 = arg : f32[8]\n%2 = rms_scale %0, %0, %1 {eps=1e-5}\n%3 = mul %2, %4\nreturn %2, %3"},
		{`%a, %b = fused %z`, "%0 = arg : f16[T, 8]\n%2 = cast %0 {to=f32}\n%3 = silu %2\nreturn %2, %3"},
		{`%a, %b = fused %x`, "%0 = arg : f32[T, 8]\n%2 = silu %0\n%3 = silu %2\nreturn %2, %3"},
	} {
		k := key(c[0], c[1])
		require.NotContains(t, keys, k, "%s and %s", c[1], keys[k])
		keys[k] = c[1]
	}
}

// Where one shape ends and the next begins is part of a key: without their ranks these would be
// the same numbers in a row, for each type of elements one pair of them.
func TestKeysTellShapesApart(t *testing.T) {
	key := func(a, b string) string {
		g, err := ir.Parse("g.fir", fmt.Sprintf(`graph @g (T=1..4, P=1..4, S<=8) {
			%%x = input "x" : %s
			%%y = input "y" : %s
			%%a, %%b = fused %%x, %%y {pattern="p"} {
				%%0 = arg : %[1]s
				%%1 = arg : %[2]s
				%%2 = cast %%0 {to=bf16}
				%%3 = cast %%1 {to=bf16}
				return %%2, %%3
			}
			return a=%%a, b=%%b
		}`, a, b))
		require.NoError(t, err)
		return g.Nodes()[0].Key()
	}
	for _, d := range []string{"f32", "f16"} {
		for n := range 4 {
			require.NotEqual(t, key(fmt.Sprintf("%s[8, %d]", d, n+1), d+"[4]"), key(d+"[8]", fmt.Sprintf("%s[%s, 4]", d, []string{"P", "2*P", "3*P", "4*P"}[n])), d)
			require.NotEqual(t, key(fmt.Sprintf("%s[8, %d]", d, n+1), d+"[4]"), key(d+"[8]", d+"[P, 4]"), d)
		}
	}
}

func TestLayer(t *testing.T) {
	for label, want := range map[string]int{
		"layers.12.q_proj": 12, "layers.0.x": 0, "embed": -1, "layers.": -1, "layers.3": -1,
		"layers.x.y": -1, "layers.-1.y": -1, "layers.99999999999999999999.y": -1, "": -1,
		"layers.2147483647.y": 1<<31 - 1, "layers.2147483648.y": -1, "layers.+1.y": -1, "layers..y": -1, "layer.12.y": -1, "model.layers.1.y": -1, "layers.5.": 5,
	} {
		require.Equal(t, want, (&ir.Node{Label: label}).Layer(), label)
	}
}

// Each op says which operand is wrong and what it wants.
func TestOperandErrors(t *testing.T) {
	params := `%i = input "i" : i32[T]
		%v = input "v" : f32[8]
		%m = input "m" : f32[T, 8]
		%h = input "h" : f32[4, T, 8]
		%o = input "o" : f32[4, T, 7]
		%q = weight "q" : q8_0[2, 32]
		%g = weight "g" : f16[3, 8]
		%c = state "c" : f32[4, 8, 8]
		`
	for text, want := range map[string]string{
		`embedding %m, %g`:                           "ids has dtype f32, wants i32",
		`embedding %i, %v`:                           "the table has f32[8], wants rank 2",
		`rms_norm %m, %h {eps=0}`:                    "the weight has f32[4, T, 8], wants rank 1",
		`rms_norm %o, %v {eps=0}`:                    "the weight's length is 8, wants 7",
		`rms_norm %i, %v {eps=0}`:                    "x has dtype i32, wants a float or quantised one",
		`rms_scale %g, %g, %v {eps=0}`:               "x has dtype f16, wants f32",
		`sum_squares %m {size=3}`:                    "size=3 does not divide the row length 8",
		`rms_scale %m, %h, %v {eps=0}`:               "want the leading dims of x's",
		`matmul_nt %h, %g`:                           "x has f32[4, T, 8], wants rank 2",
		`matmul_nt %m, %q`:                           "the weight's row length is 32, wants 8",
		`add %v, %m`:                                 "wants a suffix of a's [8]",
		`add %m, %q`:                                 "b has dtype q8_0, wants f32",
		`mul %i, %v`:                                 "a has dtype i32, wants f32",
		`silu %g`:                                    "x has dtype f16, wants f32",
		`rope %o, %v {start=P}`:                      "head_dim is 7, wants an even number",
		`rope %h, %v {start=P}`:                      "inv_freq's length is 8, wants 4",
		`kv_rearrange %m {heads=3}`:                  "heads=3 does not divide the row length 8",
		`kv_write %c, %o {start=P}`:                  "x's head_dim is 7, wants 8",
		`kv_write %h, %h {start=0}`:                  "must be a state",
		`repeat_kv %m {times=2}`:                     "wants rank 3",
		`bmm_nt %h, %o {scale=1}`:                    "b's row length is 7, wants 8",
		`bmm_nn %h, %h`:                              "b's rows is T, wants 8",
		`bmm_nt %c, %m {scale=1}`:                    "b has f32[T, 8], wants rank 3",
		`softmax %v {causal=false, start=0}`:         "wants at least two dims",
		`softmax %m {causal=false, start=P}`:         "has no meaning without causal=true",
		`argmax %h`:                                  "wants rank 2",
		`cast %m {to=q8_0}`:                          "the result has dtype q8_0",
		`reshape %m {shape=[9,T]}`:                   "has not the same number of elements",
		`reshape %q {shape=[64]}`:                    "a quantised tensor has no views",
		`slice %m {axis=2, start=0, size=1}`:         "axis=2, wants 0..1",
		`slice %m {axis=1, start=7, size=2}`:         "rows 7 to 9 pass the end 8 by up to 1",
		`slice %m {axis=0, start=T-2, size=1}`:       "start T-2 can be -1",
		`transpose %m {perm=[0,0,0,0]}`:              "is not a permutation of 2 dims",
		`transpose %m {perm=[1,0,1,0]}`:              "has more than 2 entries",
		`concat %m, %v {axis=0}`:                     "wants f32[T, 8] but for dim 0",
		`concat %h, %o {axis=1}`:                     "wants f32[4, T, 8] but for dim 1",
		`slice %m {axis=0, start=0}`:                 "slice wants the attrs axis, start, size",
		`slice %m {axis=0, start=0, size=1, size=1}`: "slice has no attr \"size\", or it stands twice",
		`rms_norm %m, %v {eps=nan}`:                  "want a finite number",
		`transpose %m {perm=[1,0,2,3,4]}`:            "want an index for each dim, such as [1,0] for a matrix",
		`transpose %m {perm=[1,x]}`:                  "want an index for each dim, such as [1,0] for a matrix",
		`transpose %m {perm=[1]}`:                    "perm has 1 indices, its operand f32[T, 8]",
		`transpose %h {perm=[1,2]}`:                  "perm has 2 indices, its operand f32[4, T, 8]",
		`kv_rearrange %m {heads=two}`:                "want an integer",
		`silu %m {kernel=""}`:                        "kernel: it is empty: leave it out, or say what",
		`softmax %m {causal=maybe, start=P}`:         "want true or false",
		`silu %m : f32[T, 9]`:                        "the line says f32[T, 9], the operands make it f32[T, 8]",
		`fused %m {pattern="p"} { %0 = input "x" : f32[T, 8] return %0 }`: "arg params stand in regions and nowhere else",
		`fused {pattern="p"} { %0 = arg : f32[1] return %0 }`:             "the node has 0 operands, its region 1",
	} {
		_, err := ir.Parse("g.fir", "graph @g (T=1..4, P=0..4, S<=8) {\n"+params+"%y = "+text+"\nreturn y=%y\n}")
		require.ErrorContains(t, err, want, text)
		require.NotContains(t, err.Error(), "\n")
	}
}

// Only an operand that a region does not use is dropped; those behind it move up.
func TestDropOperand(t *testing.T) {
	g, err := ir.Parse("g.fir", `graph @g (T=1..4, P=0..3, S<=4) {
  %a = input "a" : f32[T, 4]
  %b = input "b" : f32[T, 4]
  %c = input "c" : f32[T, 4]
  %y, %z = fused %a, %b, %c, %a {pattern="x"} {
    %0 = arg : f32[T, 4]
    %1 = arg : f32[T, 4]
    %2 = arg : f32[T, 4]
    %3 = arg : f32[T, 4]
    %4 = add %0, %2
    return %4, %4
  }
  %u = silu %a
  return y=%y, z=%z, u=%u, b=%b
}`)
	require.NoError(t, err)
	n := g.Nodes()[0]
	for _, used := range []int{0, 2} {
		require.ErrorContains(t, n.DropOperand(used), "which is used")
	}
	require.ErrorContains(t, g.Nodes()[1].DropOperand(0), "which is used", "no region")
	require.NoError(t, n.DropOperand(1))
	require.NoError(t, ir.Verify(g))
	require.Len(t, n.Args, 3)
	require.Equal(t, []*ir.Value{g.Params[0], g.Params[2], g.Params[0]}, n.Args)
	for i, p := range n.Region.Params {
		require.Equal(t, i, p.Index)
	}
	require.Empty(t, g.Params[1].Users())
	require.NoError(t, n.DropOperand(2), "a's other use stays")
	require.Len(t, g.Params[0].Users(), 2)
	require.NoError(t, ir.Verify(g))
}

// A graph within fewer positions has no longer runs, nor have its regions.
func TestWithin(t *testing.T) {
	g, err := ir.Parse("g.fir", `graph @g (T=2..16, P=0..63, S<=64) {
  %a = input "a" : f32[T, 4]
  %y = fused %a {pattern="x"} {
    %0 = arg : f32[T, 4]
    %1 = silu %0
    return %1
  }
  return y=%y
}`)
	require.NoError(t, err)
	for n, want := range map[int64]sym.Bounds{
		128: {TMin: 2, TMax: 16, PMax: 62, SMax: 64},
		32:  {TMin: 2, TMax: 16, PMax: 30, SMax: 32},
		8:   {TMin: 2, TMax: 8, PMax: 6, SMax: 8},
	} {
		w := g.Within(n)
		require.Equal(t, want, w.Bounds, n)
		require.Equal(t, want, w.Nodes()[0].Region.Bounds, n)
		require.Equal(t, int64(64), g.Bounds.SMax)
	}
}

// Layers counts what labels number, whichever of them stand there.
func TestLayersOfAGraph(t *testing.T) {
	g, err := ir.Parse("g.fir", "graph @g (T=1..4, P=0..3, S<=4) {\n%a = input \"a\" : f32[T, 4]\n%b = silu %a @\"x\"\n%c = silu %b @\"layers.3.act\"\n%d = silu %c @\"layers.1.act\"\nreturn d=%d\n}")
	require.NoError(t, err)
	require.Equal(t, 4, g.Layers())
	require.Zero(t, ir.NewGraph("g", g.Bounds).Layers())
}

// A result that nothing takes can be dropped, not one that is used and not the last; those
// behind it move up, and what computed it can go.
func TestDropResult(t *testing.T) {
	g, err := ir.Parse("g.fir", `graph @g (T=1..1, P=0..0, S<=1) {
  %a = input "a" : f32[1, 8]
  %s, %m, %c, %d = fused %a {pattern="p"} {
    %0 = arg : f32[1, 8]
    %1 = silu %0
    %2 = mul %1, %0
    %3 = cast %1 {to=f16}
    %4 = cast %1 {to=bf16}
    return %1, %2, %3, %4
  }
  return s=%s, c=%c, d=%d
}`)
	require.NoError(t, err)
	n := g.Nodes()[0]
	m := n.Region.Results[1].Value.Def
	require.ErrorContains(t, n.Region.Erase(m), "is used")
	require.NoError(t, n.DropResult(1))
	require.NoError(t, n.Region.Erase(m))
	require.NoError(t, ir.Verify(g))
	for i, r := range n.Results {
		require.Equal(t, i, r.Index)
	}
	require.Len(t, n.Region.Nodes(), 3)

	used, err := g.Add(ir.OpSilu, "used", ir.Attr{}, n.Results[0])
	require.NoError(t, err)
	require.ErrorContains(t, n.DropResult(0), "which is used")
	require.ErrorContains(t, used.Def.DropResult(0), "all there is", "no region")
}

// Graphs have one key where they compute the same, however many results are which of their values.
func TestKeysOfResults(t *testing.T) {
	seen := map[string]string{}
	for _, results := range []string{"a=%y", "a=%x, b=%x", "a=%x", "a=%z", "a=%y, b=%x", "a=%x, b=%y", "a=%y, b=%z", "a=%z, b=%y", "a=%y, b=%y", "a=%w", "a=%w, b=%x", "a=%w, b=%w"} {
		g, err := ir.Parse("g.fir", "graph @g (T=1..4, P=0..3, S<=4) {\n%x = input \"x\" : f32[T, 8]\n%w = input \"w\" : f32[T, 8]\n%y = add %x, %w\n%z = add %w, %x\nreturn "+results+"\n}")
		require.NoError(t, err)
		key := string(g.AppendKey(nil))
		require.Empty(t, seen[key], results)
		seen[key] = results
	}
}

// Params that stay have their new places, so that what is left is a graph, and so is its copy.
func TestDropParams(t *testing.T) {
	g, err := ir.Parse("g.fir", `graph @g (T=1..4, P=0..4, S<=8) {
		%a = input "a" : f32[T, 8]
		%b = input "b" : f32[T, 8]
		%c = input "c" : f32[T, 8]
		%d = input "d" : f32[T, 8]
		%y = silu %b
		return y=%y, d=%d
	}`)
	require.NoError(t, err)
	g.DropParams()
	require.NoError(t, ir.Verify(g))
	require.Len(t, g.Params, 2)
	require.Equal(t, []string{"b", "d"}, []string{g.Params[0].Param.Name, g.Params[1].Param.Name})
	require.Equal(t, g.String(), g.Clone().String())
}

// What a result alone needs stays of a graph, nodes and params, and the graph is as it was.
func TestForResult(t *testing.T) {
	g, err := ir.Parse("g.fir", `graph @g (T=1..4, P=0..4, S<=8) {
		%a = input "a" : f32[T, 8]
		%b = input "b" : f32[T, 8]
		%c = input "c" : f32[T, 8]
		%x = silu %a
		%y = add %x, %b
		%z = mul %c, %c
		return y=%y, z=%z, b=%b
	}`)
	require.NoError(t, err)
	text := g.String()
	for i, want := range []struct{ nodes, params int }{{2, 2}, {1, 1}, {0, 1}} {
		alone := g.ForResult(i)
		require.NoError(t, ir.Verify(alone))
		require.Len(t, alone.Results, 1)
		require.Equal(t, g.Results[i].Name, alone.Results[0].Name)
		require.Equal(t, [2]int{want.nodes, want.params}, [2]int{len(alone.Nodes()), len(alone.Params)}, alone.String())
		require.Equal(t, alone.String(), alone.Clone().String())
	}
	require.Equal(t, text, g.String())
}
