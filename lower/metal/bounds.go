package metal

import (
	"math"
	"slices"

	"foundry/ir"
	"foundry/ir/cost"
	"foundry/ir/dtype"
	"foundry/ir/target"
	"foundry/ir/task"
)

// bound is an upper bound of the absolute values of a tensor's elements, as an
// expression over the weights: kernels of the plan compute it once they are loaded.
// It holds for every input. Lowering finds it on the graph, from what each operation
// does with its operands (interval arithmetic, and Cauchy-Schwarz for products).
type bound struct {
	op     boundOp
	of     *ir.Value // the weight of an entry's graph that is measured
	gamma  *ir.Value // longestRow: the vector that the row is multiplied by, or nil
	number float64
	args   []*bound
	// slack is how many times larger than what occurs the bound can be expected to be,
	// for elements that point in no special direction.
	slack float64
	// terms and leaves are how many terms the bound has, written as a sum, and how many
	// measured factors these have together.
	terms, leaves int
}

type boundOp uint8

const (
	boundNumber  boundOp = iota // number
	boundLargest                // largest absolute value of a weight
	boundRow                    // longest row of a weight, each element times gamma's, by Euclid
	boundSum                    // of args
	boundProduct
)

// mostSlack is the slack up to which a bound serves: halves have 30 binades, of which
// 26 lie below the place that a bound is given. A looser one is none, and none is what
// follows from it.
const mostSlack = 1 << 15

// mostRead is how much a kernel can read that computes a range: a number for each term and
// what was measured for each factor, beside the range. A bound of more is none.
const mostRead = 30

// largestHalf is the greatest finite half.
const largestHalf = 65504

func numberBound(n float64) *bound { return &bound{op: boundNumber, number: n, slack: 1, terms: 1} }

func largestOf(w *ir.Value) *bound {
	return &bound{op: boundLargest, of: w, slack: 1, terms: 1, leaves: 1}
}

func longestRow(w, gamma *ir.Value) *bound {
	return &bound{op: boundRow, of: w, gamma: gamma, slack: 1, terms: 1, leaves: 1}
}

// same reports whether bounds are equal: those of different entries may be, too, which have
// their own values for one weight.
func (b *bound) same(o *bound) bool {
	return b == o || b.op == o.op && b.number == o.number && b.leaf() == o.leaf() && slices.EqualFunc(b.args, o.args, (*bound).same)
}

// leaf is what is measured of a weight: a bound without args.
type leaf struct {
	op        boundOp
	of, gamma string
}

// leaf is what b measures itself, nothing where it is made of others.
func (b *bound) leaf() (l leaf) {
	if b.of == nil {
		return l
	}
	l.op, l.of = b.op, b.of.Param.Name
	if b.gamma != nil {
		l.gamma = b.gamma.Param.Name
	}
	return l
}

// first is the first leaf of b, nothing where it has none.
func (b *bound) first() leaf {
	l := b.leaf()
	for i := 0; l.of == "" && i < len(b.args); i++ {
		l = b.args[i].first()
	}
	return l
}

// joined is the sum or product of bounds, nil if one is.
func joined(op boundOp, args ...*bound) *bound {
	b := &bound{op: op, args: args, slack: 1}
	if op == boundProduct {
		b.terms = 1
	}
	for _, a := range args {
		switch {
		case a == nil:
			return nil
		case op == boundProduct:
			b.slack *= a.slack
			b.terms, b.leaves = b.terms*a.terms, b.leaves*a.terms+a.leaves*b.terms
		default:
			b.slack = max(b.slack, a.slack)
			b.terms, b.leaves = b.terms+a.terms, b.leaves+a.leaves
		}
		if b.slack > mostSlack || b.terms+b.leaves > mostRead {
			return nil
		}
	}
	return b
}

// either bounds what one of bounds does: their sum, equal ones once.
func either(args ...*bound) *bound {
	if len(args) == 1 {
		return args[0]
	}
	var different []*bound
	for _, a := range args {
		if a == nil {
			return nil
		}
		if !slices.ContainsFunc(different, a.same) {
			different = append(different, a)
		}
	}
	if len(different) == 1 {
		return different[0]
	}
	return joined(boundSum, different...)
}

// product is a term of a bound written as a sum: leaves times a number.
type product struct {
	number float64
	leaves []*bound
}

