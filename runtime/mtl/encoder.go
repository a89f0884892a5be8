package mtl

import (
	"fmt"
	"runtime"
	"unsafe"

	"github.com/ebitengine/purego"

	fruntime "foundry/runtime"
)

// encoder fills one command buffer through one concurrent compute encoder. Metal
// retains what is bound until the buffer has completed. Encoders are reused: one
// that was waited for goes back to its program.
type encoder struct {
	g         *program
	buffer    id
	encoder   id
	committed bool
	labelled  bool // somebody captures: dispatches stand in groups with their labels
	current   int  // the kernel whose pipeline is set, or -1
	args      [14]uintptr
	buffers   [maxSlots]id
	offsets   [maxSlots]uint64
	grid      size
	threads   size
}

// Begin opens a command buffer with a concurrent encoder. Both are retained, so
// that the pool they are born in ends here.
func (g *program) Begin() (fruntime.Encoder, error) {
	g.mu.Lock()
	var e *encoder
	if n := len(g.free); n > 0 {
		e, g.free = g.free[n-1], g.free[:n-1]
	} else {
		e = &encoder{g: g}
	}
	g.mu.Unlock()
	e.current, e.committed = -1, false
	if err := e.begin(); err != nil {
		return nil, err
	}
	g.mu.Lock()
	g.open[e] = true
	g.mu.Unlock()
	return e, nil
}

func (e *encoder) begin() error {
	b := e.g.d.b
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	pool := e.call(b.poolPush)
	defer e.call(b.poolPop, pool)
	if e.buffer = e.message(e.g.queue, b.commandBuffer.Sel); e.buffer == 0 {
		return fmt.Errorf("metal: the queue gives no command buffer")
	}
	e.call(b.retainAddr, e.buffer)
	if e.encoder = e.message(e.buffer, b.computeEncoder.Sel, MTLDispatchTypeConcurrent); e.encoder == 0 {
		e.call(b.releaseAddr, e.buffer)
		return fmt.Errorf("metal: the command buffer gives no compute encoder")
	}
	e.call(b.retainAddr, e.encoder)
	manager := e.message(b.MTLCaptureManager, b.captureManager.Sel)
	e.labelled = byte(e.message(manager, b.isCapturing.Sel)) != 0
	return nil
}

// call calls a function on the reused argument slice.
func (e *encoder) call(fn uintptr, args ...uintptr) uintptr {
	n := copy(e.args[:], args)
	r, _, _ := purego.SyscallN(fn, e.args[:n]...)
	return r
}

// message sends a message of integer arguments on the reused argument slice.
func (e *encoder) message(receiver id, s sel, args ...uintptr) uintptr {
	e.args[0], e.args[1] = receiver, s
	n := 2 + copy(e.args[2:], args)
	r, _, _ := purego.SyscallN(e.g.d.b.msgSend, e.args[:n]...)
	return r
}

// send sends a message of integer arguments to the encoder.
func (e *encoder) send(s sel, args ...uintptr) { e.message(e.encoder, s, args...) }

// Dispatch encodes one kernel.
func (e *encoder) Dispatch(l *fruntime.Launch) error {
	b := e.g.d.b
	k, err := e.g.check(l)
	if err != nil {
		return err
	}
	if e.committed {
		return fmt.Errorf("metal: %s: the command buffer is committed", l.Label)
	}
	if e.labelled {
		if err := e.group(l.Label); err != nil {
			return err
		}
		defer e.send(b.popGroup.Sel)
	}
	if e.current != l.Kernel {
		e.send(b.setPipeline.Sel, k.pipeline)
		for i, n := range k.threadgroup {
			e.send(b.setThreadgroup.Sel, uintptr(n), uintptr(i))
		}
		e.current = l.Kernel
	}
	for i := range l.Bind {
		o := &l.Bind[i]
		m := o.Memory.(*memory)
		e.buffers[i], e.offsets[i] = m.buf, uint64(m.at+o.Offset)
	}
	// The range goes in two registers on both architectures.
	e.send(b.setBuffers.Sel, uintptr(unsafe.Pointer(&e.buffers)), uintptr(unsafe.Pointer(&e.offsets)), 0, uintptr(len(l.Bind)))
	e.grid = size{uint64(l.Grid[0]), uint64(l.Grid[1]), uint64(l.Grid[2])}
	e.threads = k.threads
	purego.SyscallN(b.msgSend, dispatchArgs(&e.args, e.encoder, b.dispatch.Sel, &e.grid, &e.threads)...)
	return nil
}

