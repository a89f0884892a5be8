package mtl

import (
	"fmt"
	"unsafe"

	fruntime "foundry/runtime"
)

// encoder fills one command buffer through one concurrent compute encoder. Metal
// retains what is bound until the buffer has completed. Encoders are reused: one
// that was waited for goes back to its program.
type encoder struct {
	sender
	g         *program
	buffer    id
	encoder   id // the encoder until Commit, when the pool that it was born in ends
	committed bool
	labelled  bool // a capture under way: dispatches stand in groups with their labels
	current   int  // the kernel whose pipeline is set, or -1
	buffers   [maxSlots]id
	offsets   [maxSlots]uint64
}

// Begin opens a command buffer with a concurrent encoder, in an autorelease pool
// that ends with Commit; until then the goroutine stays on its OS thread.
func (g *program) Begin() (fruntime.Encoder, error) {
	e := g.take()
	e.enter()
	if err := e.begin(); err != nil {
		e.leave()
		g.put(e)
		return nil, err
	}
	return e, nil
}

// take returns an encoder that nobody uses.
func (g *program) take() *encoder {
	g.mu.Lock()
	defer g.mu.Unlock()
	var e *encoder
	if n := len(g.free); n > 0 {
		e, g.free = g.free[n-1], g.free[:n-1]
	} else {
		e = &encoder{g: g, sender: sender{b: g.d.b}}
	}
	g.open[e] = true
	e.current, e.committed = -1, false
	return e
}

func (g *program) put(e *encoder) {
	e.buffer, e.encoder = 0, 0
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.open, e)
	g.free = append(g.free, e)
}

func (e *encoder) begin() error {
	b := e.b
	if e.buffer = e.message(e.g.queue, b.commandBuffer.Sel); e.buffer == 0 {
		return fmt.Errorf("metal: the queue gives no command buffer")
	}
	if e.encoder = e.message(e.buffer, b.computeEncoder.Sel, MTLDispatchTypeConcurrent); e.encoder == 0 {
		return fmt.Errorf("metal: the command buffer gives no compute encoder")
	}
	e.call(b.retainAddr, e.buffer)
	manager := e.message(b.MTLCaptureManager, b.captureManager.Sel)
	e.labelled = byte(e.message(manager, b.isCapturing.Sel)) != 0
	return nil
}

// send sends a message to the encoder.
func (e *encoder) send(name sel, args ...uintptr) { e.message(e.encoder, name, args...) }

// Dispatch encodes one kernel.
func (e *encoder) Dispatch(l *fruntime.Launch) error {
	b := e.b
	k, err := e.g.check(l)
	if err != nil {
		return err
	}
	if e.committed {
		return fmt.Errorf("metal: %s: the command buffer is committed", l.Label)
	}
	if e.labelled { // a group is what a capture shows
		b.pushGroup.Call(e.encoder, b.pushGroup.Sel, b.str(l.Label))
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
	e.dispatch(e.encoder, b.dispatch.Sel, l.Grid, k.threads)
	return nil
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
		if !ok || m.d.dev != g.d.dev { // which Metal gives once for one GPU
			return nil, fmt.Errorf("metal: %s: operand %q lies on another device", l.Label, k.slots[i].Name)
		}
		if m.buf == 0 {
			return nil, fmt.Errorf("metal: %s: the memory of operand %q was freed", l.Label, k.slots[i].Name)
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
	e.send(e.b.memoryBarrier.Sel, MTLBarrierScopeBuffers)
	return nil
}

// Commit ends encoding and submits.
func (e *encoder) Commit() error {
	if e.committed {
		return fmt.Errorf("metal: the command buffer is committed already")
	}
	e.committed = true
	e.send(e.b.endEncoding.Sel)
	e.message(e.buffer, e.b.commit.Sel)
	e.leave()
	return nil
}

// Wait returns when the GPU has finished; a failed command buffer becomes an
// error with Metal's description. The encoder is done with.
func (e *encoder) Wait() error {
	if !e.committed {
		return fmt.Errorf("metal: nobody committed the command buffer that is waited for")
	}
	if e.buffer == 0 {
		return nil
	}
	e.enter()
	err := e.finish()
	e.leave()
	e.g.put(e)
	return err
}

func (e *encoder) finish() error {
	b := e.b
	defer e.call(b.releaseAddr, e.buffer)
	e.message(e.buffer, b.waitCompleted.Sel)
	if e.message(e.buffer, b.bufferStatus.Sel) == MTLCommandBufferStatusCompleted {
		return nil
	}
	return b.failure("the GPU gave up on a command buffer", b.bufferError.Call(e.buffer, b.bufferError.Sel))
}
