package ir_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir"
	"foundry/ir/irgen"
	"foundry/ir/sym"
)

// places are where values stand, in numbers that a copy has too.
func places(g *ir.Graph) map[*ir.Value][2]int {
	out := map[*ir.Value][2]int{}
	for i, p := range g.Params {
		out[p] = [2]int{-1, i}
	}
	for i, n := range g.Nodes() {
		for k, r := range n.Results {
			out[r] = [2]int{i, k}
		}
	}
	return out
}

// requireCopy: c says the same as g, with values and uses in the same places, of which none
// is one of g's.
func requireCopy(t require.TestingT, g, c *ir.Graph) {
	require.Equal(t, g.String(), c.String())
	of, to := places(g), places(c)
	require.Len(t, to, len(of))
	at := map[[2]int]*ir.Value{}
	for v, p := range of {
		at[p] = v
	}
	for v, p := range to {
		_, shared := of[v]
		require.False(t, shared, "a copy's value is the graph's own")
		require.Len(t, v.Users(), len(at[p].Users()))
		for _, u := range v.Users() {
			require.True(t, slices.Contains(u.Args, v), "a use that is none")
		}
	}
	for i, n := range c.Nodes() {
		if r := g.Nodes()[i].Region; r != nil {
			requireCopy(t, r, n.Region)
		}
	}
}

// A copy is whole, also of a graph with fused nodes and with holes where nodes were, and
// what is done to the copy the graph does not see.
func TestCloneIsWhole(t *testing.T) {
	graphs(t, 50, func(t require.TestingT, g *ir.Graph, r *rand.Rand) {
		outlineSome(g, r)
		c := g.Clone()
		requireCopy(t, g, c)
		require.NoError(t, ir.Verify(c))
		c.InlineAll()
		outlineSome(c, r)
		requireCopy(t, c, c.Clone())
		text := c.String()
		c.Clone().InlineAll()
		require.Equal(t, text, c.String())
		require.NoError(t, ir.Verify(c))
	})
}

// A node alone is what Add makes of params of its operands' types.
func TestAlone(t *testing.T) {
	seen := map[ir.Op]bool{}
	b := sym.Bounds{TMin: 1, TMax: 8, PMax: 56, SMax: 64}
	for seed := range uint64(60) {
		for _, n := range irgen.Graph(seed).Nodes() {
			if n.Region != nil {
				continue
			}
			seen[n.Op] = true
			want := ir.NewGraph("", b)
			var args []*ir.Value
			for _, a := range n.Args {
				args = append(args, want.Param(ir.Arg, "", a.Type))
			}
			v, err := want.Add(n.Op, n.Label, n.Attr, args...)
			require.NoError(t, err)
			want.Return("", v)

			text := n.String()
			g := n.Alone(b)
			require.Equal(t, want.String(), g.String())
			require.Equal(t, n.Attr, g.Nodes()[0].Attr)
			for i, p := range g.Params {
				require.Equal(t, []*ir.Node{g.Nodes()[0]}, p.Users())
				require.Equal(t, *want.Params[i].Param, *p.Param)
			}
			require.Equal(t, text, n.String())
		}
	}
	require.Greater(t, len(seen), 20)
}
