package ir

import (
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir/dtype"
	"foundry/ir/sym"
)

const soundGraph = `graph @g (T=1..4, P=0..3, S<=8) {
  %x = input "x" : f32[T, 32]
  %w = weight "w" : q8_0[32, 32]
  %k = state "k" : f32[2, 8, 16]
  %a = matmul_nt %x, %w
  %b = kv_rearrange %a {heads=2}
  %c = kv_write %k, %b {start=P}
  %d, %e = fused %a, %x {pattern="p"} {
    %0 = arg : f32[T, 32]
    %1 = arg : f32[T, 32]
    %2 = add %0, %1
    %3 = silu %2
    return %2, %3
  }
  %s = slice %d {axis=1, start=8, size=24}
  return k=%c, d=%d, e=%e, s=%s
}`

// Each thing that must hold of a graph is looked at, and what is wrong is said in these words.
func TestWhatVerifySays(t *testing.T) {
	for _, c := range []struct {
		spoil func(g *Graph, n []*Node)
		want  string
	}{
		{func(g *Graph, _ []*Node) { g.Bounds.TMin = 5 }, `bounds {TMin:5 TMax:4 PMin:0 PMax:3 SMax:8} are empty`},
		{func(g *Graph, _ []*Node) { g.Params[1].Param.Name = "x" }, `param "x" stands twice`},
		{func(g *Graph, _ []*Node) { g.Params[1].Param.Name = "" }, `param 1 has no name`},
		{func(g *Graph, _ []*Node) { g.Params[1].Index = 0 }, `param 1 is not a param of this graph`},
		{func(g *Graph, _ []*Node) { g.Params[1].Param = nil }, `param 1 is not a param of this graph`},
		{func(g *Graph, _ []*Node) { g.Params[1].Param.Kind = Arg }, `arg "w" q8_0[32, 32]: arg params stand in regions and nowhere else`},
		{func(g *Graph, _ []*Node) { g.Params[1].Param.Kind = Const }, `const "w" q8_0[32, 32]: a const is f32`},
		{func(g *Graph, _ []*Node) { g.Params[2].Param.Kind = Const }, `const "k" f32[2, 8, 16] has 0 values`},
		{func(g *Graph, _ []*Node) { g.Params[0].Param.Kind = Weight }, `weight "x" f32[T, 32] outlives the run, so its dims are constants`},
		{func(g *Graph, _ []*Node) { g.Params[0].Type.DType = dtype.Invalid }, `input "x" invalid[T, 32]: has no dtype`},
		{func(g *Graph, _ []*Node) { g.Params[0].Type.Shape.Dims[1] = sym.Const(0) }, `input "x" f32[T, 0]: dim 1 of f32[T, 0] ranges over 0..0, wants at least 1 and at most 2^40 elements in all`},
		{func(g *Graph, _ []*Node) { g.Params[0].Type.Shape.Dims[1] = sym.Const(1 << 39) }, `input "x" f32[T, 549755813888]: dim 1 of f32[T, 549755813888] ranges over 549755813888..549755813888, wants at least 1 and at most 2^40 elements in all`},
		{func(g *Graph, _ []*Node) { g.Params[0].Type.Shape.Dims[1] = sym.Const(1 << 38) }, `node 1, matmul_nt: the weight's row length is 32, wants 274877906944`},
		{func(g *Graph, _ []*Node) { g.Params[0].Type.Shape.Dims[3] = sym.Const(1) }, `input "x" f32[T, 32]: f32[T, 32] has dims beyond its rank`},
		{func(g *Graph, _ []*Node) { g.Params[1].Type.Shape = Shape{} }, `weight "w" q8_0[]: q8_0[] has no row for blocks`},
		{func(g *Graph, _ []*Node) { g.Params[1].Type.Shape.Dims[1] = sym.Const(33) }, `weight "w" q8_0[32, 33]: rows of q8_0[32, 33] are not a multiple of the block's 32 elements; f16 takes rows of any length`},
		{func(_ *Graph, n []*Node) { n[0].index = 1 }, `node 2, matmul_nt: stands at 0 of the order, says 1`},
		{func(_ *Graph, n []*Node) { n[1].dead = true }, `node 2, kv_rearrange: stands at 1 of the order, says 1`},
		{func(_ *Graph, n []*Node) { n[0].Args[0] = n[1].Results[0] }, `node 1, matmul_nt: operand 0 is not defined before it`},
		{func(_ *Graph, n []*Node) { n[0].Args[0] = nil }, `node 1, matmul_nt: operand 0 is not defined before it`},
		{func(_ *Graph, n []*Node) { n[0].Args[0] = &Value{} }, `node 1, matmul_nt: operand 0 is not defined before it`},
		{func(_ *Graph, n []*Node) { n[1].Args[0] = &Value{Def: n[0], Index: -1} }, `node 2, kv_rearrange: operand 0 is not defined before it`},
		{func(_ *Graph, n []*Node) { n[1].Args[0] = &Value{Def: n[0], Index: 1} }, `node 2, kv_rearrange: operand 0 is not defined before it`},
		{func(_ *Graph, n []*Node) { n[2].Args[0].Param.Kind = Input }, `node 3, kv_write: operand 0 is overwritten, so it must be a state or its successor`},
		{func(_ *Graph, n []*Node) { n[2].Args[1] = n[2].Args[0] }, `node 3, kv_write: rows P to P+8 pass the end 8 by up to 3`},
		{func(_ *Graph, n []*Node) { n[0].Results[0].Index = 1 }, `node 1, matmul_nt: result 0 does not point back to it`},
		{func(_ *Graph, n []*Node) { n[1].Results[0].Def = n[0] }, `node 2, kv_rearrange: result 0 does not point back to it`},
		{func(_ *Graph, n []*Node) { n[0].Results[0].uses = nil }, `result 0 of node 1, matmul_nt (f32[T, 32]) has 0 users in its list, 2 in the graph`},
		{func(g *Graph, _ []*Node) { g.Params[0].uses = nil }, `input "x" f32[T, 32] has 0 users in its list, 2 in the graph`},
		{func(_ *Graph, n []*Node) { n[0].Op = OpInvalid }, `node 1, invalid: not an op`},
		{func(_ *Graph, n []*Node) { n[0].Op = numOps }, `node 1, invalid: not an op`},
		{func(_ *Graph, n []*Node) { n[0].Attr.Axis = 1 }, `node 1, matmul_nt: has attrs that the op does not use`},
		{func(_ *Graph, n []*Node) { n[0].Region = n[3].Region }, `node 1, matmul_nt: only a fused node has a region or several results`},
		{func(_ *Graph, n []*Node) { n[0].Results[0].Type.DType = dtype.F16 }, `node 1, matmul_nt: has type f16[T, 32], wants f32[T, 32]`},
		{func(_ *Graph, n []*Node) { n[1].Attr.Heads = 3 }, `node 2, kv_rearrange: heads=3 does not divide the row length 32`},
		{func(_ *Graph, n []*Node) { n[3].Region = nil }, `node 4, "p": has no region`},
		{func(_ *Graph, n []*Node) { n[3].Region.Bounds.TMax = 3 }, `node 4, "p": its region has bounds {TMin:1 TMax:3 PMin:0 PMax:3 SMax:8}, wants {TMin:1 TMax:4 PMin:0 PMax:3 SMax:8}`},
		{func(_ *Graph, n []*Node) { n[3].Results = n[3].Results[:1] }, `node 4, "p": has 2 operands and 1 results, its region 2 and 2`},
		{func(_ *Graph, n []*Node) { n[3].Args[1] = n[0].Args[1] }, `node 4, "p": operand 1 has type q8_0[32, 32], its region wants f32[T, 32]`},
		{func(_ *Graph, n []*Node) { n[3].Results[1].Type.DType = dtype.F16 }, `node 4, "p": result 1 has type f16[T, 32], its region yields f32[T, 32]`},
		{func(_ *Graph, n []*Node) { n[3].Region.nodes[0].Op = OpFused }, `node 4, "p": its region holds a fused node; regions do not nest`},
		{func(_ *Graph, n []*Node) { n[3].Region.nodes[0].Attr.Kernel = "elements" }, `node 4, "p": its region holds node 1, add with a kernel of its own; a region becomes one`},
		{func(_ *Graph, n []*Node) { n[3].Region.Params[0].Param.Kind = Input }, `node 4, "p": in its region: input "" f32[T, 32]: arg params stand in regions and nowhere else`},
		{func(_ *Graph, n []*Node) { n[3].Region.Results[0].Value = n[0].Results[0] }, `node 4, "p": in its region: result 0 is not a value of the graph`},
		{func(_ *Graph, n []*Node) { n[4].Attr.Start = sym.P.Add(sym.Const(-1)) }, `node 5, slice: start P-1 can be -1`},
		{func(_ *Graph, n []*Node) { n[4].Attr.Start = sym.Const(9) }, `node 5, slice: rows 9 to 33 pass the end 32 by up to 1`},
		{func(_ *Graph, n []*Node) { n[2].Attr.Start = sym.P.Add(sym.Const(2)) }, `node 3, kv_write: rows P+2 to S+2 pass the end 8 by up to 1`},
		{func(g *Graph, _ []*Node) { g.Results = nil }, `has no result`},
		{func(g *Graph, _ []*Node) { g.Results[1].Value = &Value{} }, `result 1 is not a value of the graph`},
		{func(g *Graph, _ []*Node) { g.Results[1].Name = "e" }, `result 2 has the name "e", wants one of its own`},
		{func(g *Graph, _ []*Node) { g.Results[1].Name = "" }, `result 1 has the name "", wants one of its own`},
		{func(g *Graph, _ []*Node) { g.Results[1].Value = g.Params[2] }, `result "d" is a cache that node 3, kv_write has overwritten; return its result`},
		{func(g *Graph, _ []*Node) { g.Results[0].Name = "z" }, `state "k" is overwritten but its successor is not returned`},
		{func(g *Graph, _ []*Node) { g.Results[1].Name, g.Results[0].Name = "k", "d" }, `result "d" succeeds state "k" f32[2, 8, 16], wants its name`},
	} {
		g, err := Parse("g.fir", soundGraph)
		require.NoError(t, err)
		require.NoError(t, Verify(g))
		c.spoil(g, g.Nodes())
		require.EqualError(t, Verify(g), "graph @g: "+c.want)
	}
}

