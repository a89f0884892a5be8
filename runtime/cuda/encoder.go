package cuda

import (
	"errors"
	"fmt"
	"unsafe"

	fruntime "foundry/runtime"
)

// encoder launches straight onto a stream: a stream runs in order, so barriers
// need no command of their own.
type encoder struct {
	p      *program
	stream uintptr
	// arguments of one launch, reused: values[i] is the address bound to slot i,
	// params[i] points at it.
	values [maxSlots]uintptr
	params [maxSlots]unsafe.Pointer
	attr   launchAttr
	config launchConfig
	first  bool // a run of which nothing is launched yet: no predecessor to overlap with
	beside bool // a kernel that waits for nothing may run beside the one launched last
}

const maxSlots = 32

func newEncoder(p *program, stream uintptr) *encoder {
	e := &encoder{p: p, stream: stream, first: true}
	for i := range e.params {
		e.params[i] = unsafe.Pointer(&e.values[i])
	}
	e.attr.id = launchProgrammatic
	e.attr.value[0] = 1
	e.config.stream = stream
	return e
}

// Dispatch launches one kernel.
func (e *encoder) Dispatch(l *fruntime.Launch) error {
	if l.Kernel < 0 || l.Kernel >= len(e.p.kernels) {
		return fmt.Errorf("cuda: kernel %d of %d", l.Kernel, len(e.p.kernels))
	}
	k := &e.p.kernels[l.Kernel]
	if len(l.Bind) != k.slots {
		return fmt.Errorf("cuda: %s: %d operands bound, the kernel has %d slots", k.name, len(l.Bind), k.slots)
	}
	for i, b := range l.Bind {
		m, ok := b.Memory.(*memory)
		if !ok || m.d != e.p.d {
			return fmt.Errorf("cuda: %s: operand %d lies on another device", k.name, i)
		}
		if b.Offset < 0 || b.Offset+b.Bytes > m.bytes {
			return fmt.Errorf("cuda: %s: operand %d is bytes %d..%d of an allocation of %d", k.name, i, b.Offset, b.Offset+b.Bytes, m.bytes)
		}
		e.values[i] = m.ptr + uintptr(b.Offset)
	}
	for i, g := range l.Grid {
		if g == 0 {
			return nil // an empty grid does nothing, as on Metal
		}
		e.config.grid[i] = uint32(g)
	}
	e.config.block = k.threads
	e.config.shared = k.shared
	e.config.attrs, e.config.numAttrs = nil, 0
	if e.p.d.opts.Dependent && !e.first && (e.beside || !k.unordered) {
		e.config.attrs, e.config.numAttrs = &e.attr, 1
	}
	e.first, e.beside = false, k.unordered || k.startsLast
	return e.p.d.do(func() error {
		if err := e.p.d.drv.call("cuLaunchKernelEx", uintptr(unsafe.Pointer(&e.config)), k.fn,
			uintptr(unsafe.Pointer(&e.params[0])), 0); err != nil {
			return fmt.Errorf("%s (%s): %w", l.Label, k.name, err)
		}
		return nil
	})
}

// Barrier orders nothing that the stream does not order already, but for kernels that do
// not wait for their predecessor.
func (e *encoder) Barrier() error {
	e.beside = false
	return nil
}

// Separate implements runtime.Separator.
func (e *encoder) Separate() { e.first, e.beside = true, false }

// Commit submits; launches were submitted as they came.
func (e *encoder) Commit() error { return nil }

// Wait returns when the stream is empty.
func (e *encoder) Wait() error {
	return e.p.d.do(func() error { return e.p.d.drv.call("cuStreamSynchronize", e.stream) })
}

// Record captures the launches of encode into a CUDA graph.
func (p *program) Record(encode func(fruntime.Encoder) error) (fruntime.Recording, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := &recording{p: p}
	drv := p.d.drv
	err := p.d.do(func() error {
		var capture uintptr
		if err := drv.call("cuStreamCreate", uintptr(unsafe.Pointer(&capture)), streamNonBlocking); err != nil {
			return err
		}
		defer drv.call("cuStreamDestroy_v2", capture)
		if err := drv.call("cuStreamBeginCapture_v2", capture, captureModeThreadLocal); err != nil {
			return err
		}
		encodeErr := encode(newEncoder(p, capture))
		var graph uintptr
		if err := drv.call("cuStreamEndCapture", capture, uintptr(unsafe.Pointer(&graph))); err != nil {
			if encodeErr != nil {
				return encodeErr
			}
			return err
		}
		defer drv.call("cuGraphDestroy", graph)
		if encodeErr != nil {
			return encodeErr
		}
		if err := drv.call("cuEventCreate", uintptr(unsafe.Pointer(&r.ran)), eventDisableTiming); err != nil {
			return err
		}
		return drv.call("cuGraphInstantiateWithFlags", uintptr(unsafe.Pointer(&r.exec)), graph, 0)
	})
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// recording is an instantiated CUDA graph.
type recording struct {
	p    *program
	exec uintptr
	ran  uintptr // event behind the last run
}

func (r *recording) Run() error {
	return r.p.d.do(func() error {
		if err := r.p.d.drv.call("cuGraphLaunch", r.exec, r.p.stream); err != nil {
			return err
		}
		return r.p.d.drv.call("cuEventRecord", r.ran, r.p.stream)
	})
}

func (r *recording) Wait() error {
	return r.p.d.do(func() error { return r.p.d.drv.call("cuEventSynchronize", r.ran) })
}

func (r *recording) Close() error {
	ran, exec := r.ran, r.exec
	if r.ran, r.exec = 0, 0; ran == 0 {
		return nil
	}
	return r.p.d.do(func() error {
		err := r.p.d.drv.call("cuEventDestroy_v2", ran)
		if exec == 0 { // it could not be made
			return err
		}
		return errors.Join(err, r.p.d.drv.call("cuGraphExecDestroy", exec))
	})
}
