package metal

import (
	"fmt"
	"slices"

	"foundry/ir"
	"foundry/ir/dtype"
	choice "foundry/ir/kernel"
	"foundry/ir/sym"
	"foundry/lower/msl"
	"foundry/lower/plan"
)

// prepare writes the plan's preparation: it measures the weights that the wanted ranges
// rest on, and computes the ranges. It runs once, when the weights are loaded.
func (c *compiler) prepare() error {
	if len(c.ranges.wanted) == 0 {
		return nil
	}
	g := ir.NewGraph("prepare", sym.Bounds{TMin: 1, TMax: 1, PMax: 0, SMax: 1})
	e := &entry{c: c, name: "prepare", role: plan.Prepare, g: g, values: map[*ir.Value]tensor{}}
	numbers, err := c.share(sharing{sharedConst, c.unique("prepare.numbers")}, plan.Constant, ir.TypeOf(dtype.F32, sym.Const(1)), sym.Bounds{})
	if err != nil {
		return err
	}
	p := &preparation{entry: e, measures: map[measure]*kernel{}, measured: map[leaf]stretch{}, largest: map[string]stretch{}, numbers: numbers}
	c.rangeStates()
	buffer := c.rangeBuffer()
	buffer.resize(int64(len(c.ranges.wanted)+1) * plan.RangeBytes)
	c.store(buffer)
	for _, op := range []boundOp{boundRow, boundLargest} { // what measures rows finds the largest elements, too
		for _, w := range c.ranges.wanted {
			if err := p.measure(w.bound, op); err != nil {
				return fmt.Errorf("%s: %w", w.label, err)
			}
		}
	}
	for _, w := range c.ranges.wanted {
		if err := p.compute(w, buffer); err != nil {
			return fmt.Errorf("%s: %w", w.label, err)
		}
	}
	numbers.resize(4 * int64(len(numbers.values)))
	c.store(numbers)
	if err := e.allocate(); err != nil {
		return err
	}
	out := e.emit(nil)
	out.Modelled = nil
	c.plan.Prepare = &out
	return nil
}

// rangeStates tells of scaled states in which range their content is.
func (c *compiler) rangeStates() {
	for i := range c.plan.Buffers {
		b := &c.plan.Buffers[i]
		if bound := ranged(c.states[b.Name]); b.Class == plan.State && b.DType == dtype.F16 && bound != nil {
			if w := c.ranges.of(bound); w != nil {
				b.Range = w.at
			}
		}
	}
}

// preparation is the plan's preparation in the making. First all that measures runs, then
// all that computes: each of a few kernels, which are the same for all layers.
type preparation struct {
	*entry
	measures map[measure]*kernel
	computes []compute
	found    *storage           // findings of the threadgroups of weights, two floats each, one weight behind the other
	measured map[leaf]stretch   // the part of a weight that a leaf is found in
	largest  map[string]stretch // one of those, by weight
	numbers  *storage
}

// measure is what tells kernels apart that measure weights.
type measure struct {
	dtype  dtype.Type
	planes bool
	cols   int64
	times  bool
}

// compute is a kernel that computes a range from terms of so many leaves.
type compute struct {
	leaves []int
	k      *kernel
}

const measuredBytes = 2 * 4 * choice.MeasureGroups

// weight is the storage of a weight, which any of the entries may have.
func (p *preparation) weight(v *ir.Value) *storage {
	return p.c.shared[sharing{sharedWeight, v.Param.Name}]
}

// measure dispatches what finds the leaves of b that are op, each once.
func (p *preparation) measure(b *bound, op boundOp) error {
	for _, a := range b.args {
		if err := p.measure(a, op); err != nil {
			return err
		}
	}
	if b.op != op {
		return nil
	}
	key := b.leaf()
	if p.measured[key].s != nil {
		return nil
	}
	if known := p.largest[b.of.Param.Name]; op == boundLargest && known.s != nil {
		p.measured[key] = known
		return nil
	}
	t, weight := b.of.Type, p.weight(b.of)
	cols, rows := t.Shape.At(-1).C, int64(1)
	for _, d := range t.Shape.Slice()[:t.Shape.Rank-1] {
		rows *= d.C
	}
	f, ok := formatIn(t, weight.planes)
	if !ok {
		return fmt.Errorf("no kernel measures weights of %s", t.DType)
	}
	name, bind := fmt.Sprintf("measure_%d_%s", cols, f.name), []stretch{whole(weight), p.number(float64(rows))}
	if b.gamma != nil {
		name += "_times"
		bind = append(bind, whole(p.weight(b.gamma)))
	}
	of := measure{t.DType, weight.planes, cols, b.gamma != nil}
	k := p.measures[of]
	if k == nil {
		k = measuring(name, f, t.DType, cols, b.gamma != nil)
		p.measures[of] = k
	}
	to := p.room()
	p.measured[key], p.largest[b.of.Param.Name] = to, to
	return p.add(k, 0, "measure."+b.of.Param.Name, append(bind, to))
}

// room returns the place of what one more weight's threadgroups find.
func (p *preparation) room() stretch {
	if p.found == nil {
		p.found = p.transient("measured", ir.TypeOf(dtype.F32, sym.Const(0)))
		p.found.name, p.found.last = p.c.unique(p.found.name), 1
	}
	at := p.found.bytes
	p.found.resize(at + measuredBytes)
	return stretch{s: p.found, offset: at, bytes: measuredBytes}
}

