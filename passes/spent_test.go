package passes_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir"
	"foundry/lower/plan"
	"foundry/passes"
)

// Every pass that rewrites takes a unit of fuel a site and, where none is left, leaves the graph
// as it is and says so.
func TestEachPassWithoutFuel(t *testing.T) {
	for text, min := range map[string]int{"split-norm": 2, "choose-kernels": 10, "drop-repeat-kv": 2, "fuse-qkv": 2, "fuse-elementwise": 2} {
		cx := chooses(t)
		run := func(fuel int) (string, *passes.Fuel, []plan.Decision) {
			g, log, f := tiny(t, 1), &passes.Log{}, &passes.Fuel{Left: fuel}
			cx.Fuel, cx.Log = f, log
			require.NoError(t, parse(t, text).Run(g, cx))
			require.NoError(t, ir.Verify(g))
			return g.String(), f, log.Decisions
		}
		_, all, _ := run(1 << 20)
		require.GreaterOrEqual(t, all.Used, min, text)
		same, none, decisions := run(0)
		require.Zero(t, none.Used, text)
		require.Equal(t, tiny(t, 1).String(), same, text)
		require.True(t, slices.ContainsFunc(decisions, func(d plan.Decision) bool {
			return d.Outcome == plan.Refused && d.Reason == "the fuel is spent"
		}), text)
		for _, d := range decisions {
			require.NotEqual(t, plan.Matched, d.Outcome, "%s: %+v", text, d)
		}
		_, one, decisions := run(1)
		require.Equal(t, 1, one.Used, text)
		matched := 0
		for _, d := range decisions {
			if d.Outcome == plan.Matched {
				matched++
			}
		}
		require.Equal(t, 1, matched, text)
	}
}

// A region that grows takes 64 operations, and of more none beyond.
func TestMostOperationsOfARegion(t *testing.T) {
	for n, want := range map[int][]int{63: {63}, 64: {64}, 65: {64, 0}} {
		var b strings.Builder
		b.WriteString("graph @g (T=1..4, P=0..3, S<=4) {\n%v0 = input \"x\" : f32[T, 64]\n")
		for i := range n {
			fmt.Fprintf(&b, "%%v%d = silu %%v%d\n", i+1, i)
		}
		fmt.Fprintf(&b, "return y=%%v%d\n}", n)
		g, err := ir.Parse("g.fir", b.String())
		require.NoError(t, err)
		log := &passes.Log{}
		require.NoError(t, parse(t, "fuse-elementwise").Run(g, &passes.Context{Log: log}))
		var sizes []int
		for _, n := range g.Nodes() {
			if n.Region == nil {
				sizes = append(sizes, 0)
			} else {
				sizes = append(sizes, len(n.Region.Nodes()))
			}
		}
		require.Equal(t, want, sizes)
		require.Equal(t, n > 64, slices.ContainsFunc(log.Decisions, func(d plan.Decision) bool {
			return d.Reason == "the region would have 65 operations; a kernel takes 64"
		}), "%+v", log.Decisions[max(0, len(log.Decisions)-2):])
	}
}

// What subsets give, of as many as several processes share, is what they give by themselves, in their order.
func TestEnumerateInShares(t *testing.T) {
	g := tiny(t, 1)
	all, err := passes.BuiltIn().Subsets(&passes.Context{}, g)
	require.NoError(t, err)
	some := []passes.Subset{all[0], all[len(all)/2], all[1], all[0]}
	few, err := passes.Enumerate(g, &passes.Context{}, some, (*ir.Graph).Canonical)
	require.NoError(t, err)
	require.Len(t, few, 3)
	require.Equal(t, [][]int{{0, 3}, {1}, {2}}, [][]int{few[0].Members, few[1].Members, few[2].Members})
	const times = 48
	many, err := passes.Enumerate(g, &passes.Context{}, slices.Repeat(some, times), (*ir.Graph).Canonical)
	require.NoError(t, err)
	require.Len(t, many, 3)
	for i, o := range many {
		require.Equal(t, few[i].Of, o.Of)
		require.Equal(t, few[i].Subset, o.Subset)
		var want []int
		for j := range times {
			for _, m := range few[i].Members {
				want = append(want, 4*j+m)
			}
		}
		require.Equal(t, want, o.Members)
	}
}

// A table's hash is that of its patterns and passes; with an edit of one's own it has none.
func TestHashOfATable(t *testing.T) {
	hash, ok := passes.BuiltIn().Hash()
	require.True(t, ok)
	again, _ := own(t, nil).Hash()
	require.Equal(t, hash, again)
	require.Len(t, hash, 64)
	var hashes []string
	for _, p := range []passes.Pattern{{Name: "two-silus", Text: "@a = silu x\n@b = silu a"}, {Name: "three-silus", Text: "@a = silu x\n@b = silu a"}, {Name: "two-silus", Text: "@a = silu x\n@b = softmax a"}} {
		h, ok := own(t, []passes.Pattern{p}).Hash()
		require.True(t, ok)
		require.NotContains(t, append(hashes, hash), h)
		hashes = append(hashes, h)
	}
	none, ok := own(t, nil, unround).Hash()
	require.False(t, ok)
	require.Empty(t, none)
}

// Bisect tells the first rewrite that breaks something, nothing where none or the graph itself
// does, and each error of who asks.
func TestWhatBisectFinds(t *testing.T) {
	broken := errors.New("broken")
	for _, c := range []struct {
		first, fails int
		good         int
		culprit      string
		found        bool
		err          error
	}{
		{first: 1, fails: -1, good: 0, culprit: "rewrite 1", found: true},
		{first: 7, fails: -1, good: 6, culprit: "rewrite 7", found: true},
		{first: 10, fails: -1, good: 9, culprit: "rewrite 10", found: true},
		{first: 11, fails: -1, good: 10},
		{first: 0, fails: -1, good: 0},
		{first: 7, fails: 10, good: 10, err: broken},
		{first: 7, fails: 0, good: 0, err: broken},
		{first: 7, fails: 5, good: 0, err: broken},
		{first: 9, fails: 7, good: 5, err: broken},
	} {
		good, culprit, found, err := passes.Bisect(10, func(fuel int) (bool, string, error) {
			if fuel == c.fails {
				return false, "", broken
			}
			return fuel >= c.first, fmt.Sprintf("rewrite %d", fuel), nil
		})
		require.Equal(t, c.err, err, "%+v", c)
		require.Equal(t, c.good, good, "%+v", c)
		require.Equal(t, c.culprit, culprit, "%+v", c)
		require.Equal(t, c.found, found, "%+v", c)
	}
}
