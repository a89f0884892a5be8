package checkpoint

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"unsafe"

	"github.com/edsrzf/mmap-go"
)

// mapping is a whole file in memory, read-only. unmap must be called once, after
// the last use of data.
type mapping struct {
	data []byte
	f    *os.File // the open file, which tells whether it was cut
}

func mapFile(path string) (mapping, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // does not wait for a pipe's other end
	if err != nil {
		return mapping{}, err
	}
	m, err := mapOpen(f)
	if err != nil {
		f.Close()
		if pathError := (*fs.PathError)(nil); !errors.As(err, &pathError) {
			err = fmt.Errorf("%s: %w", path, err)
		}
		return mapping{}, err
	}
	return mapping{m, f}, nil
}

func mapOpen(f *os.File) ([]byte, error) {
	st, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !st.Mode().IsRegular():
		return nil, errors.New("not a regular file")
	case st.Size() == 0:
		return nil, errors.New("the file is empty")
	}
	m, err := mmap.Map(f, mmap.RDONLY, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot map the file: %w", err)
	}
	return m, nil
}

func (m mapping) unmap() error {
	b := mmap.MMap(m.data)
	return errors.Join(b.Unmap(), m.f.Close())
}

// whole is an error where the file is shorter than what was mapped of it.
func (m mapping) whole() error {
	st, err := m.f.Stat()
	if err != nil {
		return err
	}
	if st.Size() < int64(len(m.data)) {
		return fmt.Errorf("%s was cut to %d bytes while it was in use; it had %d", m.f.Name(), st.Size(), len(m.data))
	}
	return nil
}

// pages returns the whole pages around b and where b begins in them; nil when b
// is no part of the file. The system maps the file's last page whole.
func (m mapping) pages(b []byte) ([]byte, int64) {
	if len(b) == 0 {
		return nil, 0
	}
	start := uintptr(unsafe.Pointer(&m.data[0]))
	begin := uintptr(unsafe.Pointer(&b[0])) - start
	if begin >= uintptr(len(m.data)) { // also when b lies before
		return nil, 0
	}
	page := uintptr(os.Getpagesize())
	first := begin / page * page
	last := (begin + uintptr(len(b)) + page - 1) / page * page
	return unsafe.Slice((*byte)(unsafe.Add(unsafe.Pointer(&m.data[0]), first)), last-first), int64(begin - first)
}
