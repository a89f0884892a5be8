package files

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// Sizes beyond which a file is not what its reader takes it for, in bytes.
const (
	ConfigBytes    = 16 << 20  // a configuration, an index of shards, a list of ids
	TokenizerBytes = 256 << 20 // tokenizer.json: Qwen2.5's has 7 MB
)

// Read returns the content of a regular file of at most limit bytes. A pipe, a
// device or a larger file is an error that comes at once.
func Read(path string, limit int64) ([]byte, error) {
	return read(path, limit, func() (*os.File, error) { return os.OpenFile(path, openFlags, 0) })
}

// ReadIn is Read of a file below root, named by its path there with slashes.
func ReadIn(root *os.Root, name string, limit int64) ([]byte, error) {
	return read(name, limit, func() (*os.File, error) { return root.OpenFile(filepath.FromSlash(name), openFlags, 0) })
}

// openFlags do not wait for the other end of a pipe.
const openFlags = os.O_RDONLY | syscall.O_NONBLOCK

func read(name string, limit int64, open func() (*os.File, error)) ([]byte, error) {
	f, err := open()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%q is not a regular file", name)
	case info.Size() > limit:
		return nil, tooLarge(name, limit)
	}
	// Its size may grow, and is 0 for the files of some systems.
	b := make([]byte, 0, info.Size()+1)
	for int64(len(b)) <= limit {
		n, err := f.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if err == io.EOF {
			return b, nil
		}
		if err != nil {
			return nil, err
		}
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
	}
	return nil, tooLarge(name, limit)
}

func tooLarge(name string, limit int64) error {
	return fmt.Errorf("%q is larger than %d MiB, the limit for such a file", name, limit>>20)
}
