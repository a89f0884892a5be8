package passes_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir"
	"foundry/lower/plan"
	"foundry/passes"
)

// ownGraph rounds to f16 and back, to bf16 and back, and has softmaxes with and
// without a mask.
const ownGraph = `graph @own (T=1..4, P=0..39, S<=40) {
  %x = input "x" : f32[T, 64]
  %a = cast %x {to=f16} : f16[T, 64]
  %b = cast %a {to=f32} : f32[T, 64]
  %c = cast %b {to=bf16} : bf16[T, 64]
  %d = cast %c {to=f32} : f32[T, 64]
  %e = softmax %d {causal=true, start=P} : f32[T, 64]
  %f = silu %e : f32[T, 64]
  %g = softmax %f {causal=false, start=0} : f32[T, 64]
  %h = silu %g : f32[T, 64]
  return h=%h
}
`

// unround drops a rounding to f16 and the way back.
var unround = passes.Edit{
	Name: "unround", Doc: "drops f16 roundings", Absent: "nothing is rounded",
	Consider: func(at passes.Candidate) *passes.Rewrite {
		n := at.Node
		if n.Op != ir.OpCast || n.Args[0].Def == nil || n.Args[0].Def.Op != ir.OpCast {
			return nil
		}
		inner := n.Args[0].Def
		if inner.Attr.To.String() != "f16" {
			return passes.Refuse("%s is no f16", inner.Attr.To)
		}
		return &passes.Rewrite{Reason: "whole again", Waves: 2, Do: func() error {
			if err := at.Graph.ReplaceUses(n.Result(), inner.Args[0]); err != nil {
				return err
			}
			return errors.Join(at.Graph.Erase(n), at.Graph.Erase(inner))
		}}
	},
}

func own(t *testing.T, patterns []passes.Pattern, edits ...passes.Edit) *passes.Table {
	t.Helper()
	table, err := passes.BuiltIn().With(patterns, edits)
	require.NoError(t, err)
	return table
}

func runOwn(t *testing.T, table *passes.Table, text string, cx passes.Context) (*ir.Graph, []plan.Decision) {
	t.Helper()
	g, err := ir.Parse("own.fir", ownGraph)
	require.NoError(t, err)
	p, err := table.Parse(text)
	require.NoError(t, err)
	require.Equal(t, text, p.String())
	var log passes.Log
	cx.Log = &log
	require.NoError(t, p.Run(g, &cx))
	return g, log.Decisions
}

// An edit of one's own takes fuel, is logged site by site and does not meet what it
// has erased; the table that it came from is as before.
func TestOwnEdit(t *testing.T) {
	table := own(t, nil, unround)
	g, ds := runOwn(t, table, "canonicalize,unround", passes.Context{})
	require.Len(t, ds, 2)
	require.Equal(t, []string{plan.Matched, plan.Refused}, []string{ds[0].Outcome, ds[1].Outcome})
	require.Equal(t, 6, len(g.Nodes()))
	require.Equal(t, "unround", ds[0].Pass)
	require.Equal(t, "bf16 is no f16", ds[1].Reason)

	g, ds = runOwn(t, table, "unround", passes.Context{Fuel: &passes.Fuel{}})
	require.Equal(t, 8, len(g.Nodes()))
	require.Equal(t, "the fuel is spent", ds[0].Reason)

	_, ds = runOwn(t, table, "canonicalize,unround,unround", passes.Context{})
	require.Equal(t, plan.Refused, ds[len(ds)-1].Outcome, "it changes nothing again")

	// A mistake in an edit is an error that says where, of Consider and of Do.
	for i, consider := range []func(at passes.Candidate) *passes.Rewrite{
		func(at passes.Candidate) *passes.Rewrite { return passes.Refuse("%s", at.Node.Args[7]) },
		func(at passes.Candidate) *passes.Rewrite {
			return &passes.Rewrite{Do: func() error { return at.Graph.Erase(at.Node.Args[7].Def) }}
		},
	} {
		wrong := own(t, nil, passes.Edit{Name: "wrong", Consider: consider})
		p, err := wrong.Parse("wrong")
		require.NoError(t, err)
		g, err := ir.Parse("own.fir", ownGraph)
		require.NoError(t, err)
		require.ErrorContains(t, p.Run(g, &passes.Context{}), "own_test.go", i)
		require.Regexp(t, `^wrong: result 0 of node \d+, .*: it panics in foundry/passes_test\.\S+ at own_test\.go:\d+: runtime error: index out of range`, p.Run(g, &passes.Context{}).Error())
	}

	_, err := passes.Parse("unround")
	require.ErrorContains(t, err, `unknown pass "unround"`)
	_, err = table.Parse("legalize,unround")
	require.ErrorContains(t, err, "unround must stand before legalize")
}

