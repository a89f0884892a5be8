package mtl

import (
	"fmt"
	"sync"
	"unsafe"

	"foundry/ir/names"
	fruntime "foundry/runtime"
)

// memory is one MTLBuffer.
type memory struct {
	d     *Device
	buf   id
	at    int64 // its begin in buf: 0 but for pages of the host's
	size  int64
	bytes []byte // the host's view of it; nil for private memory
	lent  bool   // pages of the host's, which are not ours to write
}

// Alloc returns a buffer, which Metal clears. What only kernels touch is private;
// weights are not, since the GPU has the host's memory and a copy gains nothing.
func (d *Device) Alloc(bytes int64, use fruntime.Use) (fruntime.Memory, error) {
	if bytes < 0 {
		return nil, fmt.Errorf("metal: a buffer of %d bytes", bytes)
	}
	if err := d.limits.checkLength(bytes); err != nil {
		return nil, err
	}
	b := d.b
	mode := uint64(MTLResourceStorageModeShared)
	if use == fruntime.Private {
		mode = MTLResourceStorageModePrivate
	}
	n := (uint64(max(bytes, 1)) + 15) / 16 * 16
	m := &memory{d: d, size: bytes}
	err := b.pool(func() error {
		if m.buf = b.newBuffer.Call(d.dev, b.newBuffer.Sel, n, mode); m.buf == 0 {
			return fmt.Errorf("metal: out of memory: %s wanted; take a smaller --context or quantised --weights", names.Bytes(bytes))
		}
		if mode == MTLResourceStorageModeShared {
			p := b.bufferContents.Call(m.buf, b.bufferContents.Sel)
			m.bytes = unsafe.Slice(*(**byte)(unsafe.Pointer(&p)), n)[:bytes:bytes]
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return m, nil
}

// Adopt implements runtime.Adopter: a buffer over mapped pages, without a copy.
func (d *Device) Adopt(pages []byte, offset, bytes int64) (fruntime.Memory, error) {
	if err := d.limits.checkLength(int64(len(pages))); err != nil {
		return nil, err
	}
	if offset < 0 || bytes < 1 || offset > int64(len(pages))-bytes {
		return nil, fmt.Errorf("metal: bytes %d..%d of the host's %d", offset, offset+bytes, len(pages))
	}
	b := d.b
	m := &memory{d: d, at: offset, size: bytes, bytes: pages[offset:][:bytes:bytes], lent: true}
	err := b.pool(func() error {
		m.buf = b.newBufferOver.Call(d.dev, b.newBufferOver.Sel, uintptr(unsafe.Pointer(&pages[0])), uint64(len(pages)), MTLResourceStorageModeShared, 0)
		if m.buf == 0 {
			return fmt.Errorf("metal: the GPU cannot map %s of a file", names.Bytes(int64(len(pages))))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return m, nil
}

func (m *memory) Bytes() int64 { return m.size }

func (m *memory) check(offset int64, n int) error {
	if m.buf == 0 {
		return fmt.Errorf("metal: the memory was freed")
	}
	if offset < 0 || offset > m.size-int64(n) {
		return fmt.Errorf("metal: bytes %d..%d of a buffer of %d", offset, offset+int64(n), m.size)
	}
	return nil
}

func (m *memory) Write(offset int64, b []byte) error {
	if err := m.check(offset, len(b)); err != nil {
		return err
	}
	if m.lent {
		return fmt.Errorf("metal: a write to a mapped file")
	}
	if m.bytes == nil {
		return m.d.staging.write(m, offset, b)
	}
	copy(m.bytes[offset:], b)
	return nil
}

func (m *memory) Read(offset int64, b []byte) error {
	if err := m.check(offset, len(b)); err != nil {
		return err
	}
	if m.bytes == nil {
		return m.d.staging.read(m, offset, b)
	}
	copy(b, m.bytes[offset:])
	return nil
}

// Free lets go of the buffer; command buffers that use it keep it until they have
// completed.
func (m *memory) Free() error {
	return m.d.b.pool(func() error {
		m.d.b.release(m.buf)
		m.buf, m.bytes = 0, nil
		return nil
	})
}

// staging is the shared buffer through which the host writes and reads private
// ones, a piece at a time, and the queue of those copies. It exists from the first
// use on.
type staging struct {
	d     *Device
	mu    sync.Mutex
	queue id
	buf   fruntime.Memory
}

const stagingBytes = 4 << 20

// write copies b to m. A copy of the GPU takes whole words only: where b does not,
// the words are read first.
func (s *staging) write(m *memory, offset int64, b []byte) error {
	return s.eachPiece(offset, len(b), func(at, words int64, host []byte, skip, done, n int) error {
		if int64(n) < words {
			if err := s.blit(m.buf, at, s.buf.(*memory).buf, 0, words); err != nil {
				return err
			}
		}
		copy(host[skip:], b[done:done+n])
		return s.blit(s.buf.(*memory).buf, 0, m.buf, at, words)
	})
}

// read copies m to b.
func (s *staging) read(m *memory, offset int64, b []byte) error {
	return s.eachPiece(offset, len(b), func(at, words int64, host []byte, skip, done, n int) error {
		if err := s.blit(m.buf, at, s.buf.(*memory).buf, 0, words); err != nil {
			return err
		}
		copy(b[done:done+n], host[skip:])
		return nil
	})
}

// eachPiece calls move for each piece of bytes [offset, offset+n): words bytes from
// at, multiples of 4, of which skip do not belong to the range, then n do, that
// are bytes done and on of it.
func (s *staging) eachPiece(offset int64, bytes int, move func(at, words int64, host []byte, skip, done, n int) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.open(); err != nil {
		return err
	}
	for done := 0; done < bytes; {
		at := (offset + int64(done)) / 4 * 4
		skip := int(offset + int64(done) - at)
		n := min(bytes-done, stagingBytes-skip)
		words := int64(skip+n+3) / 4 * 4
		if err := move(at, words, s.buf.(*memory).bytes, skip, done, n); err != nil {
			return err
		}
		done += n
	}
	return nil
}

func (s *staging) open() (err error) {
	if s.queue == 0 {
		if s.queue, err = s.d.newQueue(); err != nil {
			return err
		}
	}
	if s.buf == nil {
		s.buf, err = s.d.Alloc(stagingBytes, fruntime.Shared)
	}
	return err
}

// newQueue returns a command queue, whose buffers start in commit order.
func (d *Device) newQueue() (queue id, err error) {
	b := d.b
	err = b.pool(func() error {
		if queue = b.newQueue.Call(d.dev, b.newQueue.Sel); queue == 0 {
			return fmt.Errorf("metal: no command queue is left")
		}
		return nil
	})
	return queue, err
}

// blit copies between two buffers on the GPU and waits.
func (s *staging) blit(from id, fromAt int64, to id, toAt, n int64) error {
	b := s.d.b
	return b.pool(func() error {
		buffer := b.commandBuffer.Call(s.queue, b.commandBuffer.Sel)
		if buffer == 0 {
			return fmt.Errorf("metal: the queue gives no command buffer")
		}
		e := b.blitEncoder.Call(buffer, b.blitEncoder.Sel)
		if e == 0 {
			return fmt.Errorf("metal: the command buffer gives no blit encoder")
		}
		b.copyBuffer.Call(e, b.copyBuffer.Sel, from, uint64(fromAt), to, uint64(toAt), uint64(n))
		b.endEncoding.Call(e, b.endEncoding.Sel)
		b.commit.Call(buffer, b.commit.Sel)
		b.waitCompleted.Call(buffer, b.waitCompleted.Sel)
		if b.bufferStatus.Call(buffer, b.bufferStatus.Sel) != MTLCommandBufferStatusCompleted {
			return b.failure("the GPU gave up on a copy", b.bufferError.Call(buffer, b.bufferError.Sel))
		}
		return nil
	})
}

// close gives back what open made; it is called in a pool.
func (s *staging) close() {
	if s.buf != nil {
		_ = s.buf.Free() // never fails
		s.buf = nil
	}
	s.d.b.release(s.queue)
	s.queue = 0
}
