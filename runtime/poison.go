package runtime

import (
	"bytes"
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
	stretch := bytes.Repeat([]byte{0xff}, int(min(m.Bytes(), 1<<16)))
	for at := int64(0); at < m.Bytes(); at += int64(len(stretch)) {
		if err := m.Write(at, stretch[:min(int64(len(stretch)), m.Bytes()-at)]); err != nil {
			return err
		}
	}
	return nil
}