// products writes b as a sum.
func (b *bound) products() []product {
	switch b.op {
	case boundNumber:
		return []product{{number: b.number}}
	case boundSum:
		var out []product
		for _, a := range b.args {
			out = append(out, a.products()...)
		}
		return out
	case boundProduct:
		out := []product{{number: 1}}
		for _, a := range b.args {
			terms := a.products()
			next := make([]product, 0, len(out)*len(terms))
			for _, x := range out {
				for _, y := range terms {
					next = append(next, product{x.number * y.number, slices.Concat(x.leaves, y.leaves)})
				}
			}
			out = next
		}
		return out
	}
	return []product{{number: 1, leaves: []*bound{b}}}
}

// looser is b with slack times the factor.
func (b *bound) looser(factor float64) *bound {
	if b == nil || b.slack*factor > mostSlack {
		return nil
	}
	c := *b
	c.slack *= factor
	return &c
}

// site is where a value stands: in the region of a node, or, nil, in the entry's graph.
type site struct {
	node  *ir.Node
	outer *site
}

// settle follows operands of regions and results of fused nodes to a param of the
// entry's graph or the result of a primitive operation.
func settle(v *ir.Value, in *site) (*ir.Value, *site) {
	for {
		next, where := step(v, in)
		if next == v {
			return v, in
		}
		v, in = next, where
	}
}

// step goes one step of settle's way; at its end it stays.
func step(v *ir.Value, in *site) (*ir.Value, *site) {
	switch {
	case v.Def == nil && in != nil:
		return in.node.Args[v.Index], in.outer
	case v.Def != nil && v.Def.Region != nil:
		return v.Def.Region.Results[v.Index].Value, &site{v.Def, in}
	}
	return v, in
}

// bounds finds bounds of one entry's values and remembers them.
type bounds struct {
	known  map[*ir.Value]*bound
	states map[string]*bound // bounds by name
}

func newBounds(states map[string]*bound) *bounds {
	return &bounds{known: map[*ir.Value]*bound{}, states: states}
}

// of returns the bound of v, nil for none: inputs may be anything.
func (b *bounds) of(v *ir.Value, in *site) *bound {
	v, in = settle(v, in)
	have, ok := b.known[v]
	if !ok {
		b.known[v] = nil // what depends on itself has none
		have = b.find(v, in)
		b.known[v] = have
	}
	return have
}

func (b *bounds) find(v *ir.Value, in *site) *bound {
	if v.Def == nil {
		return b.param(v)
	}
	n := v.Def
	arg := func(i int) *bound { return b.of(n.Args[i], in) }
	switch n.Op {
	case ir.OpEmbedding:
		return arg(1)
	case ir.OpMatmulNT:
		return b.product(n, in)
	case ir.OpAdd:
		return joined(boundSum, arg(0), arg(1))
	case ir.OpMul:
		return joined(boundProduct, arg(0), arg(1))
	case ir.OpCast:
		if x := arg(0); x != nil || v.Type.DType != dtype.F16 {
			return x
		}
		return &bound{op: boundNumber, number: largestHalf, slack: mostSlack, terms: 1} // what occurs may be far smaller
	case ir.OpSilu, ir.OpKVRearrange, ir.OpTranspose, ir.OpReshape, ir.OpSlice, ir.OpRepeatKV:
		return arg(0) // |silu(x)| <= |x|
	case ir.OpRope:
		return joined(boundProduct, numberBound(math.Sqrt2), arg(0)) // pairs keep their length
	case ir.OpRMSNorm, ir.OpRMSScale:
		_, gamma := task.NormOperands(n)
		length, ok := v.Type.Shape.At(-1).Const()
		if !ok || !normalises(n, in) {
			return nil
		}
		root := math.Sqrt(float64(length)) // a row of squares whose mean is at most 1
		return joined(boundProduct, numberBound(root), b.of(gamma, in)).looser(root)
	case ir.OpConcat:
		var all []*bound
		for i := range n.Args {
			all = append(all, arg(i))
		}
		return either(all...)
	case ir.OpKVWrite:
		return arg(0)
	case ir.OpSoftmax:
		return numberBound(1)
	case ir.OpBmmNN:
		if p, _ := settle(n.Args[0], in); p.Def != nil && p.Def.Op == ir.OpSoftmax {
			return arg(1) // weights add up to 1
		}
	}
	return nil
}

