package task

import (
	"slices"

	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/kernel"
)

// Expansion is weights of one format that one kernel expands to halves.
type Expansion struct {
	Format  Format
	Weights []*ir.Value
}

// Expansions lists the weights that are no halves yet, by format in the order of the product's
// parts; false where they cannot all be expanded once: rows of eight are what blocks copy.
func (g *Product) Expansions() (out []Expansion, can bool) {
	can = g.Copyable(dtype.F16)
	seen := map[*ir.Value]bool{}
	g.Weights(func(w *ir.Value) {
		t, planes := w.Type.DType, g.Region.Operands[w.Index].Planes
		if t == dtype.F16 || seen[w] {
			return
		}
		seen[w] = true
		can = can && t != dtype.F32
		i := slices.IndexFunc(out, func(e Expansion) bool {
			first := e.Weights[0]
			return first.Type.DType == t && g.Region.Operands[first.Index].Planes == planes
		})
		if i < 0 {
			i, out = len(out), append(out, Expansion{Format: g.Region.Format(w)})
		}
		out[i].Weights = append(out[i].Weights, w)
	})
	return out, can && len(out) > 0
}

// ExpandedOnce returns the product whose weights lie as halves, scaled by their ranges:
// what other dispatches of the step have made of them.
func (g *Product) ExpandedOnce() *Product {
	region := *g.Region
	region.Operands = slices.Clone(region.Operands)
	expansions, _ := g.Expansions()
	for _, e := range expansions {
		for _, w := range e.Weights {
			o := &region.Operands[w.Index]
			o.Halves, o.Scaled, o.Fixed, o.Planes = true, true, false, false
		}
	}
	out := *g
	out.Region = &region
	return &out
}

// Kernel is how the weights are dealt out.
func (e Expansion) Kernel() kernel.Expansion { return kernel.Expansion{Width: e.Chunk()} }

// Chunk returns the weights that a thread expands at once: the most that divide a row.
func (e Expansion) Chunk() int {
	cols := e.Weights[0].Type.Shape.At(-1).C
	for _, w := range e.Format.Widths {
		if cols%int64(w) == 0 {
			return w
		}
	}
	return 1
}
