package generated

import (
	"slices"
	"strings"
	"testing"

	"foundry/ir"
	"foundry/ir/irgen"
	"foundry/passes"
)

// shrink returns a small trial that fails in the same stage: without pins, on the default
// target, with few passes, options and rewrites, and of a small graph.
func (c *fuzzCase) shrink(t *testing.T, err error) *fuzzCase {
	t.Helper()
	stage := stageOf(err)
	left := 300 // what is compiled for cpu takes a second
	fails := func(d *fuzzCase) bool {
		if left--; left < 0 {
			return false
		}
		d.fused, d.plan = nil, nil
		err := d.onRef()
		if err == nil && stage == "cpu" && d.plan != nil {
			errs, _, _ := trialsOnCPU(t, []*fuzzCase{d})
			err = errs[0]
		}
		return err != nil && stageOf(err) == stage
	}
	small := *c
	attempt := func(change func(*fuzzCase)) bool {
		d := small
		change(&d)
		if !fails(&d) {
			return false
		}
		small = d
		return true
	}
	attempt(func(d *fuzzCase) { d.pins = 0 })
	attempt(func(d *fuzzCase) { d.target = targetsDrawn[0] })
	attempt(func(d *fuzzCase) { d.target = strings.Fields(d.target)[0] })
	shrinkCalls(&small, attempt)
	small.graph = irgen.Shrink(small.graph, func(g *ir.Graph) bool {
		d := small
		d.graph = g
		if !g.Bounds.Contains(d.env) {
			return false
		}
		return fails(&d)
	})
	shrinkCalls(&small, attempt)
	if small.fuel < 0 {
		attempt(func(d *fuzzCase) { d.fuel = 64 })
	}
	for small.fuel > 0 && (attempt(func(d *fuzzCase) { d.fuel /= 2 }) || attempt(func(d *fuzzCase) { d.fuel-- })) {
	}
	return &small
}

// shrinkCalls leaves out calls and their options for as long as one can go.
func shrinkCalls(small *fuzzCase, attempt func(func(*fuzzCase)) bool) {
	p, err := passes.Parse(small.pipeline)
	if err != nil {
		return
	}
	for i := 0; i < len(p); {
		fewer := slices.Delete(slices.Clone(p), i, i+1)
		if attempt(func(d *fuzzCase) { d.pipeline = fewer.String() }) {
			p = fewer
			continue
		}
		for j := len(p[i].Options) - 1; j >= 0; j-- {
			plain := slices.Clone(p)
			plain[i].Options = slices.Delete(slices.Clone(p[i].Options), j, j+1)
			if attempt(func(d *fuzzCase) { d.pipeline = plain.String() }) {
				p = plain
			}
		}
		i++
	}
}
