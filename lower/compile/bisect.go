package compile

import (
	"fmt"
	"math"

	"foundry/frontends/model"
	"foundry/lower/plan"
	"foundry/passes"
)

// Culprit is the first rewrite of a pipeline with which a property is broken.
type Culprit struct {
	Number   int           // the rewrite's number, from 1, in the order they are applied
	Of       int           // rewrites that the pipeline makes
	Name     string        // pass and node
	Decision plan.Decision // the log's record of it
}

// Bisect finds the first rewrite with which broken holds of a model's graphs, by
// halving the number of rewrites that passes may apply. broken must not hold
// without any rewrite, and hold with all of them; it is an error that says which
// of the two is not so.
func Bisect(m *model.Model, o Options, broken func(*Graphs) (bool, error)) (*Culprit, error) {
	fuse := func(fuel int) (*Graphs, error) {
		o := o
		o.Fuel = &fuel
		return Fuse(m, o)
	}
	all, err := fuse(math.MaxInt)
	if err != nil {
		return nil, err
	}
	most := all.Rewrites
	good, name, found, err := passes.Bisect(most, func(fuel int) (bool, string, error) {
		g, err := fuse(fuel)
		if err != nil {
			return false, "", err
		}
		bad, err := broken(g)
		return bad, g.LastRewrite, err
	})
	switch {
	case err != nil:
		return nil, err
	case !found && good == most:
		return nil, fmt.Errorf("%s: nothing is broken with all %d rewrites of %s", m.Name, most, all.Options.Passes)
	case !found:
		return nil, fmt.Errorf("%s: it is broken before any rewrite", m.Name)
	}
	c := &Culprit{Number: good + 1, Of: most, Name: name}
	g, err := fuse(c.Number)
	if err != nil {
		return nil, err
	}
	for _, d := range g.Decisions {
		if d.Outcome == plan.Matched {
			c.Decision = d // rewrites and matches come in one order
		}
	}
	return c, nil
}
