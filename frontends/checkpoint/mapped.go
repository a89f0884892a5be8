package checkpoint

import (
	"fmt"
	"os"
	"unsafe"

	"github.com/edsrzf/mmap-go"
)

// mapping is a whole file in memory, read-only. unmap must be called once, after
// the last use of data.
type mapping struct {
	data  []byte
	unmap func() error
}

func mapFile(path string) (mapping, error) {
	f, err := os.Open(path)
	if err != nil {
		return mapping{}, err
	}
	defer f.Close() // a mapping outlives its descriptor
	st, err := f.Stat()
	switch {
	case err != nil:
		return mapping{}, err
	case !st.Mode().IsRegular():
		return mapping{}, fmt.Errorf("%s: not a regular file", path)
	case st.Size() == 0:
		return mapping{}, fmt.Errorf("%s: the file is empty", path)
	}
	m, err := mmap.Map(f, mmap.RDONLY, 0)
	if err != nil {
		return mapping{}, fmt.Errorf("%s: cannot map the file: %w", path, err)
	}
	return mapping{m, m.Unmap}, nil
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
