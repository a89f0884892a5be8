package checkpoint

import (
	"fmt"
	"os"

	"github.com/edsrzf/mmap-go"
)

// mapFile maps a whole file read-only. unmap must be called once, after the
// last use of data.
func mapFile(path string) (data []byte, unmap func() error, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close() // a mapping outlives its descriptor
	st, err := f.Stat()
	switch {
	case err != nil:
		return nil, nil, err
	case !st.Mode().IsRegular():
		return nil, nil, fmt.Errorf("%s: not a regular file", path)
	case st.Size() == 0:
		return nil, nil, fmt.Errorf("%s: the file is empty", path)
	}
	m, err := mmap.Map(f, mmap.RDONLY, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: cannot map the file: %w", path, err)
	}
	return m, m.Unmap, nil
}