func (b *bounds) param(v *ir.Value) *bound {
	switch v.Param.Kind {
	case ir.Weight:
		return largestOf(v)
	case ir.Const:
		n := 0.0
		for _, x := range v.Param.Values {
			n = max(n, math.Abs(float64(x)))
		}
		return numberBound(n)
	case ir.State:
		return b.states[v.Param.Name]
	}
	return nil
}

// product bounds a matrix product by the lengths of its operands' rows. A norm's
// result is its weight times a row of at most the length sqrt(K), so that the weight
// belongs to the other operand: its large elements meet small ones there.
func (b *bounds) product(n *ir.Node, in *site) *bound {
	x, at := settle(n.Args[0], in)
	w, _ := settle(n.Args[1], in)
	length, ok := x.Type.Shape.At(-1).Const()
	if !ok || w.Param == nil || w.Param.Kind != ir.Weight {
		return nil
	}
	root := math.Sqrt(float64(length))
	if x.Def != nil && normalises(x.Def, at) {
		_, gamma := task.NormOperands(x.Def)
		if gamma, _ = settle(gamma, at); gamma.Param != nil && gamma.Param.Kind == ir.Weight && gamma.Type.DType == dtype.F32 {
			return joined(boundProduct, numberBound(root), longestRow(w, gamma)).looser(root)
		}
	}
	return joined(boundProduct, numberBound(root), b.of(x, at), longestRow(w, nil)).looser(root)
}

// normalises reports whether n is a norm whose sums of squares are its operand's.
func normalises(n *ir.Node, in *site) bool {
	if n.Op != ir.OpRMSScale {
		return n.Op == ir.OpRMSNorm
	}
	sums, at := settle(n.Args[1], in)
	if sums.Def == nil || sums.Def.Op != ir.OpSumSquares {
		return false
	}
	x, _ := settle(n.Args[0], in)
	of, _ := settle(sums.Def.Args[0], at)
	return x == of
}

// NewChoices returns the choices of kernels for a target, none of which is made yet, with
// bounds as lowering finds them.
func NewChoices(t *target.Target) *cost.Choices {
	return cost.NewChoices(t, func(plan []*ir.Graph) cost.Unbounded {
		entries := make([]*entry, len(plan))
		for i, g := range plan {
			entries[i] = &entry{g: g, bounds: newBounds(nil)}
		}
		return newBounds(stateBounds(entries)).unbounded
	})
}

// unbounded reports whether v has no bound: a value of the graph, or, with n, of n's region.
func (b *bounds) unbounded(v *ir.Value, n *ir.Node) bool {
	var in *site
	switch {
	case n == nil:
	case n.Region != nil:
		in = &site{n, nil}
	case v.Def == nil:
		v = n.Args[v.Index]
	default:
		v = n.Results[v.Index]
	}
	return b.of(v, in).narrowing() == unbounded
}

// stateBounds finds the bounds of what entries write to states: nil where one write
// has none, since a state may hold anything then. A host may write a state, too, so
// there is room above what kernels write.
func stateBounds(entries []*entry) map[string]*bound {
	const room = 8
	written := map[string][]*bound{}
	for _, e := range entries {
		for _, n := range e.g.Nodes() {
			for _, w := range writesOf(n) {
				cache, _ := settle(w.node.Args[0], w.in)
				for cache.Def != nil {
					cache, _ = settle(cache.Def.Args[0], nil)
				}
				name := cache.Param.Name
				written[name] = append(written[name], e.bounds.of(w.node.Args[1], w.in))
			}
		}
	}
	found := make(map[string]*bound, len(written))
	for name, all := range written {
		found[name] = joined(boundProduct, numberBound(room), either(all...)) // equal ones once, however many entries write
	}
	return found
}

// write is a kv_write and where it stands.
type write struct {
	node *ir.Node
	in   *site
}

func writesOf(n *ir.Node) []write {
	if n.Region == nil {
		if n.Op == ir.OpKVWrite {
			return []write{{n, nil}}
		}
		return nil
	}
	var out []write
	for _, m := range n.Region.Nodes() {
		if m.Op == ir.OpKVWrite {
			out = append(out, write{m, &site{n, nil}})
		}
	}
	return out
}
