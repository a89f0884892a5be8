package plan

import (
	"cmp"
	"fmt"
	"slices"
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
	Buffer        string // that the second binds
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
	for i := range p.Entries {
		waves, barriers := p.waves(&p.Entries[i])
		if err := p.checkWaves(&p.Entries[i], waves, barriers); err != nil {
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
			space, lo, _ := p.place(b)
			wave = append(wave, touch{space, lo, lo + b.Bytes, i, j, b.Access})
		}
	}
	return append(waves, wave), barriers
}

func (p *Plan) checkWaves(e *Entry, waves [][]touch, barriers []int) error {
	for _, w := range waves {
		if a, b, found := firstConflict(w, -1); found {
			return p.hazard(e, a, b)
		}
	}
	for i, step := range barriers {
		if _, _, found := firstConflict(slices.Concat(waves[i], waves[i+1]), step); !found {
			return &RedundantBarrier{e.Name, step, e.labelBefore(step), e.labelAfter(step)}
		}
	}
	return nil
}

// firstConflict returns the conflicting pair a before b with the least steps, of
// those with across between them where across is not negative.
func firstConflict(touches []touch, across int) (a, b touch, found bool) {
	sorted := slices.Clone(touches)
	slices.SortFunc(sorted, func(a, b touch) int {
		return cmp.Or(cmp.Compare(a.space, b.space), cmp.Compare(a.lo, b.lo),
			cmp.Compare(a.step, b.step), cmp.Compare(a.bind, b.bind))
	})
	var open []touch // ranges that reach beyond the address of the sweep
	for _, t := range sorted {
		open = slices.DeleteFunc(open, func(o touch) bool { return o.space != t.space || o.hi <= t.lo })
		for _, o := range open {
			x, y := o, t
			if x.step > y.step {
				x, y = y, x
			}
			if x.step == y.step || !x.access.Writes() && !y.access.Writes() ||
				across >= 0 && (x.step > across || y.step < across) {
				continue
			}
			if !found || cmp.Or(cmp.Compare(x.step, a.step), cmp.Compare(y.step, b.step)) < 0 {
				a, b, found = x, y, true
			}
		}
		open = append(open, t)
	}
	return a, b, found
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
