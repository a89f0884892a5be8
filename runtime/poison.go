package runtime

import (
	"bytes"
	"cmp"
	"slices"
	"testing"
)

// PoisonArena fills with NaN, of floats of any width, what a run may not take from the
// one before: a kernel that reads what none of its run has written shows. Fresh memory
// is zero and old results are plausible, so both would hide it.
func (in *Instance) PoisonArena() error {
	if err := in.idle(); err != nil {
		return err
	}
	return poisonAll(in.arena)
}

// poisonsInTests reports whether walks on a device do as PoisonArena before each run: in
// tests of every package, but for a Metal GPU, which writes its memory by commands that
// tests of faults count. A walk that is recorded runs beside the host, which keeps off its
// memory.
func poisonsInTests(d Device) bool { return testing.Testing() && d.Info().Kind != "metal" }

func poisonAll(m Memory) error {
	if m == nil {
		return nil
	}
	return poison(m, []stretch{{0, m.Bytes()}})
}

// stretch is the bytes of an arena from one offset up to another.
type stretch struct{ from, to int64 }

// around is how far behind a buffer, and before it, a walk's poison reaches: what a kernel
// reads next to its operands is no result that looks right.
const around = 4 << 10

// poisoned are the stretches of the arena that a walk's launches are bound to, with what
// lies around them, in order. An arena holds what all of a plan's entries need, and most
// walks touch a small part of it.
func (w *walk) poisoned() []stretch {
	var bound []stretch
	for _, l := range w.launches {
		for _, o := range l.Bind {
			if o.Memory == w.arena {
				bound = append(bound, stretch{max(0, o.Offset-around), min(w.arena.Bytes(), o.Offset+o.Bytes+around)})
			}
		}
	}
	slices.SortFunc(bound, func(a, b stretch) int { return cmp.Compare(a.from, b.from) })
	var out []stretch
	for _, s := range bound {
		if n := len(out); n > 0 && s.from <= out[n-1].to {
			out[n-1].to = max(out[n-1].to, s.to)
			continue
		}
		out = append(out, s)
	}
	return out
}

func poison(m Memory, stretches []stretch) error {
	longest := int64(0)
	for _, s := range stretches {
		longest = max(longest, s.to-s.from)
	}
	nan := bytes.Repeat([]byte{0xff}, int(min(longest, 1<<16)))
	for _, s := range stretches {
		for at := s.from; at < s.to; at += int64(len(nan)) {
			if err := m.Write(at, nan[:min(int64(len(nan)), s.to-at)]); err != nil {
				return err
			}
		}
	}
	return nil
}
