package metal

import (
	"fmt"
	"slices"
	"strings"

	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/sym"
	"foundry/lower/plan"
)

// measuring is how the preparation reads a weight: in so many threadgroups, which leave
// two numbers each.
const (
	measureSIMDs  = 8
	measureGroups = 64
)

// prepare writes the plan's preparation: it measures the weights that the wanted ranges
// rest on, and computes the ranges. It runs once, when the weights are loaded.
func (c *compiler) prepare() error {
	if len(c.ranges.wanted) == 0 {
		return nil
	}
	g := ir.NewGraph("prepare", sym.Bounds{TMin: 1, TMax: 1, PMax: 0, SMax: 1})
	e := &entry{c: c, name: "prepare", role: plan.Prepare, g: g, values: map[*ir.Value]tensor{}}
	numbers, err := c.share("const", c.unique("prepare.numbers"), plan.Constant, ir.TypeOf(dtype.F32, sym.Const(1)), sym.Bounds{})
	if err != nil {
		return err
	}
	p := &preparation{entry: e, measured: map[string]*storage{}, largest: map[string]*storage{}, numbers: numbers}
	c.rangeStates()
	buffer := c.rangeBuffer()
	buffer.bytes = int64(len(c.ranges.wanted)+1) * plan.RangeBytes
	buffer.shape = ir.ShapeOf(sym.Const(buffer.bytes / 4))
	c.store(buffer)
	for _, op := range []boundOp{boundRow, boundLargest} { // what measures rows finds the largest elements, too
		for _, w := range c.ranges.wanted {
			if err := p.measure(w.bound, op, w.in); err != nil {
				return fmt.Errorf("%s: %w", w.label, err)
			}
		}
	}
	for _, w := range c.ranges.wanted {
		if err := p.compute(w, buffer); err != nil {
			return fmt.Errorf("%s: %w", w.label, err)
		}
	}
	numbers.bytes, numbers.shape = 4*int64(len(numbers.values)), ir.ShapeOf(sym.Const(int64(len(numbers.values))))
	c.store(numbers)
	for _, s := range e.transients {
		s.name = c.unique(s.name)
	}
	e.order()
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
			b.Range = c.ranges.places[bound.key]
		}
	}
}

// preparation is the plan's preparation in the making.
type preparation struct {
	*entry
	measured map[string]*storage // what the threadgroups of a weight found, two floats each, by bound
	largest  map[string]*storage // one of those, by weight
	numbers  *storage
}

// measure dispatches what finds the leaves of b that are op, each once. Weights have
// their storage in the entry that b was found in.
func (p *preparation) measure(b *bound, op boundOp, in *entry) error {
	for _, a := range b.args {
		if err := p.measure(a, op, in); err != nil {
			return err
		}
	}
	if b.op != op || p.measured[b.key] != nil {
		return nil
	}
	if known := p.largest[b.of.Param.Name]; op == boundLargest && known != nil {
		p.measured[b.key] = known
		return nil
	}
	t, weight := b.of.Type, in.values[b.of].s
	cols, rows := t.Shape.At(-1).C, int64(1)
	for _, d := range t.Shape.Slice()[:t.Shape.Rank-1] {
		rows *= d.C
	}
	f, ok := formatIn(t, weight.planes)
	if !ok {
		return fmt.Errorf("no kernel measures weights of %s", t.DType)
	}
	k := newKernel(fmt.Sprintf("measure_%d_%s", cols, f.name), about{main: plan.WeightSizes})
	k.threads = measureSIMDs * 32
	k.grid[0].N = sym.Const(measureGroups)
	k.param("K", int(cols))
	k.use(append(f.files(), "main/measure.metal")...)
	k.builtin(plan.ThreadgroupPosition)
	k.builtin(plan.SimdgroupIndex)
	k.builtin(plan.LaneIndex)
	k.ready()
	var bind []stretch
	w := k.slot(ref{kind: refScratch, index: 0}, "weight", pointee(t.DType), plan.Read)
	bind = append(bind, whole(weight))
	count := k.slot(ref{kind: refScratch, index: 1}, "rows", "float", plan.Read)
	bind = append(bind, p.number(float64(rows)))
	gamma := "measure_plain{}"
	if b.gamma != nil {
		gamma = "measure_times{" + k.slot(ref{kind: refScratch, index: 2}, "gamma", "float", plan.Read) + "}"
		bind = append(bind, whole(in.values[b.gamma].s))
		k.name += "_times"
	}
	to := p.transient(b.of.Param.Name, ir.TypeOf(dtype.F32, sym.Const(2*measureGroups)))
	out := k.slot(ref{kind: refScratch, index: 3}, "measured", "float", plan.Write)
	bind = append(bind, whole(to))
	shared := k.threadgroup("shared", "float", 8*measureSIMDs)
	k.line("const float2 most = measure_rows<%s, %du, %du>((device const uchar *)%s, %du, uint(%s[0]), %s, group.x, %du, %s, simd, lane);",
		f.reader(f.Width(cols)), cols, measureSIMDs, w, f.rowBytes(t.DType, cols), count, gamma, measureGroups, shared)
	k.open("if (simd == 0u && lane == 0u)")
	k.line("%s[2u * group.x] = most.x;", out)
	k.line("%s[2u * group.x + 1u] = most.y;", out)
	k.close()
	p.measured[b.key], p.largest[b.of.Param.Name] = to, to
	return p.add(k, "measure."+b.of.Param.Name, bind)
}

// compute dispatches what computes a range: its kernel is that of all bounds with as
// many factors in as many terms.
func (p *preparation) compute(w wanted, buffer *storage) error {
	k := newKernel("make_range", about{main: plan.RangeFromBounds})
	k.threads = 32
	k.use("common/range.metal", "main/range.metal")
	k.builtin(plan.LaneIndex)
	k.ready()
	var bind []stretch
	slot := func(base string, access plan.Access, to stretch) string {
		bind = append(bind, to)
		return k.slot(ref{kind: refScratch, index: len(bind)}, base, "float", access)
	}
	var terms []string
	for _, t := range w.bound.products() {
		term := slot("number", plan.Read, p.number(t.number)) + "[0]"
		for _, leaf := range t.leaves {
			from := whole(p.measured[leaf.key])
			if leaf.op == boundRow {
				from.offset = 4
			}
			most := k.fresh("most")
			k.line("const float %s = range_measured<%du>(%s, lane);", most, measureGroups, slot("measured", plan.Read, from))
			term += " * " + most
		}
		terms = append(terms, term)
	}
	k.line("const float down = range_down(%s);", strings.Join(terms, " + "))
	out := slot("range", plan.Write, stretch{s: buffer, offset: w.at, bytes: plan.RangeBytes})
	k.open("if (lane == 0u)")
	k.line("%s[0] = down;", out)
	k.line("%s[1] = range_up(down);", out)
	k.close()
	return p.add(k, "range."+w.label, bind)
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

// add dispatches k over places, one a slot.
func (p *preparation) add(k *kernel, label string, places []stretch) error {
	index, err := p.c.place(k)
	if err != nil {
		return err
	}
	d := &dispatch{Dispatch: plan.Dispatch{Kernel: index, Label: label, Layer: -1, Grid: k.grid, Nodes: []plan.Node{}}}
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