// Every field of attrs is found by its name, written and read back, compared, and part of a
// graph's key where an operation has it.
func TestFieldsOfAttrs(t *testing.T) {
	other := func(f Field) string {
		switch fieldInfos[f].ptr(&Attr{}).(type) {
		case *float64:
			return "0.5"
		case *int:
			return "3"
		case *bool:
			return "true"
		case *string:
			return `"word"`
		case *sym.Dim:
			return "T+1"
		case *dtype.Type:
			return "f16"
		case *Shape:
			return "[T,3]"
		case *[4]int8:
			return "[9,-1,2,0]"
		}
		require.Fail(t, f.String())
		return ""
	}
	for f := range numFields {
		found, err := ParseField(f.String())
		require.NoError(t, err)
		require.Equal(t, f, found)
		var a, b Attr
		require.NoError(t, f.Set(&b, other(f)), f)
		require.Equal(t, other(f), f.Format(&b))
		require.NotEqual(t, a, b)
		require.True(t, f.Same(&a, f, &a))
		require.True(t, f.Same(&b, f, &b))
		require.False(t, f.Same(&a, f, &b), f)
		for g := range numFields {
			alike := reflect.TypeOf(fieldInfos[f].ptr(&a)) == reflect.TypeOf(fieldInfos[g].ptr(&a))
			require.Equal(t, alike, f.Same(&a, g, &a), "%s and %s", f, g)
		}
		for op := range numOps {
			for of := range op.fields() {
				if of == f {
					require.NotEqual(t, (&Node{Op: op, Attr: a}).appendAttr(nil), (&Node{Op: op, Attr: b}).appendAttr(nil), "%s of %s", f, op)
				}
			}
		}
	}
	_, err := ParseField("epps")
	require.EqualError(t, err, `unknown attr "epps"; did you mean "eps"?`)
	for text, want := range map[string]string{"word": "want a quoted string, have word", `"`: `want a quoted string, have "`} {
		require.EqualError(t, FieldKernel.Set(&Attr{}, text), want)
	}
	var a Attr
	require.NoError(t, FieldShape.Set(&a, "[ ]"))
	require.Equal(t, Shape{}, a.Shape)
	require.EqualError(t, FieldShape.Set(&a, "[1,2,3,4,5]"), "a shape has at most 4 dims, have 5")
	require.NoError(t, FieldShape.Set(&a, "[1,2,3,4]"))
	require.NoError(t, FieldPerm.Set(&a, "[1, 0]"))
	require.Equal(t, [4]int8{1}, a.Perm)
	for _, text := range []string{"[1,0,2,3,4]", "[a]", "[128]"} {
		require.EqualError(t, FieldPerm.Set(&a, text), "want an index for each dim, such as [1,0] for a matrix, have "+`"`+text+`"`)
	}
}

