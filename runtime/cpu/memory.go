package cpu

import (
	"fmt"
	"os"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"

	fruntime "foundry/runtime"
)

// memory lies between unreadable pages and ends, in steps of 16 bytes, where the
// upper one begins: an access behind it is a fault.
type memory struct {
	mu      sync.Mutex
	mapping []byte
	data    []byte // nil once freed
}

const alignment = 16

// Alloc returns zeroed memory. A kernel's access behind its end is an error of
// the run, as long as it stays near.
func (d *Device) Alloc(bytes int64, _ fruntime.Use) (fruntime.Memory, error) {
	if bytes <= 0 {
		return nil, fmt.Errorf("cpu: cannot allocate %d bytes", bytes)
	}
	page := int64(os.Getpagesize())
	if bytes > 1<<46 {
		return nil, fmt.Errorf("cpu: no memory for %d bytes", bytes)
	}
	used := (bytes + alignment - 1) / alignment * alignment
	pages := (used + page - 1) / page * page
	m, err := unix.Mmap(-1, 0, int(pages+2*page), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return nil, fmt.Errorf("cpu: no memory for %d bytes: %w", bytes, err)
	}
	for _, guard := range [][]byte{m[:page], m[pages+page:]} {
		if err := unix.Mprotect(guard, unix.PROT_NONE); err != nil {
			_ = unix.Munmap(m)
			return nil, fmt.Errorf("cpu: no memory for %d bytes: %w", bytes, err)
		}
	}
	start := page + pages - used
	return &memory{mapping: m, data: m[start : start+bytes : start+bytes]}, nil
}

// Bytes is the size asked for.
func (m *memory) Bytes() int64 { return int64(len(m.data)) }

// Write copies b to offset.
func (m *memory) Write(offset int64, b []byte) error {
	to, err := m.at(offset, int64(len(b)))
	copy(to, b)
	return err
}

// Read copies from offset into b.
func (m *memory) Read(offset int64, b []byte) error {
	from, err := m.at(offset, int64(len(b)))
	copy(b, from)
	return err
}

func (m *memory) at(offset, bytes int64) ([]byte, error) {
	if m.data == nil {
		return nil, fmt.Errorf("cpu: memory used after Free")
	}
	if offset < 0 || bytes < 0 || offset > m.Bytes() || bytes > m.Bytes()-offset {
		return nil, fmt.Errorf("cpu: bytes [%d, %d) of memory of %d bytes", offset, offset+bytes, m.Bytes())
	}
	return m.data[offset : offset+bytes], nil
}

func (m *memory) address(offset int64) uintptr {
	return uintptr(unsafe.Pointer(unsafe.SliceData(m.data))) + uintptr(offset)
}

// Free gives the memory back; a second Free does nothing.
func (m *memory) Free() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.data == nil {
		return nil
	}
	m.data = nil
	if err := unix.Munmap(m.mapping); err != nil {
		return fmt.Errorf("cpu: %w", err)
	}
	return nil
}
