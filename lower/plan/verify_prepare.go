package plan

import (
	"errors"
	"fmt"

	"foundry/ir/dtype"
)

// verifyPrepare checks the preparation: it writes all that is prepared, and it alone;
// since it runs once for all sessions, nothing that they own takes part. byEntries says
// which buffers entries write.
func (p *Plan) verifyPrepare(byEntries []bool) error {
	written := make([]bool, len(p.Buffers))
	if e := p.Prepare; e != nil {
		if e.Name != "prepare" || e.Role != Prepare || e.TMin != 1 || e.TMax != 1 {
			return fmt.Errorf("the preparation is named %q, of role %q, T from %d to %d; want prepare and 1", e.Name, e.Role, e.TMin, e.TMax)
		}
		if e.PMax != 0 {
			return fmt.Errorf("entry prepare: p_max %d, which only entries of role decode and T = 1 have", e.PMax)
		}
		if err := p.verifyEntry(e, written); err != nil {
			return fmt.Errorf("entry prepare: %w", err)
		}
		for i := range e.Steps {
			d := e.Steps[i].Dispatch
			if d == nil {
				continue
			}
			for _, g := range d.Grid {
				if !g.N.IsConst() {
					return fmt.Errorf("entry prepare: dispatch %q has a grid of %s, but no tokens that it could depend on", d.Label, g.N)
				}
			}
			for _, b := range d.Bind {
				if buf := &p.Buffers[b.Buffer]; buf.Class == Input || buf.Class == Output || buf.Class == State {
					return fmt.Errorf("entry prepare: dispatch %q binds the %s %s, which sessions own", d.Label, buf.Class, buf.Name)
				}
			}
		}
	}
	for i := range p.Buffers {
		b := &p.Buffers[i]
		switch {
		case b.Class != Prepared:
		case !written[i]:
			return fmt.Errorf("prepared %s: the preparation does not write it", b.Name)
		case byEntries[i]:
			return fmt.Errorf("prepared %s: an entry writes it", b.Name)
		}
	}
	return nil
}

// verifyRange checks that b's range lies among the prepared ones.
func (p *Plan) verifyRange(b *Buffer) error {
	if b.Class != State || b.DType != dtype.F16 {
		return fmt.Errorf("a range of %s of class %s, want of an f16 state", b.DType, b.Class)
	}
	r := p.BufferFor(RangesBuffer)
	switch {
	case r < 0:
		return errors.New("a range, but no prepared buffer ranges")
	case b.Range < RangeBytes || b.Range%RangeBytes != 0 || b.Range > p.Buffers[r].Bytes-RangeBytes:
		return fmt.Errorf("the range at byte %d of ranges, which has %d", b.Range, p.Buffers[r].Bytes)
	}
	return nil
}
