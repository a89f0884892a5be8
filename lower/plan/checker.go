package plan

import (
	"cmp"
	"fmt"
	"slices"
	"sort"
)

// Hazard is a conflict of two dispatches on the same bytes, at least one of
// them writing, with no barrier between. A boundary between command buffers
// does not count as one.
type Hazard struct {
	Entry         string
	Kind          string // RAW: the second reads what the first writes | WAR | WAW
	First, Second string // labels of the dispatches
	FirstStep     int
	SecondStep    int
	Buffer        string // the buffer that the second binds
	Lo, Hi        int64  // bytes of Buffer
}

func (h *Hazard) Error() string {
	return fmt.Sprintf("entry %s: %s hazard: dispatch %q (step %d) and dispatch %q (step %d) meet on bytes %d to %d of %s with no barrier between",
		h.Entry, h.Kind, h.First, h.FirstStep, h.Second, h.SecondStep, h.Lo, h.Hi, h.Buffer)
}

// RedundantBarrier is a barrier without which every conflicting pair would still
// be separated by another.
type RedundantBarrier struct {
	Entry         string
	Step          int
	Before, After string // labels of the dispatches next to it, "" for none
}

func (r *RedundantBarrier) Error() string {
	return fmt.Sprintf("entry %s: the barrier at step %d, between dispatch %q and dispatch %q, separates no conflicting pair",
		r.Entry, r.Step, r.Before, r.After)
}

// CheckHazards proves, from the byte ranges of the bindings alone, that in each
// entry every two dispatches that touch a byte, one of them writing, have a
// barrier between, and that no barrier can be left out. The error is the first
// *Hazard, or else the first *RedundantBarrier. The plan must have passed Verify.
//
// Two dispatches of one wave have no barrier between and any two others have, so
// a hazard is an overlap within a wave. Without the barrier between waves w and
// w+1 exactly the pairs of those two waves lose their separation, so a barrier is
// needed when an overlap lies across them. Both are found by sweeping each
// wave's accesses in address order.
func (p *Plan) CheckHazards() error {
	for _, e := range p.Runs() {
		waves, barriers := p.waves(e)
		if err := p.checkWaves(e, waves, barriers); err != nil {
			return err
		}
	}
	return nil
}

// touch is one binding of one dispatch, as a range of an address space.
type touch struct {
	space  int
	lo, hi int64
	step   int
	bind   int
	access Access
}

// waves returns the touches between barriers, and the steps of the barriers:
// one fewer than waves.
func (p *Plan) waves(e *Entry) (waves [][]touch, barriers []int) {
	var wave []touch
	for i := range e.Steps {
		d := e.Steps[i].Dispatch
		if d == nil {
			waves, barriers, wave = append(waves, wave), append(barriers, i), nil
			continue
		}
		for j, b := range d.Bind {
			space, lo, _ := p.locate(b)
			wave = append(wave, touch{space, lo, lo + b.Bytes, i, j, b.Access})
		}
	}
	return append(waves, wave), barriers
}

func (p *Plan) checkWaves(e *Entry, waves [][]touch, barriers []int) error {
	for _, w := range waves {
		if a, b, found := firstConflict(w); found {
			return p.hazard(e, a, b)
		}
	}
	for i, step := range barriers { // no wave has a conflict of its own: one of both lies across
		if !anyConflict(byAddress(slices.Concat(waves[i], waves[i+1]))) {
			return &RedundantBarrier{e.Name, step, e.labelBefore(step), e.labelAfter(step)}
		}
	}
	return nil
}

func byAddress(touches []touch) []touch {
	slices.SortFunc(touches, func(a, b touch) int {
		return cmp.Or(cmp.Compare(a.space, b.space), cmp.Compare(a.lo, b.lo), cmp.Compare(a.step, b.step), cmp.Compare(a.bind, b.bind))
	})
	return touches
}

// reach holds, of touches that begin at or before the address of a sweep, the one
// that ends last, and the one that does so of all other steps.
type reach struct{ first, second touch }

func (r *reach) add(t touch) {
	switch {
	case t.hi > r.first.hi && t.step != r.first.step:
		r.first, r.second = t, r.first
	case t.hi > r.first.hi:
		r.first = t
	case t.hi > r.second.hi && t.step != r.first.step:
		r.second = t
	}
}

// beyond reports whether a touch of another step than t's reaches behind t's begin.
func (r *reach) beyond(t touch) bool {
	if r.first.step != t.step {
		return r.first.hi > t.lo
	}
	return r.second.hi > t.lo
}

// anyConflict reports whether two of the touches, which stand by address, conflict.
func anyConflict(touches []touch) bool {
	var all, writes reach
	for i, t := range touches {
		if i == 0 || touches[i-1].space != t.space {
			all, writes = reach{}, reach{} // which end before any address
		}
		if writes.beyond(t) || t.access.Writes() && all.beyond(t) {
			return true
		}
		all.add(t)
		if t.access.Writes() {
			writes.add(t)
		}
	}
	return false
}

// firstConflict returns the conflicting pair a before b with the least step of b
// and, of those, of a.
func firstConflict(touches []touch) (a, b touch, found bool) {
	sorted := byAddress(slices.Clone(touches))
	if !anyConflict(sorted) {
		return a, b, false
	}
	upTo := func(step int) []touch {
		return slices.DeleteFunc(slices.Clone(sorted), func(t touch) bool { return t.step > step })
	}
	last := touches[len(touches)-1].step // touches stand in the order of steps
	second := sort.Search(last, func(step int) bool { return anyConflict(upTo(step)) })
	for _, x := range touches {
		for _, y := range touches {
			if y.step == second && x.step < second && x.space == y.space && x.lo < y.hi && y.lo < x.hi &&
				(x.access.Writes() || y.access.Writes()) {
				return x, y, true
			}
		}
	}
	return a, b, false
}

func (p *Plan) hazard(e *Entry, a, b touch) error {
	first, second := e.Steps[a.step].Dispatch, e.Steps[b.step].Dispatch
	kind := "WAW"
	switch {
	case a.access.Writes() && b.access.Reads():
		kind = "RAW"
	case a.access.Reads() && b.access.Writes():
		kind = "WAR"
	}
	bind := second.Bind[b.bind]
	base := b.lo - bind.Offset // address of the buffer's first byte
	return &Hazard{
		Entry: e.Name, Kind: kind, First: first.Label, Second: second.Label, FirstStep: a.step, SecondStep: b.step,
		Buffer: p.Buffers[bind.Buffer].Name, Lo: max(a.lo, b.lo) - base, Hi: min(a.hi, b.hi) - base,
	}
}

func (e *Entry) labelBefore(step int) string {
	for i := step - 1; i >= 0; i-- {
		if d := e.Steps[i].Dispatch; d != nil {
			return d.Label
		}
	}
	return ""
}

func (e *Entry) labelAfter(step int) string {
	for _, s := range e.Steps[step+1:] {
		if s.Dispatch != nil {
			return s.Dispatch.Label
		}
	}
	return ""
}