// group opens a debug group, which a capture shows.
func (e *encoder) group(label string) error {
	b := e.g.d.b
	return b.pool(func() error {
		b.pushGroup.Call(e.encoder, b.pushGroup.Sel, b.str(label))
		return nil
	})
}

// check looks at a launch as Metal's validation layer would.
func (g *program) check(l *fruntime.Launch) (*kernel, error) {
	if l.Kernel < 0 || l.Kernel >= len(g.kernels) {
		return nil, fmt.Errorf("metal: kernel %d of %d", l.Kernel, len(g.kernels))
	}
	k := &g.kernels[l.Kernel]
	if len(l.Bind) != len(k.slots) {
		return nil, fmt.Errorf("metal: %s: %d operands bound, kernel %s has %d slots", l.Label, len(l.Bind), k.name, len(k.slots))
	}
	for i := range l.Bind {
		o := &l.Bind[i]
		m, ok := o.Memory.(*memory)
		if !ok || m.d != g.d {
			return nil, fmt.Errorf("metal: %s: operand %q lies on another device", l.Label, k.slots[i].Name)
		}
		if o.Offset < 0 || o.Offset+o.Bytes > m.size {
			return nil, fmt.Errorf("metal: %s: operand %q is bytes %d..%d of a buffer of %d", l.Label, k.slots[i].Name, o.Offset, o.Offset+o.Bytes, m.size)
		}
	}
	if l.Grid[0] < 1 || l.Grid[1] < 1 || l.Grid[2] < 1 {
		return nil, fmt.Errorf("metal: %s: the grid is %v, wants at least one threadgroup each way", l.Label, l.Grid)
	}
	return k, nil
}

// Barrier makes the writes of everything encoded so far visible to what follows.
func (e *encoder) Barrier() error {
	e.send(e.g.d.b.memoryBarrier.Sel, MTLBarrierScopeBuffers)
	return nil
}

// Commit ends encoding and submits.
func (e *encoder) Commit() error {
	if e.committed {
		return fmt.Errorf("metal: the command buffer is committed already")
	}
	e.committed = true
	b := e.g.d.b
	e.send(b.endEncoding.Sel)
	e.message(e.buffer, b.commit.Sel)
	e.call(b.releaseAddr, e.encoder)
	e.encoder = 0
	return nil
}

// Wait returns when the GPU has finished; a failed command buffer becomes an
// error with Metal's description. The encoder is done with.
func (e *encoder) Wait() error {
	if e.buffer == 0 {
		return nil
	}
	b := e.g.d.b
	e.message(e.buffer, b.waitCompleted.Sel)
	var err error
	if e.message(e.buffer, b.bufferStatus.Sel) != MTLCommandBufferStatusCompleted {
		err = e.failure()
	}
	e.close()
	return err
}

// failure is Metal's description of why the buffer did not complete.
func (e *encoder) failure() error {
	b := e.g.d.b
	return b.pool(func() error {
		return b.failure("the GPU gave up on a command buffer", b.bufferError.Call(e.buffer, b.bufferError.Sel))
	})
}

func (e *encoder) close() {
	b := e.g.d.b
	if e.encoder != 0 {
		e.call(b.releaseAddr, e.encoder)
	}
	e.call(b.releaseAddr, e.buffer)
	e.buffer, e.encoder = 0, 0
	e.g.mu.Lock()
	delete(e.g.open, e)
	e.g.free = append(e.g.free, e)
	e.g.mu.Unlock()
}

// abandon ends an encoder whose user went away: Metal wants endEncoding before
// the last release.
func (e *encoder) abandon() error {
	if e.committed {
		return e.Wait()
	}
	b := e.g.d.b
	b.endEncoding.Call(e.encoder, b.endEncoding.Sel)
	e.close()
	return nil
}
