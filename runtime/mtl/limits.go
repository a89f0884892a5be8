package mtl

import (
	"fmt"

	"foundry/ir/names"
	"foundry/lower/plan"
)

// limits are what the GPU says of itself.
type limits struct {
	name        string
	family      int64 // MTLGPUFamilyApple1 and on; 0 for a GPU of another make
	threadgroup int64 // bytes of threadgroup memory of a threadgroup
	buffer      int64 // bytes of the longest buffer
	workingSet  int64 // bytes that all memory together should stay below
}

// oldest is the first family with the simdgroup reductions and matrices of the
// kernels: the M1's. All from there on have the host's memory.
const oldest = MTLGPUFamilyApple7

// maxSlots is how many buffers Metal binds.
const maxSlots = plan.MaxSlots

func (d *Device) readLimits() limits {
	b := d.b
	l := limits{
		name:        b.goString(b.deviceName.Call(d.dev, b.deviceName.Sel)),
		threadgroup: int64(b.maxThreadgroup.Call(d.dev, b.maxThreadgroup.Sel)),
		buffer:      int64(b.maxBuffer.Call(d.dev, b.maxBuffer.Sel)),
		workingSet:  int64(b.workingSet.Call(d.dev, b.workingSet.Sel)),
	}
	for f := int64(MTLGPUFamilyApple9); f >= MTLGPUFamilyApple1 && l.family == 0; f-- {
		if b.supportsFamily.Call(d.dev, b.supportsFamily.Sel, f) {
			l.family = f
		}
	}
	return l
}

func (l *limits) familyName() string {
	if l.family == 0 {
		return "no family of Apple's"
	}
	return fmt.Sprintf("family Apple%d", l.family-MTLGPUFamilyApple1+1)
}

// note is for `foundry devices`.
func (l *limits) note() string {
	return fmt.Sprintf("%s, %s of memory for it, buffers up to %s, threadgroup memory %d bytes",
		l.familyName(), names.Bytes(l.workingSet), names.Bytes(l.buffer), l.threadgroup)
}

// checkUsable is an error for a GPU that cannot run the kernels of any plan.
func (l *limits) checkUsable() error {
	if l.family < oldest {
		return fmt.Errorf("metal: %s is of %s; kernels need Apple%d (M1) or later, for its simdgroup matrices: take --device cpu",
			l.name, l.familyName(), oldest-MTLGPUFamilyApple1+1)
	}
	return nil
}

// checkLength is an error for a buffer that is longer than the GPU's longest.
func (l *limits) checkLength(bytes int64) error {
	if bytes > l.buffer {
		return fmt.Errorf("metal: a buffer of %s is wanted, the longest of %s is %s; take a smaller --context or quantised --weights",
			names.Bytes(bytes), l.name, names.Bytes(l.buffer))
	}
	return nil
}

// check looks at a plan before anything of it is compiled. What a pipeline allows
// is known only when it is made; what all memory together needs, the executor
// compares with the device's Info.
func (l *limits) check(p *plan.Plan) error {
	for i := range p.Kernels {
		k := &p.Kernels[i]
		total := 0
		for _, t := range k.Threadgroup {
			total += t.Bytes
		}
		if len(k.Slots) > maxSlots {
			return fmt.Errorf("metal: kernel %s has %d buffers, Metal binds %d", k.Name, len(k.Slots), maxSlots)
		}
		if int64(total) > l.threadgroup {
			return fmt.Errorf("metal: kernel %s wants %d bytes of threadgroup memory, %s has %d; the plan was compiled for %s: compile it for this GPU",
				k.Name, total, l.name, l.threadgroup, p.Options.Target)
		}
	}
	if err := l.checkLength(p.ArenaBytes); err != nil {
		return err
	}
	for i := range p.Buffers {
		if err := l.checkLength(p.Buffers[i].Bytes); err != nil {
			return fmt.Errorf("buffer %s: %w", p.Buffers[i].Name, err)
		}
	}
	return nil
}
