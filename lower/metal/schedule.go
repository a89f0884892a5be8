package metal

import (
	"math"
	"slices"

	"foundry/ir/cost"
	"foundry/lower/plan"
)

// access is what the dispatches seen so far did to a storage.
type access struct {
	writers, readers []int // since the last write that covered what was before
}

// order puts the dispatches into waves. A dispatch stands one wave after the last
// one it must follow: a writer of what it reads, a reader or writer of what it
// writes. Within a wave the graph's order stays. Waves count for what a barrier
// costs; which dispatches of one wave run at the same time is the device's matter.
func (e *entry) order() {
	seen := map[*storage]*access{}
	for i, d := range e.dispatches {
		for j, s := range d.bind {
			a := seen[s]
			if a == nil {
				a = &access{}
				seen[s] = a
			}
			b := d.Bind[j]
			for _, w := range a.writers {
				if w != i && e.meets(w, s, b) {
					d.level = max(d.level, e.dispatches[w].level+1)
				}
			}
			if b.Access.Writes() {
				for _, r := range a.readers {
					if r != i && e.meets(r, s, b) {
						d.level = max(d.level, e.dispatches[r].level+1)
					}
				}
				a.writers = append(a.writers, i)
			}
			if b.Access.Reads() {
				a.readers = append(a.readers, i)
			}
		}
	}
	e.holdBack(seen)
	slices.SortStableFunc(e.dispatches, func(a, b *dispatch) int { return a.level - b.level })
	for _, d := range e.dispatches {
		for j, s := range d.bind {
			if s.class != plan.Transient {
				continue
			}
			if d.Bind[j].Access.Writes() && s.readers == nil {
				s.first, s.readers = d.level, map[int]int{}
			}
			if d.Bind[j].Access.Reads() {
				s.readers[d.level]++
			}
			s.last = max(s.last, d.level, s.first)
		}
	}
	for _, d := range e.dispatches {
		for _, pair := range d.inPlace {
			result, operand := pair[0], pair[1]
			if result.class == plan.Transient && operand.class == plan.Transient && result != operand && result.inside == nil &&
				result.bytes == operand.bytes && operand.last == d.level && operand.readers[d.level] == 1 {
				result.inside = operand
				operand.last = max(operand.last, result.last)
				break
			}
		}
	}
}

// mostAhead is how many waves before their reader dispatches stand that wait for nothing:
// what they write takes memory meanwhile.
const mostAhead = 4

// holdBack moves the dispatches that wait for nothing beside the most work of the waves
// right before the first that reads what they write: they move bytes while that computes.
func (e *entry) holdBack(seen map[*storage]*access) {
	typical := cost.Typical(e.g.Bounds)
	work := map[int]int64{} // of the others, by wave
	for _, d := range e.dispatches {
		if !d.ahead {
			work[d.level] += d.Flops.Eval(typical)
		}
	}
	for i, d := range e.dispatches {
		first := math.MaxInt
		for j, s := range d.bind {
			if !d.ahead || !d.Bind[j].Access.Writes() {
				continue
			}
			for _, r := range seen[s].readers {
				if r != i {
					first = min(first, e.dispatches[r].level)
				}
			}
		}
		if first == math.MaxInt {
			continue
		}
		d.level = first - 1
		for level := first - 2; level >= max(0, first-mostAhead); level-- {
			if work[level] > work[d.level] {
				d.level = level
			}
		}
	}
}

// meets reports whether dispatch i touches bytes of s that b does too.
func (e *entry) meets(i int, s *storage, b plan.Binding) bool {
	d := e.dispatches[i]
	for j, t := range d.bind {
		if t == s && d.Bind[j].Offset < b.Offset+b.Bytes && b.Offset < d.Bind[j].Offset+d.Bind[j].Bytes {
			return true
		}
	}
	return false
}

