package compile

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/lower/plan"
)

// Whichever rewrite breaks a property is found, the first and the last, with its record.
func TestBisect(t *testing.T) {
	m := embedded(t)
	o := Options{Passes: "fuse-residual,fuse-gate-up-swiglu"}
	for _, first := range []int{1, 2, 7, 15} {
		c, err := Bisect(m, o, func(g *Graphs) (bool, error) { return g.Rewrites >= first, nil })
		require.NoError(t, err)
		fuel := first
		g, err := Fuse(m, Options{Passes: o.Passes, Fuel: &fuel})
		require.NoError(t, err)
		var last plan.Decision
		for _, d := range g.Decisions {
			if d.Outcome == plan.Matched {
				last = d
			}
		}
		require.Equal(t, &Culprit{Number: first, Of: 30, Name: g.LastRewrite, Decision: last}, c)
	}
	_, err := Bisect(m, o, func(*Graphs) (bool, error) { return false, nil })
	require.EqualError(t, err, m.Name+": nothing is broken with all 30 rewrites of fuse-residual,fuse-gate-up-swiglu")
	_, err = Bisect(m, o, func(*Graphs) (bool, error) { return true, nil })
	require.EqualError(t, err, m.Name+": it is broken before any rewrite")
	lost := errors.New("lost")
	_, err = Bisect(m, o, func(*Graphs) (bool, error) { return false, lost })
	require.ErrorIs(t, err, lost)
	_, err = Bisect(m, Options{Passes: "fuse-residul"}, nil)
	require.ErrorContains(t, err, "fuse-residul")
}