// A pattern of one's own tests any attr, by value or by equality.
func TestOwnPattern(t *testing.T) {
	for attr, want := range map[string]int{
		"{causal=true}": 1, "{causal=false}": 1, "{start=P}": 1, "{start=0}": 1, "{start=p}": 2, "{causal=false;start=P}": 0,
	} {
		table := own(t, []passes.Pattern{{Name: "soft-silu", Text: "@s = softmax x " + attr + "\n@y = silu s"}})
		g, ds := runOwn(t, table, "canonicalize,fuse-soft-silu", passes.Context{})
		n := 0
		for _, x := range g.Nodes() {
			if x.Attr.Pattern == "soft-silu" {
				n++
			}
		}
		require.Equal(t, want, n, "%s: %v", attr, ds)
	}
	// One word is one value, in different nodes too.
	for text, want := range map[string]int{
		"@a = cast x {to=t}\n@b = cast a {to=t}":                                           8,
		"a = cast x {to=t}\n@b = cast a {to=u}\n@c = cast b {to=t}":                        6,
		"a = cast x {to=t}\n@b = cast a {to=u}\n@c = cast b {to=v}\nd = cast c {to=u}":     5,
		"a = cast x {to=t}\n@b = cast a {to=u}\n@c = cast b {to=v}\nd = cast c {to=bf16}":  8,
		"a = cast x {to=f16}\n@b = cast a {to=u}\n@c = cast b {to=v}\nd = cast c {to=f32}": 5,
	} {
		g, ds := runOwn(t, own(t, []passes.Pattern{{Name: "casts", Text: text}}), "cse,fuse-casts", passes.Context{})
		require.Equal(t, want, len(g.Nodes()), "%s: %v", text, ds)
	}

	table := own(t, []passes.Pattern{{Name: "casts", Text: "a = cast x\n@b = cast a\n@c = cast b\nd = cast c"}})
	// What has no kernel is refused with the reason.
	g, ds := runOwn(t, table, "cse,fuse-casts", passes.Context{Lowerable: func(n *ir.Node) error {
		if n.Attr.Pattern == "casts" {
			return errors.New("no kernel for it")
		}
		return nil
	}})
	require.Equal(t, 8, len(g.Nodes()))
	require.True(t, slices.ContainsFunc(ds, func(d plan.Decision) bool {
		return d.Outcome == plan.Refused && d.Reason == "apple-m3-pro cannot make one kernel of 4 cast: no kernel for it"
	}), ds)
}

func TestOwnMistakes(t *testing.T) {
	pattern := func(name, text string) []passes.Pattern {
		return []passes.Pattern{{Name: name, Text: text}}
	}
	const good = "@s = softmax x\n@y = silu s"
	for want, of := range map[string][]passes.Pattern{
		`pass "fuse-qkv" is there already`:                                    pattern("qkv", good),
		`pass "Mine": want a name of lower-case words with - between them`:    pattern("Mine", good),
		`pattern mine: "@s = softmaxx x": unknown op "softmaxx"`:              pattern("mine", "@s = softmaxx x"),
		`pattern mine: "@s = softmax x {heads=2}": softmax has no attr heads`: pattern("mine", "@s = softmax x {heads=2}"),
		`unknown attr "caausal"; did you mean "causal"?`:                      pattern("mine", "@s = softmax x {caausal=true}"),
		`attr causal: want true or false, have "3", or a word`:                pattern("mine", "@s = softmax x {causal=3}"),
		`pattern mine: with []: has no core`:                                  pattern("mine", "s = softmax x\ny = silu s"),
		`pattern mine: it has fewer than two operations`:                      pattern("mine", "@s = softmax x"),
	} {
		_, err := passes.BuiltIn().With(of, nil)
		require.ErrorContains(t, err, want)
	}
	for _, name := range []string{"attention", "default", "fewest", "floor", "qkv-no-bias"} {
		_, err := passes.BuiltIn().With(nil, []passes.Edit{{Name: name, Consider: unround.Consider}})
		require.EqualError(t, err, `pass "`+name+`": a variant or a fusion of a set has that name`)
	}
	_, err := passes.BuiltIn().With(nil, []passes.Edit{{Name: "mine"}})
	require.EqualError(t, err, `pass "mine": Consider is nil`)
	_, err = passes.BuiltIn().With(nil, []passes.Edit{unround, unround})
	require.EqualError(t, err, `pass "unround" is there already`)

	// A pass that no table has made is an error, not a crash.
	g, err := ir.Parse("own.fir", ownGraph)
	require.NoError(t, err)
	err = passes.Pipeline{{Pass: &passes.Pass{Name: "made-up"}}}.Run(g, &passes.Context{})
	require.EqualError(t, err, `pass "made-up": it is of no table; make passes with Table.With`)
	require.Equal(t, len(passes.BuiltIn().Passes()), len(own(t, nil).Passes()))
}
