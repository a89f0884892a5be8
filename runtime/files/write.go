package files

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"syscall"
)

// A temporary's name is .NAME.RANDOM.foundry, beside NAME.
var temporaryName = regexp.MustCompile(`^\..+\.[A-Z2-7]{10}\.foundry$`)

func temporary(dir, name string) string {
	name = name[:min(len(name), 200)] // file systems take 255 bytes
	return filepath.Join(dir, "."+name+"."+rand.Text()[:10]+".foundry")
}

// File is a file under construction: it is written beside its path and appears
// there, whole, when it is committed.
type File struct {
	*os.File
	path string
	mode fs.FileMode // 0: what the umask leaves
	done bool
}

// Create begins the file path, which is replaced when it is there and, when it is a
// symbolic link, stays one. The folder's temporaries of killed processes are removed.
// One of Commit and Discard must follow.
func Create(path string) (*File, error) { return create(path, 0) }

// CreatePrivate is Create of a file that this user alone can read and write.
func CreatePrivate(path string) (*File, error) { return create(path, 0o600) }

func create(path string, mode fs.FileMode) (*File, error) {
	real, err := filepath.EvalSymlinks(path)
	switch {
	case err == nil:
		path = real
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	info, err := os.Lstat(path)
	switch {
	case err != nil:
	case info.Mode()&fs.ModeSymlink != 0:
		return nil, fmt.Errorf("%q is a link to nothing", path)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%q is no file that can be replaced", path)
	case mode == 0:
		mode = info.Mode().Perm()
	}
	dir := filepath.Dir(path)
	sweep(dir)
	for {
		f, err := os.OpenFile(temporary(dir, filepath.Base(path)), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o666)
		if of := (*fs.PathError)(nil); errors.As(err, &of) {
			return nil, &fs.PathError{Op: "create", Path: path, Err: of.Err} // without the other name
		}
		if !lock(f) {
			continue // a sweep took it for a dead one's
		}
		if mode != 0 {
			if err := f.Chmod(mode); err != nil {
				return nil, errors.Join(err, f.Close(), os.Remove(f.Name()))
			}
		}
		return &File{File: f, path: path, mode: mode}, nil
	}
}

// Commit makes the file appear. After an error nothing is left of it.
func (f *File) Commit() error {
	err := f.Sync()
	if err == nil {
		err = os.Rename(f.Name(), f.path)
	}
	f.done = err == nil
	if !f.done {
		return errors.Join(err, f.Discard())
	}
	return f.Close()
}

// Discard removes the file, unless it was committed.
func (f *File) Discard() error {
	if f == nil || f.done {
		return nil
	}
	f.done = true
	return errors.Join(os.Remove(f.Name()), f.Close())
}

// Write makes path a file with the content that write gives it, whole or not at all.
func Write(path string, write func(io.Writer) error) error {
	f, err := Create(path)
	return finish(f, err, write)
}

// WritePrivate is Write of a file that this user alone can read and write.
func WritePrivate(path string, b []byte) error {
	f, err := CreatePrivate(path)
	return finish(f, err, func(w io.Writer) error {
		_, err := w.Write(b)
		return err
	})
}

func finish(f *File, err error, write func(io.Writer) error) error {
	if err != nil {
		return err
	}
	if err := write(f); err != nil {
		return errors.Join(err, f.Discard())
	}
	return f.Commit()
}

// Dir is a temporary folder.
type Dir struct {
	Path string
	held *os.File
}

// Folder makes an empty folder in dir, which may be "" for the system's, to build
// name in; only this user can use it. Temporaries of killed processes are removed.
func Folder(dir, name string) (*Dir, error) {
	if dir == "" {
		dir = os.TempDir()
	}
	sweep(dir)
	for {
		path := temporary(dir, name)
		if err := os.Mkdir(path, 0o700); err != nil {
			return nil, err
		}
		f, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, errors.Join(err, os.Remove(path))
		}
		if lock(f) {
			return &Dir{path, f}, nil
		}
	}
}

// Remove removes the folder with what it holds.
func (d *Dir) Remove() error { return errors.Join(os.RemoveAll(d.Path), d.held.Close()) }

// lock takes the lock of a new temporary, which the system drops with the process;
// false when a sweep removed it first. A file system without locks has no sweeps.
func lock(f *os.File) bool {
	if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == syscall.EWOULDBLOCK {
		f.Close()
		return false
	}
	held, err := f.Stat()
	there, err2 := os.Lstat(f.Name())
	if err == nil && err2 == nil && os.SameFile(held, there) {
		return true
	}
	f.Close()
	return false
}

// sweep removes the temporaries in dir that no living process holds. What cannot be
// removed stays: it is in nobody's way.
func sweep(dir string) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if !temporaryName.MatchString(e.Name()) {
			continue
		}
		path := filepath.Join(dir, e.Name())
		f, err := os.OpenFile(path, openFlags|syscall.O_NOFOLLOW, 0)
		if err != nil {
			continue
		}
		if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			_ = os.RemoveAll(path)
		}
		f.Close()
	}
}
