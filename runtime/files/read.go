package files

import (
	"fmt"
	"foundry/ir/names"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Read returns the content of a regular file of at most limit bytes. A pipe, a
// device or a larger file is an error that comes at once.
func Read(path string, limit int64) ([]byte, error) {
	return read(path, limit, func() (*os.File, error) { return os.OpenFile(path, openFlags, 0) })
}

// ReadAny is Read of what a person names on a command line, which may be a pipe.
func ReadAny(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = tooLarge(path, limit)
	}
	return b, err
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
		return nil, fmt.Errorf("%s is not a regular file", name)
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
	return fmt.Errorf("%s is larger than %s, the limit for such a file", name, names.Bytes(limit))
}

// DirFS is os.DirFS for regular files of at most limit bytes and folders.
func DirFS(dir string, limit int64) fs.FS { return dirFS{dir, limit} }

type dirFS struct {
	dir   string
	limit int64
}

// Open implements fs.FS.
func (d dirFS) Open(name string) (fs.File, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	path := filepath.Join(d.dir, filepath.FromSlash(name))
	f, err := os.OpenFile(path, openFlags, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	switch {
	case err != nil:
	case info.IsDir():
		return f, nil
	case !info.Mode().IsRegular():
		err = fmt.Errorf("%s is not a regular file", path)
	case info.Size() > d.limit:
		err = tooLarge(path, d.limit)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