// A copy of some nodes takes what they take, caches as caches, and returns what others use.
func TestExtract(t *testing.T) {
	g, err := Parse("g.fir", soundGraph)
	require.NoError(t, err)
	n := g.Nodes()
	part := g.Extract([]*Node{n[3], n[2], n[1], n[2]})
	require.Equal(t, `graph @g (T=1..4, P=0..3, S<=8) {
  %0 = input "0" : f32[T, 32]
  %1 = state "1" : f32[2, 8, 16]
  %2 = input "2" : f32[T, 32]
  %3 = kv_rearrange %0 {heads=2} : f32[2, T, 16]
  %4 = kv_write %1, %3 {start=P} : f32[2, 8, 16]
  %5, %6 = fused %0, %2 {pattern="p"} {
    %0 = arg : f32[T, 32]
    %1 = arg : f32[T, 32]
    %2 = add %0, %1 : f32[T, 32]
    %3 = silu %2 : f32[T, 32]
    return %2, %3
  }
  return "0"=%4, "1"=%5, "2"=%6
}
`, part.String())
	for i, n := range part.Nodes() {
		require.Equal(t, i, n.index)
	}
	_, err = part.Add(OpSilu, "more", Attr{}, part.Params[0])
	require.NoError(t, err, "it is a graph like others")
}