// measuring is the kernel that measures weights of cols columns, with the vector that
// rows are multiplied by or without.
func measuring(name string, f format, t dtype.Type, cols int64, times bool) *kernel {
	k := newKernel(name, identity{main: plan.WeightSizes})
	simds := choice.Measure{}.Simdgroups()
	k.threads = choice.Measure{}.Threads()
	k.grid[0].N = sym.Const(choice.MeasureGroups)
	k.param("K", int(cols))
	k.use(append(f.files(), "main/measure.metal")...)
	k.builtin(plan.ThreadgroupPosition)
	k.builtin(plan.SimdgroupIndex)
	k.builtin(plan.LaneIndex)
	k.ready()
	w := k.slot(ref{kind: refScratch, index: 0}, "weight", pointee(t), plan.Read)
	count := k.slot(ref{kind: refScratch, index: 1}, "rows", "float", plan.Read)
	gamma := msl.Name("measure_plain").Make()
	if times {
		gamma = msl.Name("measure_times").Make(k.slot(ref{kind: refScratch, index: 2}, "gamma", "float", plan.Read))
	}
	out := k.slot(ref{kind: refScratch, index: 3}, "measured", "float", plan.Write)
	shared := k.threadgroup("shared", "float", 8*simds)
	measure := msl.Of("measure_rows", f.reader(f.Width(cols)), u(cols), u(simds))
	most := k.let(constFloat2, "most", measure.Call(w.Cast("device const uchar *"), u(f.rowBytes(t, cols)), msl.Call("uint", count.At(msl.Int(0))),
		gamma, groupX, u(choice.MeasureGroups), shared, simd, lane))
	k.when(firstThread, func() {
		at := u(2).Mul(groupX)
		k.add(msl.Set(out.At(at), most.Dot("x")), msl.Set(out.At(at.Add(u(1))), most.Dot("y")))
	})
	return k
}

// compute dispatches what computes a range: its kernel is that of all bounds with as
// many factors in as many terms.
func (p *preparation) compute(w wanted, buffer *storage) error {
	var leaves []int // of each term
	var bind []stretch
	for _, t := range w.bound.products() {
		bind = append(bind, p.number(t.number))
		for _, factor := range t.leaves {
			from := p.measured[factor.leaf()]
			if factor.op == boundRow {
				from.offset, from.bytes = from.offset+4, from.bytes-4
			}
			bind = append(bind, from)
		}
		leaves = append(leaves, len(t.leaves))
	}
	i := slices.IndexFunc(p.computes, func(c compute) bool { return slices.Equal(c.leaves, leaves) })
	if i < 0 {
		i = len(p.computes)
		p.computes = append(p.computes, compute{leaves, computing(leaves)})
	}
	return p.add(p.computes[i].k, 1, "range."+w.label, append(bind, stretch{s: buffer, offset: w.at, bytes: plan.RangeBytes}))
}

// computing is the kernel that computes a range from a bound of terms with so many
// measured factors each.
func computing(leaves []int) *kernel {
	k := newKernel("make_range", identity{main: plan.RangeFromBounds})
	k.threads = 32
	k.use("common/range.metal", "main/range.metal")
	k.builtin(plan.LaneIndex)
	k.ready()
	slot := func(base string, access plan.Access) *msl.Value {
		return k.slot(ref{kind: refScratch, index: len(k.slots)}, base, "float", access)
	}
	var bound *msl.Value
	for _, n := range leaves {
		term := slot("number", plan.Read).At(msl.Int(0))
		for range n {
			name := k.fresh("most")
			most := msl.Of("range_measured", u(choice.MeasureGroups)).Call(slot("measured", plan.Read), lane)
			term = term.Mul(k.let(constFloat, name, most))
		}
		bound = sum(bound, term)
	}
	down := k.let(constFloat, "down", msl.Call("range_down", bound))
	out := slot("range", plan.Write)
	k.when(lane.Equal(u(0)), func() {
		k.add(msl.Set(out.At(msl.Int(0)), down), msl.Set(out.At(msl.Int(1)), msl.Call("range_up", down)))
	})
	return k
}

// number returns the place of a number that kernels of the preparation read.
func (p *preparation) number(n float64) stretch {
	i := slices.Index(p.numbers.values, float32(n))
	if i < 0 {
		i = len(p.numbers.values)
		p.numbers.values = append(p.numbers.values, float32(n))
	}
	return stretch{s: p.numbers, offset: 4 * int64(i), bytes: 4}
}

// stretch is bytes of a storage from an offset on, all of them where bytes is 0.
type stretch struct {
	s             *storage
	offset, bytes int64
}

func whole(s *storage) stretch { return stretch{s: s} }

// add dispatches k in a wave over places, one a slot.
func (p *preparation) add(k *kernel, wave int, label string, places []stretch) error {
	index, err := p.c.kernelIndex(k)
	if err != nil {
		return err
	}
	d := &dispatch{Dispatch: plan.Dispatch{Kernel: index, Label: label, Layer: -1, Grid: k.grid, Nodes: []plan.Node{}}, level: wave}
	for i, at := range places {
		b := plan.Binding{Offset: at.offset, Bytes: at.bytes, Access: k.slots[i].Access}
		if b.Bytes == 0 {
			b.Bytes = at.s.bytes - at.offset
		}
		d.Moved.C += b.Bytes
		d.bind, d.Bind = append(d.bind, at.s), append(d.Bind, b)
	}
	p.dispatches = append(p.dispatches, d)
	return nil
}