// commandBuffers cuts steps into buffers of about equally many dispatches: as many
// as are asked for, or as the cost model finds best between the host's encoding,
// which overlaps the device's work from the second buffer on, and what each border
// costs the device. It returns what the model says of the number taken, and of one.
func (e *entry) commandBuffers(steps []plan.Step) ([]plan.CommandBuffer, *plan.Modelled) {
	t, typical := e.c.o.Target, cost.Typical(e.g.Bounds)
	waves := cost.Waves(e.g.Nodes(), nil, cost.Run{Target: t, Choices: e.c.o.Choices, Bounds: e.g.Bounds, Env: typical, Stored: e.stored}.Kernels)
	n := e.c.o.CommandBuffers
	if n == 0 {
		_, n = cost.Total(waves, t, 0)
	}
	n = max(1, min(n, len(e.dispatches)))
	m := &plan.Modelled{T: typical.T, P: typical.P}
	for _, w := range waves {
		m.DeviceUs += cost.Wave(w, t)
		m.EncodeUs += float64(len(w)) * t.EncodeUs
	}
	m.Us, _ = cost.Total(waves, t, n)
	m.OneBufferUs, _ = cost.Total(waves, t, 1)
	if e.role == plan.Decode {
		m.ChainedUs = cost.ChainedUs(m.DeviceUs, m.EncodeUs, t, e.chain(m))
	}
	for _, us := range []*float64{&m.DeviceUs, &m.EncodeUs, &m.Us, &m.OneBufferUs, &m.ChainedUs} {
		*us = math.Round(10**us) / 10 // the same on machines whose last bits differ
	}
	return cut(steps, n, len(e.dispatches)), m
}

// chain is how many runs of the entry a command buffer holds.
func (e *entry) chain(m *plan.Modelled) int {
	if e.role != plan.Decode {
		return 1
	}
	if n := e.c.o.Chain; n > 0 {
		return n
	}
	return cost.Chain(m.DeviceUs, m.EncodeUs, e.c.o.Target)
}

// cut makes n command buffers of steps with so many dispatches.
func cut(steps []plan.Step, n, dispatches int) []plan.CommandBuffer {
	var out []plan.CommandBuffer
	first, done := 0, 0
	for i, s := range steps {
		if s.Dispatch == nil {
			continue
		}
		if done++; done*n >= dispatches*(len(out)+1) && len(out) < n-1 {
			out = append(out, plan.CommandBuffer{First: first, Last: i + 1})
			first = i + 1
		}
	}
	return append(out, plan.CommandBuffer{First: first, Last: len(steps)})
}

// emit returns the entry with its steps: dispatches in order with barriers between.
func (e *entry) emit(results []plan.Result) plan.Entry {
	out := plan.Entry{Name: e.name, Role: e.role, TMin: e.g.Bounds.TMin, TMax: e.g.Bounds.TMax, Results: results}
	if e.role == plan.Decode && e.g.Bounds.SMax < int64(e.c.o.Model.Context) {
		out.PMax = e.g.Bounds.PMax
	}
	for _, s := range e.transients {
		s.index = len(e.c.plan.Buffers)
		e.c.plan.Buffers = append(e.c.plan.Buffers, plan.Buffer{})
		e.c.store(s)
	}
	ds := make([]*plan.Dispatch, len(e.dispatches))
	places := make([][]span, len(e.dispatches))
	for i, d := range e.dispatches {
		for j, s := range d.bind {
			d.Bind[j].Buffer = s.index
			places[i] = append(places[i], spanOf(s, d.Bind[j]))
		}
		ds[i] = &d.Dispatch
	}
	wave := 0
	barriers := fewestBarriers(places)
	for i, d := range ds {
		if barriers[i] {
			out.Steps = append(out.Steps, plan.Step{Barrier: true})
			wave++
		}
		d.Wave = wave
		out.Steps = append(out.Steps, plan.Step{Dispatch: d})
	}
	out.CommandBuffers, out.Modelled = e.commandBuffers(out.Steps)
	if n := e.chain(out.Modelled); n > 1 {
		out.Chain = n
	}
	return out
}
