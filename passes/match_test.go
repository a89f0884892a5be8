package passes_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"foundry/ir"
	"foundry/lower/plan"
	"foundry/passes"
)

// matches are the rules by which a pattern's text is held against a graph, each with a
// graph that keeps it or breaks it in one place.
var matches = []struct {
	rule, pattern, graph string
	want                 string // members of each region, and the reasons at sites without one
}{
	{"an operation with fewer operands than its line is another",
		"c = concat a b\n@@y = silu c",
		`%c = concat %X {axis=1} @"c"
		%y = silu %c @"y"
		return y=%y`,
		"y silu takes c concat; the pattern wants concat there"},
	{"only operations that commute may have their operands exchanged",
		"s = silu x\n@@m = bmm_nt k s",
		`%s = silu %H @"s"
		%m = bmm_nt %s, %K @"m"
		return m=%m`,
		`m bmm_nt takes input "k"; the pattern wants silu there`},
	{"those that commute may",
		"s = silu x\n@@m = mul k s",
		`%s = silu %X @"s"
		%m = mul %s, %Y @"m"
		return m=%m`,
		"[s m]"},
	{"a choice that leads nowhere leaves nothing behind: neither its node nor its operands",
		"@@h = silu x\np = matmul_nt h wp\nq = matmul_nt h wq\ns = silu q",
		`%h = silu %X @"h"
		%m1 = matmul_nt %h, %W @"m1"
		%m2 = matmul_nt %h, %V @"m2"
		%s = silu %m1 @"s"
		return m=%m2, s=%s`,
		"[h m1 m2 s]\nno matmul_nt takes the result of s silu (used by the graph's results)"},
	{"nor the value of a word",
		"@@h = silu x\np = cast h {to=t}\nq = cast h {to=u}\nr = cast q {to=t}",
		`%h = silu %X @"h"
		%c1 = cast %h {to=f16} @"c1"
		%c2 = cast %h {to=bf16} @"c2"
		%r = cast %c1 {to=bf16} @"r"
		return c=%c2, r=%r`,
		"[h c1 c2 r]"},
	{"an operand marked :same has the type of the result: a bias is no residual",
		"@@p = matmul_nt a w\ny = add p x:same",
		`%p = matmul_nt %X, %W @"p"
		%y = add %p, %B @"y"
		return y=%y`,
		`y add takes weight "b"; the pattern wants an operand of the result's type`},
	{"an operand marked :vec is a vector: a residual is no bias",
		"@@p = matmul_nt a w\ny = add p b:vec",
		`%p = matmul_nt %X, %W @"p"
		%y = add %p, %Z @"y"
		return y=%y`,
		`y add takes input "z"; the pattern wants a vector`},
	{"an attr has the value that the line gives",
		"s = softmax x {causal=true}\n@@y = silu s",
		`%s = softmax %X {causal=false, start=0} @"s"
		%y = silu %s @"y"
		return y=%y`,
		"s softmax has causal=false; the pattern wants true"},
	{"a name is one result: who takes another in its place is no match",
		"@@a = silu x\nb = add a y\nc = mul a b",
		`%a = silu %X @"a"
		%b = add %a, %Y @"b"
		%c = mul %Z, %b @"c"
		return c=%c`,
		"no mul takes the result of a silu (used by b add)"},
	{"a name from outside is one operand",
		"@@b = silu x\nd = add b y\nc = mul d y",
		`%b = silu %X @"b"
		%d = add %b, %Y @"d"
		%c = mul %d, %Z @"c"
		return c=%c`,
		`c mul takes input "z"; the pattern wants input "y"`},
	{"two that take one result in the pattern take one in the graph",
		"p = silu x\nq = mul p y\n@@r = add q p",
		`%s1 = silu %X @"s1"
		%s2 = silu %Z @"s2"
		%q = mul %s1, %Y @"q"
		%r = add %q, %s2 @"r"
		return r=%r`,
		"r add takes s2 silu; the pattern wants s1 silu"},
	{"what shares an operand must be there twice",
		"@@q = matmul_nt h wq\nk = matmul_nt h wk",
		`%q = matmul_nt %X, %W @"q"
		return q=%q`,
		`no other matmul_nt takes input "x"`},
	{"one operation stands for one line",
		"a = silu x\nc = silu z\n@@b = mul a c",
		`%s = silu %X @"s"
		%b = mul %s, %s @"b"
		return b=%b`,
		"b mul takes s silu, which stands in another place of the pattern already"},
	{"returned asks for a result of the graph",
		"s = silu x\n@@m^ = mul s y\nn = silu m\nreturned m",
		`%s = silu %X @"s"
		%m = mul %s, %Y @"m"
		%n = silu %m @"n"
		return n=%n`,
		""},
	{"all counts operations of one kind: others may take the operand too",
		"@@q = matmul_nt h wq\nk = matmul_nt h wk\nall q k",
		`%q = matmul_nt %X, %W @"q"
		%k = matmul_nt %X, %V @"k"
		%s = silu %X @"s"
		return q=%q, k=%k, s=%s`,
		"[q k]"},
	{"and refuses a third, once, at the first of them",
		"@@q = matmul_nt h wq\nk = matmul_nt h wk\nall q k",
		`%q = matmul_nt %X, %W @"q"
		%k = matmul_nt %X, %V @"k"
		%l = matmul_nt %X, %W @"l"
		return q=%q, k=%k, l=%l`,
		`3 matmul_nt take input "x"; the pattern wants exactly 2`},
	{"what stands around a region may be used elsewhere",
		".c = silu x\n@@m = mul c y\ns = silu m",
		`%c = silu %X @"c"
		%m = mul %c, %Y @"m"
		%s = silu %m @"s"
		return s=%s, c=%c`,
		"[m s]"},
	{"what stands around a region uses it from outside",
		"@@a = silu x\nb = mul a y\n.c = silu a",
		`%a = silu %X @"a"
		%b = mul %a, %Y @"b"
		%c = silu %a @"c"
		return b=%b, c=%c`,
		"a silu has a second use (used by c silu)\nno mul takes the result of c silu (used by the graph's results)"},
	{"a result of the graph inside of a region is a use",
		"@@a = silu x\nb = mul a y",
		`%a = silu %X @"a"
		%b = mul %a, %Y @"b"
		return a=%a, b=%b`,
		"a silu has a second use (used by the graph's results)"},
	{"three users are named",
		"@@a = silu x\nb = mul a y",
		`%a = silu %X @"a"
		%b = mul %a, %Y @"b"
		%c = silu %a @"c"
		%d = add %a, %Y @"d"
		%e = cast %a {to=f16} @"e"
		return b=%b, c=%c, d=%d, e=%e`,
		"a silu has a second use (used by c silu, d add, e cast)\nno mul takes the result of c silu (used by the graph's results)"},
	{"of more the first two",
		"@@a = silu x\nb = mul a y",
		`%a = silu %X @"a"
		%b = mul %a, %Y @"b"
		%c = silu %a @"c"
		%d = add %a, %Y @"d"
		%e = cast %a {to=f16} @"e"
		return a=%a, b=%b, c=%c, d=%d, e=%e`,
		"a silu has a second use (used by c silu, d add, 2 more)\nno mul takes the result of c silu (used by the graph's results)"},
	{"the reason is that of the choice that came furthest",
		"@@h = silu x\np = matmul_nt h wp\ns = silu p\nm = mul s y",
		`%h = silu %X @"h"
		%m1 = matmul_nt %h, %W @"m1"
		%m2 = matmul_nt %h, %V @"m2"
		%s = silu %m1 @"s"
		%a = add %s, %s @"a"
		return a=%a, b=%m2`,
		"no mul takes the result of s silu (used by a add, a add)\nno matmul_nt takes the result of s silu (used by a add, a add)"},
	{"order holds lines to the order of the graph",
		"@@h = silu x\nq = matmul_nt h w\nk = matmul_nt h v\ns = silu q\norder k q",
		`%h = silu %X @"h"
		%m1 = matmul_nt %h, %W @"m1"
		%m2 = matmul_nt %h, %V @"m2"
		%s = silu %m1 @"s"
		return b=%m2, s=%s`,
		"no silu takes the result of m2 matmul_nt (used by the graph's results)\n" +
			"no matmul_nt takes the result of s silu (used by the graph's results)"},
}

