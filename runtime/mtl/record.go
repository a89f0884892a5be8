package mtl

import (
	"errors"
	"fmt"
	"unsafe"

	fruntime "foundry/runtime"
)

// Record keeps the commands of encode for many runs. With Options.Indirect they
// go into an indirect command buffer, which a run executes with one message;
// otherwise the launches are kept and each run encodes them anew.
func (g *program) Record(encode func(fruntime.Encoder) error) (fruntime.Recording, error) {
	t, err := g.record(encode)
	if err != nil {
		return nil, err
	}
	r := &recording{g: g, tape: t, sender: sender{b: g.d.b}}
	if g.d.opts.Indirect {
		if err := g.d.b.pool(r.fill); err != nil {
			return nil, errors.Join(err, r.Close())
		}
	}
	return r, nil
}

// record is what encode encodes, checked.
func (g *program) record(encode func(fruntime.Encoder) error) (*tape, error) {
	t := &tape{}
	if err := encode(t); err != nil {
		return nil, err
	}
	for _, s := range t.steps {
		if s.launch != nil {
			if _, err := g.check(s.launch); err != nil {
				return nil, err
			}
		}
	}
	return t, nil
}

// tape is an Encoder that only remembers.
type tape struct{ steps []tapeStep }

// tapeStep is a launch, or with launch nil a barrier, or a command buffer's end.
type tapeStep struct {
	launch *fruntime.Launch
	commit bool
}

func (t *tape) Dispatch(l *fruntime.Launch) error {
	c := *l
	c.Bind = append([]fruntime.Operand(nil), l.Bind...)
	t.steps = append(t.steps, tapeStep{launch: &c})
	return nil
}

func (t *tape) Barrier() error {
	t.steps = append(t.steps, tapeStep{})
	return nil
}

func (t *tape) Commit() error {
	t.steps = append(t.steps, tapeStep{commit: true})
	return nil
}

func (t *tape) Wait() error { return nil }

// recording replays a tape.
type recording struct {
	sender
	g         *program
	tape      *tape
	indirect  id
	commands  uint64
	resources []id // distinct buffers that the commands touch
	running   []fruntime.Encoder
}

// fill encodes the tape into an indirect command buffer.
func (r *recording) fill() error {
	b, dev := r.g.d.b, r.g.d.dev
	slots, groups := 0, 0
	for _, s := range r.tape.steps {
		if s.launch != nil {
			k := &r.g.kernels[s.launch.Kernel]
			slots, groups = max(slots, len(k.slots)), max(groups, len(k.threadgroup))
			r.commands++
		}
	}
	if r.commands == 0 {
		return fmt.Errorf("metal: a recording without dispatches")
	}
	desc := b.allocInit(b.MTLIndirectCommandBufferDescriptor)
	defer b.release(desc)
	b.setCommandTypes.Call(desc, b.setCommandTypes.Sel, MTLIndirectCommandTypeConcurrentDispatch)
	b.setInheritState.Call(desc, b.setInheritState.Sel, false)
	b.setInheritBuffer.Call(desc, b.setInheritBuffer.Sel, false)
	b.setMaxBuffers.Call(desc, b.setMaxBuffers.Sel, uint64(slots))
	b.setMaxGroups.Call(desc, b.setMaxGroups.Sel, uint64(groups))
	r.indirect = b.newIndirect.Call(dev, b.newIndirect.Sel, desc, r.commands, MTLResourceStorageModeShared)
	if r.indirect == 0 {
		return fmt.Errorf("metal: no memory for an indirect command buffer of %d commands", r.commands)
	}
	seen := make(map[id]bool)
	at, barrier := uint64(0), false
	for _, s := range r.tape.steps {
		if s.launch == nil {
			barrier = barrier || !s.commit
			continue
		}
		k := &r.g.kernels[s.launch.Kernel]
		c := b.indirectCommand.Call(r.indirect, b.indirectCommand.Sel, at)
		b.icbPipeline.Call(c, b.icbPipeline.Sel, k.pipeline)
		for i, o := range s.launch.Bind {
			m := o.Memory.(*memory)
			b.icbBuffer.Call(c, b.icbBuffer.Sel, m.buf, uint64(m.at+o.Offset), uint64(i))
			if !seen[m.buf] {
				seen[m.buf] = true
				r.resources = append(r.resources, m.buf)
			}
		}
		for i, n := range k.threadgroup {
			b.icbThreadgroup.Call(c, b.icbThreadgroup.Sel, n, uint64(i))
		}
		// A command's barrier holds it back until those before it are done.
		if barrier {
			b.icbBarrier.Call(c, b.icbBarrier.Sel)
			barrier = false
		}
		r.dispatch(c, b.icbDispatch.Sel, s.launch.Grid, k.threads)
		at++
	}
	return nil
}

// Run submits the recorded commands.
func (r *recording) Run() error {
	if r.indirect != 0 {
		return r.runIndirect()
	}
	var open fruntime.Encoder
	var err error
	for _, s := range r.tape.steps {
		if open == nil {
			if open, err = r.g.Begin(); err != nil {
				return err
			}
			r.running = append(r.running, open)
		}
		switch {
		case s.launch != nil:
			err = open.Dispatch(s.launch)
		case s.commit:
			err = open.Commit()
			open = nil
		default:
			err = open.Barrier()
		}
		if err != nil {
			break
		}
	}
	if open != nil { // also after an error: what is not committed cannot be waited for
		err = errors.Join(err, open.Commit())
	}
	return err
}

func (r *recording) runIndirect() error {
	b := r.g.d.b
	e, err := r.g.Begin()
	if err != nil {
		return err
	}
	r.running = append(r.running, e)
	enc := e.(*encoder)
	if n := len(r.resources); n > 0 {
		enc.send(b.useResources.Sel, uintptr(unsafe.Pointer(&r.resources[0])), uintptr(n), MTLResourceUsageRead|MTLResourceUsageWrite)
	}
	enc.send(b.executeIndirect.Sel, r.indirect, 0, uintptr(r.commands)) // an NSRange goes in two registers
	return e.Commit()
}

// Wait returns when every run has finished, with the first error.
func (r *recording) Wait() error {
	var first error
	for _, e := range r.running {
		if err := e.Wait(); err != nil && first == nil {
			first = err
		}
	}
	r.running = r.running[:0]
	return first
}

// Close waits for what runs and releases the commands.
func (r *recording) Close() error {
	return errors.Join(r.Wait(), r.b.pool(func() error {
		r.b.release(r.indirect)
		r.indirect = 0
		return nil
	}))
}
