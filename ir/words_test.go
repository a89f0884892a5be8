package ir_test

import (
	"math"
	"strconv"
	"strings"
	"testing"

	"foundry/ir"

	"github.com/stretchr/testify/require"
)

// A permutation has as many indices as its operand has dims.
func TestPermOfAnyRank(t *testing.T) {
	g, err := ir.Parse("x.fir", `graph @g (T=1..1, P=0..0, S<=1) {
  %a = input "a" : f32[2, 3]
  %b = input "b" : f32[2, 3, 4]
  %c = transpose %a {perm=[1,0]} : f32[3, 2]
  %d = transpose %b {perm=[2,0,1]} : f32[4, 2, 3]
  return c=%c, d=%d
}
`)
	require.NoError(t, err)
	require.NoError(t, ir.Verify(g))
	again, err := ir.Parse("x.fir", g.String())
	require.NoError(t, err)
	require.Equal(t, g.String(), again.String())
}

func TestByteOrderMark(t *testing.T) {
	_, err := ir.Parse("x.fir", "\ufeffgraph @g (T=1..1, P=0..0, S<=1) {")
	require.EqualError(t, err, "x.fir:1:1: the file begins with a UTF-8 byte order mark; save it without one")
}

// A result whose name is no plain word stands in quotes, and no other.
func TestNamesOfResults(t *testing.T) {
	for name, quoted := range map[string]bool{"y": false, "y0": false, "layers.0.k": false, "0y": true, "9": true, "a b": true, "é": true, "": true} {
		g, err := ir.Parse("x.fir", "graph @g (T=1..1, P=0..0, S<=1) {\n%a = input \"a\" : f32[2]\n%b = silu %a\nreturn "+strconv.Quote(name)+"=%b\n}")
		if name == "" {
			require.ErrorContains(t, err, `result 0 has the name ""`)
			continue
		}
		require.NoError(t, err, name)
		want := name
		if quoted {
			want = strconv.Quote(name)
		}
		require.Contains(t, g.String(), "return "+want+"=%", name)
		again, err := ir.Parse("x.fir", g.String())
		require.NoError(t, err, name)
		require.Equal(t, g.String(), again.String())
	}
}

// Numbers are read as float32: with an exponent of either sign, and refused where none is so large.
func TestNumbers(t *testing.T) {
	parse := func(number string) (*ir.Graph, error) {
		return ir.Parse("x.fir", "graph @g (T=1..1, P=0..0, S<=1) {\n%a = const \"a\" ["+number+"] : f32[1]\n%b = silu %a\nreturn b=%b\n}")
	}
	for text, want := range map[string]float32{"9e-3": 0.009, "0e+2": 0, "-9E+3": -9000, "5e3": 5000, "3.4028235e38": math.MaxFloat32} {
		g, err := parse(text)
		require.NoError(t, err, text)
		require.Equal(t, []float32{want}, g.Params[0].Param.Values, text)
	}
	for text, said := range map[string]string{"3.5e38": "3.5e38", "1e39": "1e39", "one": "one"} {
		_, err := parse(text)
		require.EqualError(t, err, "x.fir:2:17: want a number, have "+strconv.Quote(said))
	}
}

// Spaces are needed between words alone.
func TestTextWithoutSpaces(t *testing.T) {
	const loose = `graph @g (T=1..4, P=0..3, S<=7) {
  %a = input "a" : f32[T, 8]
  %w = const "w" [1, 2] : f32[2]
  %b = slice %a {axis=1, start=2, size=2} : f32[T, 2] @"layers.1.x"
  %c = mul %b, %w : f32[T, 2]
  return b=%b, c=%c
}
`
	tight := strings.NewReplacer(" = ", "=", " : ", ":", ", ", ",", " {", "{", "} :", "}:", "] @", "]@", `" [`, `"[`, " (", "(", "%a {", "%a{").Replace(loose)
	want, err := ir.Parse("x.fir", loose)
	require.NoError(t, err)
	have, err := ir.Parse("x.fir", tight)
	require.NoError(t, err, tight)
	require.Equal(t, want.String(), have.String())
}

// What is canonical names no labels and keeps the order in which results need nodes.
func TestCanonicalText(t *testing.T) {
	parse := func(nodes string) *ir.Graph {
		g, err := ir.Parse("x.fir", "graph @g (T=1..1, P=0..0, S<=1) {\n%a = input \"a\" : f32[2]\n"+nodes+"\nreturn b=%b, c=%c\n}")
		require.NoError(t, err)
		return g
	}
	g := parse("%c = add %a, %a @\"layers.0.x\"\n%b = silu %a")
	require.Equal(t, parse("%b = silu %a\n%c = add %a, %a").Canonical(), g.Canonical())
	for _, line := range []string{`input "a" : f32[2]`, "silu %", "add %", "return b=%"} {
		require.Contains(t, g.Canonical(), line)
	}
	require.NotContains(t, g.Canonical(), "layers.0.x")
	require.NotEqual(t, parse("%b = silu %a\n%c = mul %a, %a").Canonical(), g.Canonical())
}

// A node without a label is named by its place.
func TestUnnamedNode(t *testing.T) {
	g, err := ir.Parse("x.fir", `graph @g (T=1..1, P=0..0, S<=1) {
  %a = input "a" : f32[2, 3]
  %b = silu %a
  %c = silu %b
  return c=%c
}
`)
	require.NoError(t, err)
	require.Equal(t, "node 2, silu", g.Nodes()[1].String())
	g.Nodes()[1].Results[0].Type.Shape = ir.Shape{}
	require.ErrorContains(t, ir.Verify(g), "graph @g: node 2, silu: ")
}
