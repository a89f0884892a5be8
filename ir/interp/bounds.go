package interp

import (
	"slices"

	"foundry/ir"
	"foundry/ir/dtype"
)

// Bound is the most that a device's result of a node may differ from Float64's,
// given the same operands.
type Bound struct {
	NMSE float64
	ULP  uint64 // the most float32 steps, where NMSE is 0; 0 means the same bits
	Why  string
}

// Admits reports whether d lies within the bound.
func (b Bound) Admits(d Difference) bool {
	if b.NMSE > 0 {
		return d.NMSE <= b.NMSE
	}
	return d.MaxULP <= b.ULP
}

// Bounds of whole models, in NMSE of the logits.
const (
	ModelF32 = 1e-9 // float32 weights and cache, against float32 goldens
	ModelF16 = 2e-6 // f16 weights and cache, against float32 goldens
)

// width is the narrowest element type that a node reads or writes.
type width uint8

const (
	fullWidth  width = iota // f32, i32
	halfWidth               // f16, bf16
	blockWidth              // blocks
)

// bounds holds one row a kind of arithmetic; a fused node takes the loosest of its
// region.
var bounds = [...][3]Bound{
	ir.Exact:    {exact, exact, exact},
	ir.Rounded:  {rounded, rounded, rounded},
	ir.Summed:   {sums, asked, asked},
	ir.Function: {functions, asked, asked},
}

func boundOf(op ir.Op, w width) Bound { return bounds[op.Info().Rounding][w] }

// The distinct bounds.
var (
	exact     = Bound{Why: "values are moved, compared or rounded once"}
	rounded   = Bound{ULP: 1, Why: "one rounded operation"}
	sums      = Bound{NMSE: 1e-10, Why: "f32 sums of up to some 30,000 terms: (30,000 x 2^-24)² is 3e-6 at the very worst, partial sums make it far less"}
	functions = Bound{NMSE: 1e-9, Why: "f32 exp, sin and cos within some 100 steps: (100 x 2^-24)²"}
	asked     = Bound{NMSE: 1e-6, Why: "narrow operands, which a prefill product may also have in f16: (2^-11)²/3 for each"}
	scores    = Bound{NMSE: 1e-5, Why: "two products and a softmax over a narrow cache"}
	narrowed  = Bound{NMSE: 1e-6, Why: "a value close to the middle of two f16 values may round to either"}
)

// GraphBound returns the bound of each result of g, given the same params: that of
// one node with all of g as its region.
func GraphBound(g *ir.Graph) Bound {
	flat := g.Clone()
	flat.InlineAll()
	values := flat.Params
	for _, r := range flat.Results {
		values = append(values, r.Value)
	}
	nodes := slices.DeleteFunc(slices.Clone(flat.Nodes()), func(n *ir.Node) bool { return n.Op.Is(ir.View) && n.Op != ir.OpTranspose })
	if len(nodes) == 1 {
		return boundOf(nodes[0].Op, widthOf(values))
	}
	return regionBound(flat, widthOf(values))
}

// regionBound is the loosest bound of g's nodes, and what becomes of it where
// errors of several meet.
func regionBound(g *ir.Graph, w width) Bound {
	loosest, computes, narrows := Bound{}, false, false
	has := map[ir.Op]bool{}
	for _, r := range g.Nodes() {
		has[r.Op] = true
		b := boundOf(r.Op, w)
		computes = computes || b != exact
		narrows = narrows || (r.Op == ir.OpKVWrite || r.Op == ir.OpCast) && widthOf(r.Args, r.Results) != fullWidth
		if b.NMSE > loosest.NMSE || b.NMSE == loosest.NMSE && b.ULP >= loosest.ULP {
			loosest = b
		}
	}
	switch {
	case has[ir.OpBmmNT] && has[ir.OpSoftmax] && has[ir.OpBmmNN] && w != fullWidth:
		return scores
	case narrows && computes && loosest.NMSE < narrowed.NMSE:
		return narrowed
	case loosest == rounded:
		// Roundings of a chain of adds and products add up, relative to the
		// largest of its values, which cancellation may take away.
		return sums
	}
	return loosest
}

// widthOf is the narrowest width of values.
func widthOf(lists ...[]*ir.Value) width {
	w := fullWidth
	for _, list := range lists {
		for _, v := range list {
			switch {
			case v.Type.DType.Quantised():
				w = blockWidth
			case v.Type.DType == dtype.F16 || v.Type.DType == dtype.BF16:
				w = max(w, halfWidth)
			}
		}
	}
	return w
}
