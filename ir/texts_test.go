package ir_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir"
)

// What is no graph is refused where it stops being one, by line and column.
func TestTextsThatAreNoGraphs(t *testing.T) {
	const head = "graph @g (T=1..4, P=0..3, S<=4) {\n  %x = input \"x\" : f32[T, 4]\n"
	for text, want := range map[string]string{
		"graph @g T=1..4, P=0..3, S<=4) {\n}":                                 `g.fir:1:10: want "(", have "T"`,
		"graph @g (P=0..3, T=1..4, S<=4) {\n}":                                `g.fir:1:11: want "T", have "P"`,
		"graph @g (T=1.4, P=0..3, S<=4) {\n}":                                 `g.fir:1:13: want a range such as 1..512, have "1.4"`,
		"":                                                                    `g.fir:1:1: want "graph", have the end of the file`,
		"graph @g (T=1..4, P=0..3, S=4) {\n}":                                 `g.fir:1:28: want "<", have "="`,
		"graph @g (T=1..4, P=0..3, S<=99999999999) {\n}":                      `g.fir:1:30: want a number, have "99999999999"`,
		"graph @g (T=1..4, P=0..3, S<=x) {\n}":                                `g.fir:1:30: want a number, have "x"`,
		"graph g (T=1..4, P=0..3, S<=4) {\n}":                                 `g.fir:1:7: want "@", have "g"`,
		"graph @g (T=1..4, P=0..3, S<=4) \n":                                  `g.fir:2:1: want "{", have the end of the file`,
		head + "  %y = silu %x\n return y=%y, y=%y}":                          `g.fir: graph @g: result 1 has the name "y", wants one of its own`,
		head + "  %y, %z = input \"y\" : f32[4]\n}":                           `g.fir:3:12: a param is one value`,
		head + "  %y, %z = silu %x\n  return y=%y\n}":                         `g.fir:3:12: silu has 1 results, the line names 2`,
		head + "  %y = silu %z\n return y=%y}":                                `g.fir:3:14: %z is not defined before this`,
		head + "  %y = input \"y : f32[4]\n}":                                 `g.fir:3:14: this string has no end`,
		head + "  %y = silu %x @\"a\nb\"\n return y=%y}":                      `g.fir:3:17: this string has no end`,
		head + "  %y = silu %x @label\n return y=%y}":                         `g.fir:3:17: want a quoted string, have "label"`,
		head + "  %y = silu %x : 32[T, 4]\n return y=%y}":                     `g.fir:3:18: unknown dtype "32"; did you mean "f32"?`,
		head + "  %y = silu %x : f32[T, 4\n return y=%y}":                     `g.fir:3:21: this bracket is not closed on its line`,
		head + "  %y = silu %x {kernel}\n return y=%y}":                       `g.fir:3:23: want "=", have "}"`,
		head + "  %y = silu %x {kernel=rows":                                  `g.fir:3:24: this attr has no end`,
		head + "  %y = silu %x {kernel=\"rows}\n  return y=%y}":               `g.fir:3:24: this string has no end`,
		head + "  %y = silu %x {kernel=\"a\" kernel=\"b\"}\n return y=%y}":    `g.fir:3:28: want "}", have "kernel"`,
		head + "  %y = silu %x {kernel=\"a\", }\n return y=%y}":               `g.fir:3:29: want a name, have "}"`,
		head + "  y = silu %x\n return y=%y}":                                 `g.fir:3:3: want "return", have "y"`,
		head + "  %x = silu %x\n return y=%x}":                                `g.fir:3:4: %x is defined twice`,
		head + "  % = silu %x\n return y=%y}":                                 `g.fir:3:5: want a name, have "="`,
		head + "  %y silu %x\n return y=%y}":                                  `g.fir:3:6: want "=", have "silu"`,
		head + "  %y = silu x\n return y=%y}":                                 `g.fir:3:8: node 1, silu: has 0 operands, wants 1`,
		head + "  %y = §\n}":                                                  `g.fir:3:8: want a name, have "\xc2"`,
		head + "  %y = silu %x\n return y}":                                   `g.fir:4:10: want "=", have "}"`,
		head + "  %y = silu %x\n return y=%y":                                 `g.fir:4:13: want "}", have the end of the file`,
		head + "  %y = silu %x\n  %z = input \"z\" : f32[4]\n return y=%y\n}": `g.fir:4:14: params stand before the nodes`,
		head + "  %y = silu %x\n return y=%y} }":                              `g.fir:4:15: want the end of the file, have "}"`,
		head + "  %y = silu %x\n}":                                            `g.fir:4:1: want "return", have "}"`,
		head + "  %y = silu %x,\n return y=%y}":                               `g.fir:4:2: want "%", have "return"`,
		head + "  %y = fused %x {pattern=\"p\"} {\n %0 = arg : f32[T, 4]\n %1 = fused %0 {pattern=\"q\"} {\n %0 = arg : f32[T, 4]\n %1 = silu %0\n return %1 }\n return %1 }\n return y=%y}": `g.fir:5:30: regions do not nest`,
	} {
		_, err := ir.Parse("g.fir", text)
		require.EqualError(t, err, want, "%q", text)
	}
	_, err := ir.Parse("g.fir", strings.Repeat(" ", 64<<20+1))
	require.EqualError(t, err, "g.fir: 67108865 bytes of text, wants at most 67108864")
}

// Comments end with their line, or with the text.
func TestComments(t *testing.T) {
	for _, end := range []string{"", "// the end", "\n// the end\n"} {
		g, err := ir.Parse("g.fir", `// a graph
graph @g (T=1..4, P=0..3, S<=4) { // of one node
  %x = input "x" : f32[T, 4]
  // a node
  %y = silu %x // its function
  return y=%y
}`+end)
		require.NoError(t, err)
		require.Len(t, g.Nodes(), 1)
	}
}

// Values of a const have signs and exponents, and what is no number is refused.
func TestValuesOfAConst(t *testing.T) {
	of := func(values string) ([]float32, error) {
		g, err := ir.Parse("g.fir", "graph @g (T=1..4, P=0..3, S<=4) {\n  %c = const \"c\" "+values+" : f32[4]\n  %y = silu %c\n  return y=%y\n}")
		if err != nil {
			return nil, err
		}
		return g.Params[0].Param.Values, nil
	}
	have, err := of("[-1.5, 2, -3e-2, 0.25]")
	require.NoError(t, err)
	require.Equal(t, []float32{-1.5, 2, -3e-2, 0.25}, have)
	for values, want := range map[string]string{
		"[1, 2, 3, x]":      `g.fir:2:28: want a number, have "x"`,
		"[1, 2, 3, -]":      `g.fir:2:28: want a number, have "-"`,
		"[1, 2, 3 4]":       `g.fir:2:27: want ",", have "4"`,
		"[1, 2, 3, 1e39]":   `g.fir:2:28: want a number, have "1e39"`,
		"1, 2, 3, 4]":       `g.fir:2:18: want "[", have "1"`,
		"[1, 2, 3, \"a\nb]": `g.fir:2:28: this string has no end`,
	} {
		_, err := of(values)
		require.EqualError(t, err, want, values)
	}
}