// A pattern matches what its text says, and says what was in the way.
func TestMatches(t *testing.T) {
	for _, c := range matches {
		table := own(t, []passes.Pattern{{Name: "mine", Text: c.pattern}})
		p, err := table.Parse("fuse-mine")
		require.NoError(t, err, c.rule)
		g, err := ir.Parse("rule.fir", `graph @g (T=1..4, P=0..39, S<=40) {
  %X = input "x" : f32[T, 64]
  %Y = input "y" : f32[T, 64]
  %Z = input "z" : f32[T, 64]
  %H = input "h" : f32[2, T, 32]
  %K = input "k" : f32[2, S, 32]
  %W = weight "w" : f16[64, 64]
  %V = weight "v" : f16[64, 64]
  %B = weight "b" : f32[64]
`+c.graph+"\n}\n")
		require.NoError(t, err, c.rule)
		var log passes.Log
		require.NoError(t, p.Run(g, &passes.Context{Log: &log}), c.rule)
		var have []string
		for _, n := range g.Nodes() {
			if n.Region == nil {
				continue
			}
			var members []string
			for _, m := range n.Region.Nodes() {
				members = append(members, m.Label)
			}
			have = append(have, "["+strings.Join(members, " ")+"]")
		}
		for _, d := range log.Decisions {
			if d.Outcome != plan.Matched && d.Outcome != plan.NoSite {
				have = append(have, d.Reason)
			}
		}
		assert.Equal(t, c.want, strings.Join(have, "\n"), c.rule)
	}
}
