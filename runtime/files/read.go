package files

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"foundry/ir/names"
)

// Read returns the content of a regular file of at most limit bytes. A pipe, a
// device or a larger file is an error that comes at once. So is a link that leads
// nowhere, which is no file that is not there, and a text that Unmarked refuses.
func Read(path string, limit int64) ([]byte, error) {
	return read(path, limit, func() (*os.File, error) { return os.OpenFile(path, openFlags, 0) }, func() (string, error) { return os.Readlink(path) })
}

// Dangling is an error for a link that leads nowhere, as one into a cache whose
// files were removed.
func Dangling(path string) error {
	to, err := os.Readlink(path)
	if err != nil {
		return nil // no link
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return leadsNowhere(path, to)
}

func leadsNowhere(name, to string) error {
	return fmt.Errorf("%s is a link to %s, which does not exist", name, to)
}

// Unmarked refuses a text that begins with a UTF-8 byte order mark, which no reader of
// a text takes for what it is. name is the file's, for the error.
func Unmarked(name string, text []byte) error {
	if bytes.HasPrefix(text, []byte("\ufeff")) {
		return fmt.Errorf("%s begins with a UTF-8 byte order mark; save it without one", name)
	}
	return nil
}

// ReadAny is Read of what a person names on a command line, which may be a pipe.
func ReadAny(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, cmp.Or(Dangling(path), err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = tooLarge(path, limit)
	}
	if err == nil {
		err = Unmarked(path, b)
	}
	return b, err
}

// ReadIn is Read of a file below root, named by its path there with slashes.
func ReadIn(root *os.Root, name string, limit int64) ([]byte, error) {
	path := filepath.FromSlash(name)
	return read(name, limit, func() (*os.File, error) { return root.OpenFile(path, openFlags, 0) }, func() (string, error) { return root.Readlink(path) })
}

// openFlags do not wait for the other end of a pipe.
const openFlags = os.O_RDONLY | syscall.O_NONBLOCK

func read(name string, limit int64, open func() (*os.File, error), readlink func() (string, error)) ([]byte, error) {
	f, err := open()
	if errors.Is(err, fs.ErrNotExist) {
		if to, linked := readlink(); linked == nil {
			return nil, leadsNowhere(name, to)
		}
	}
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
			return b, Unmarked(name, b)
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
