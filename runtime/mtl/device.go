// Package mtl turns a plan into Metal pipelines, buffers and concurrent compute
// encoders on an Apple GPU, through purego and the Objective-C runtime, no cgo.
//
// Every message it sends stands in one table (messages.go). Names are looked up
// once; the calls of the dispatch loop go through purego.SyscallN on a reused
// argument slice and allocate nothing.
//
// Read next: encoder.go for the dispatch loop, record.go for the replay of a
// decode step from an indirect command buffer.
package mtl

import (
	"fmt"
	"unsafe"

	fruntime "foundry/runtime"
)

// Options choose a GPU and places.
type Options struct {
	Ordinal   int       // which of MTLCopyAllDevices; 0 is the system's default
	Libraries Libraries // zero: SystemLibraries
	CacheDir  string    // compiled pipelines (a binary archive a plan); empty: none are kept
	// Indirect records a decode step into an indirect command buffer, which has a
	// barrier where the plan has one, instead of encoding it anew for each run.
	Indirect bool
}

// Device is one Apple GPU.
type Device struct {
	b    *bridge
	dev  id
	opts Options
	info fruntime.Info
}

// families are the GPU families that tell Apple's generations apart.
var families = []struct {
	value int64
	name  string
}{
	{MTLGPUFamilyApple9, "Apple9"}, {MTLGPUFamilyApple9 - 1, "Apple8"}, {MTLGPUFamilyApple7, "Apple7"},
}

// Open takes a GPU. The error says what is missing.
func Open(o Options) (*Device, error) {
	if o.Libraries == (Libraries{}) {
		if !onMac {
			return nil, fmt.Errorf("metal: this is no Mac; take --device cpu or cuda, or carry the bundle to a Mac")
		}
		o.Libraries = SystemLibraries()
	}
	b, err := load(o.Libraries)
	if err != nil {
		return nil, err
	}
	d := &Device{b: b, opts: o}
	if err := b.pool(d.open); err != nil {
		return nil, err
	}
	return d, nil
}

func (d *Device) open() error {
	b := d.b
	if d.opts.Ordinal == 0 {
		d.dev = b.systemDefaultDevice()
	} else {
		all := b.copyAllDevices()
		if all != 0 {
			defer b.release(all)
			if n := b.arrayCount.Call(all, b.arrayCount.Sel); uint64(d.opts.Ordinal) < n {
				d.dev = b.retain(b.arrayObject.Call(all, b.arrayObject.Sel, uint64(d.opts.Ordinal)))
			}
		}
	}
	if d.dev == 0 {
		return fmt.Errorf("metal: there is no GPU %d that supports Metal", d.opts.Ordinal)
	}
	family := "an older family"
	for _, f := range families {
		if b.supportsFamily.Call(d.dev, b.supportsFamily.Sel, f.value) {
			family = f.name
			break
		}
	}
	d.info = fruntime.Info{
		Kind: "metal", Name: b.goString(b.deviceName.Call(d.dev, b.deviceName.Sel)),
		MemoryBytes: int64(b.workingSet.Call(d.dev, b.workingSet.Sel)),
		Note: fmt.Sprintf("family %s, unified memory %v, buffers up to %d MiB, threadgroup memory %d bytes", family,
			b.unifiedMemory.Call(d.dev, b.unifiedMemory.Sel), b.maxBuffer.Call(d.dev, b.maxBuffer.Sel)>>20, d.threadgroupBytes()),
	}
	d.info.Target = targetName(d.info.Name)
	return nil
}

func (d *Device) threadgroupBytes() int {
	return int(d.b.maxThreadgroup.Call(d.dev, d.b.maxThreadgroup.Sel))
}

// Info describes the GPU.
func (d *Device) Info() fruntime.Info { return d.info }

// Close gives the GPU back. Memory and programs must be closed before.
func (d *Device) Close() error {
	if d.dev != 0 {
		d.b.release(d.dev)
		d.dev = 0
	}
	return nil
}

// memory is one shared MTLBuffer.
type memory struct {
	d     *Device
	buf   id
	bytes []byte // the buffer's contents
}

// Alloc returns a shared buffer; Metal clears it.
func (d *Device) Alloc(bytes int64) (fruntime.Memory, error) {
	if bytes < 0 {
		return nil, fmt.Errorf("metal: a buffer of %d bytes", bytes)
	}
	b := d.b
	limit := int64(b.maxBuffer.Call(d.dev, b.maxBuffer.Sel))
	if bytes > limit {
		return nil, fmt.Errorf("metal: a buffer of %d MiB is wanted, the GPU's largest is %d MiB; take a smaller --context or quantised --weights", bytes>>20, limit>>20)
	}
	n := uint64(max(bytes, 16))
	m := &memory{d: d, buf: b.newBuffer.Call(d.dev, b.newBuffer.Sel, n, MTLResourceStorageModeShared)}
	if m.buf == 0 {
		return nil, fmt.Errorf("metal: out of memory: %d MiB wanted; take a smaller --context or quantised --weights", bytes>>20)
	}
	p := b.bufferContents.Call(m.buf, b.bufferContents.Sel)
	m.bytes = unsafe.Slice(*(**byte)(unsafe.Pointer(&p)), n)[:bytes:bytes]
	return m, nil
}

func (m *memory) Bytes() int64 { return int64(len(m.bytes)) }

func (m *memory) check(offset int64, n int) error {
	if m.buf == 0 {
		return fmt.Errorf("metal: the memory was freed")
	}
	if offset < 0 || offset+int64(n) > m.Bytes() {
		return fmt.Errorf("metal: bytes %d..%d of a buffer of %d", offset, offset+int64(n), m.Bytes())
	}
	return nil
}

func (m *memory) Write(offset int64, b []byte) error {
	if err := m.check(offset, len(b)); err != nil {
		return err
	}
	copy(m.bytes[offset:], b)
	return nil
}

func (m *memory) Read(offset int64, b []byte) error {
	if err := m.check(offset, len(b)); err != nil {
		return err
	}
	copy(b, m.bytes[offset:])
	return nil
}

func (m *memory) Free() error {
	if m.buf != 0 {
		m.d.b.release(m.buf)
		m.buf, m.bytes = 0, nil
	}
	return nil
}
