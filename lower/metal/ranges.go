package metal

import (
	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/sym"
	"foundry/lower/msl"
	"foundry/lower/plan"
)

// Halves reach from 2^-24 to 65504. A value that is kept or multiplied as halves has a
// range where it may lie outside: two factors, powers of two, in a small buffer of the
// plan. What makes the halves multiplies by the first, whoever reads them multiplies by
// the second, or a product does once for each of its sums. The plan's preparation
// computes them from bounds of the values, once the weights are loaded: a bound is
// brought to at most 2^15.

// narrowing says how a value becomes halves.
type narrowing uint8

const (
	byRange   narrowing = iota // by the factors of its range
	asIs                       // as it is: its bound is a number that halves hold
	unbounded                  // it has no bound: who makes halves of it looks at the values
)

// narrowing is how a value of that bound becomes halves.
func (b *bound) narrowing() narrowing {
	switch {
	case b == nil:
		return unbounded
	case b.op == boundNumber && b.number <= largestHalf:
		return asIs
	}
	return byRange
}

// narrowing says how v of the region becomes halves. Where nobody knows what stands around
// the region, it is by a range.
func (r *region) narrowing(v *ir.Value) narrowing {
	if r.bound == nil {
		return byRange
	}
	return r.bound(v).narrowing()
}

// appendNarrowings appends how all values of the region become halves.
func (r *region) appendNarrowings(out []byte) []byte {
	add := func(v *ir.Value) {
		if v.Type.DType != dtype.I32 {
			out = append(out, '0'+byte(r.narrowing(v)))
		}
	}
	for _, p := range r.g.Params {
		add(p)
	}
	for _, n := range r.g.Nodes() {
		add(n.Results[0])
	}
	return out
}

// down and up return the factors with which v becomes halves, and halves
// become v.
func (r *region) down(k *kernel, v *ir.Value) *msl.Value { return r.factor(k, v, 0, "down") }
func (r *region) up(k *kernel, v *ir.Value) *msl.Value   { return r.factor(k, v, 1, "up") }

func (r *region) factor(k *kernel, v *ir.Value, at int64, name string) *msl.Value {
	if r.narrowing(v) == asIs {
		return one
	}
	base := "y"
	if v.Def == nil {
		base = r.argName(v.Index)
	}
	slot := k.slot(ref{refRange, r.locate(v)}, base+"_range", "float", plan.Read)
	return k.loadedOnce(slot, at, base+"_"+name)
}

// times is v multiplied by the factors that are not 1.
func times(v *msl.Value, factors ...*msl.Value) *msl.Value {
	for _, f := range factors {
		if f != one {
			v = v.Mul(f)
		}
	}
	return v
}

// both is the product of factors.
func both(a, b *msl.Value) *msl.Value {
	if a == one {
		return b
	}
	return times(a, b)
}

// readUp returns the factor that elements of v are to be multiplied by when
// they are read as they lie: v is an operand, or moves elements of one.
func (r *region) readUp(k *kernel, v *ir.Value) *msl.Value {
	for v.Def != nil {
		v = v.Def.Args[0]
	}
	if !r.operands[v.Index].Scaled {
		return one
	}
	return r.up(k, v)
}

// locate numbers v in its region: params from 0 on, results of operations below.
func (r *region) locate(v *ir.Value) int {
	if v.Def == nil {
		return v.Index
	}
	for i, n := range r.g.Nodes() {
		if n == v.Def {
			return -1 - i
		}
	}
	panic("metal: a value of another region")
}

// located is the value of n, which has a region like that of locate, with that number,
// and where it stands.
func located(n *ir.Node, number int) (*ir.Value, *site) {
	switch {
	case number >= 0:
		return n.Args[number], nil
	case n.Region == nil:
		return n.Results[0], nil
	}
	return n.Region.Nodes()[-1-number].Results[0], &site{n, nil}
}

// boundIn returns what finds bounds of values in r, the region of n.
func (e *entry) boundIn(r *region, n *ir.Node) func(v *ir.Value) *bound {
	return func(v *ir.Value) *bound {
		v, in := located(n, r.locate(v))
		return e.bounds.of(v, in)
	}
}

// scaled returns the bound by whose range v's halves are scaled in memory, nil where
// they are what they say. A state is scaled where all that kernels write to it has a
// bound, and with it what only moves its elements; but for a result, whose reader knows
// of no range.
func (e *entry) scaled(v *ir.Value) *bound {
	switch {
	case e.stored.Halves(v) || e.stored.Narrowed(v):
		return ranged(e.bounds.of(v, nil))
	case v.Type.DType == dtype.F16:
		return ranged(e.scaledState(v, nil))
	}
	return nil
}

func ranged(b *bound) *bound {
	if b.narrowing() != byRange {
		return nil
	}
	return b
}

func (e *entry) scaledState(v *ir.Value, in *site) *bound {
	for {
		if in == nil && e.outputs[v] != nil {
			return nil
		}
		next, where := step(v, in)
		if next == v {
			break
		}
		v, in = next, where
	}
	if v.Def == nil {
		if s := e.values[v].s; s.class == plan.State && s.dtype == dtype.F16 {
			return e.bounds.states[s.name]
		}
		return nil
	}
	switch v.Def.Op {
	case ir.OpKVWrite, ir.OpSlice, ir.OpReshape, ir.OpTranspose, ir.OpRepeatKV, ir.OpKVRearrange:
		return e.scaledState(v.Def.Args[0], in)
	}
	return nil
}

// ranges are the places of ranges in their buffer, which entries share.
type ranges struct {
	wanted []wanted         // ranges in the order of their places
	begun  map[leaf][]int   // those among them that begin with a leaf
	known  map[*bound]int64 // byte offsets
}

// of returns the range of b among those that are wanted, nil for none.
func (r *ranges) of(b *bound) *wanted {
	for _, i := range r.begun[b.first()] {
		if w := &r.wanted[i]; w.same(b) {
			return w
		}
	}
	return nil
}

// wanted is a range that a dispatch binds first.
type wanted struct {
	*bound
	label string
	at    int64
}

// rangeBuffer returns the buffer of the ranges.
func (c *compiler) rangeBuffer() *storage {
	s, _ := c.share(sharing{sharedPrepared, "ranges"}, plan.Prepared, ir.TypeOf(dtype.F32, sym.Const(plan.RangeBytes/4)), sym.Bounds{})
	s.role = plan.RangesBuffer
	return s
}

// rangeOf returns the place of b's range. Place 0 stays free: a buffer of the plan that
// names none has no range.
func (c *compiler) rangeOf(b *bound, label string) int64 {
	r := &c.ranges
	if at, ok := r.known[b]; ok {
		return at
	}
	if r.known == nil {
		r.begun, r.known = map[leaf][]int{}, map[*bound]int64{}
	}
	w := r.of(b)
	if w == nil {
		l := b.first()
		r.begun[l] = append(r.begun[l], len(r.wanted))
		r.wanted = append(r.wanted, wanted{b, label, int64(len(r.wanted)+1) * plan.RangeBytes})
		w = &r.wanted[len(r.wanted)-1]
	}
	r.known[b] = w.at
	return w.at
}
