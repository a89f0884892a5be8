package files

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"sync"
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
	path  string
	place func(made, path string) error // the renaming of what is finished

	mu   sync.Mutex
	done bool // committed or discarded
}

// Create begins the file path, which is replaced when it is there and, when it is a
// symbolic link, stays one. The folder's temporaries of killed processes are removed.
// One of Commit and Discard must follow.
func Create(path string) (*File, error) {
	real, err := filepath.EvalSymlinks(path)
	switch {
	case err == nil:
		path = real
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	var mode fs.FileMode
	info, err := os.Lstat(path)
	switch {
	case err != nil:
	case info.Mode()&fs.ModeSymlink != 0:
		return nil, fmt.Errorf("%q is a link to nothing", path)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%q is no file that can be replaced", path)
	default:
		mode = info.Mode().Perm()
	}
	return begin(path, mode, os.Rename)
}

// CreatePrivate begins a file of a private folder, which this user alone can read and
// write, in the place of whatever stands at path: a link is not followed.
func CreatePrivate(path string) (*File, error) { return begin(path, 0o600, ReplacePrivate) }

// begin is a file of the mode, 0 for the one that the umask leaves, which place takes to path.
func begin(path string, mode fs.FileMode, place func(made, path string) error) (*File, error) {
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
		return &File{File: f, path: path, place: place}, nil
	}
}

// Commit makes the file appear. After an error nothing is left of it.
func (f *File) Commit() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.done {
		return fs.ErrClosed
	}
	f.done = true
	err := f.Sync()
	if err == nil {
		err = f.place(f.Name(), f.path)
	}
	if err != nil {
		err = errors.Join(err, os.Remove(f.Name()))
	}
	return errors.Join(err, f.Close())
}

// Discard removes the file, unless it was committed. Another goroutine may call it.
func (f *File) Discard() error {
	if f == nil {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.done {
		return nil
	}
	f.done = true
	return errors.Join(os.Remove(f.Name()), f.Close())
}

// Write makes path a file with the content that write gives it, whole or not at all.
// When ctx ends, what there is of it is removed, and write fails.
func Write(ctx context.Context, path string, write func(io.Writer) error) error {
	f, err := Create(path)
	if err != nil {
		return err
	}
	defer f.Until(ctx)()
	if err := finish(f, err, write); err != nil {
		return cmp.Or(ctx.Err(), err)
	}
	return nil
}

// Until discards the file when ctx ends, unless it was committed. The function that it
// returns ends the watch.
func (f *File) Until(ctx context.Context) (stop func() bool) {
	return context.AfterFunc(ctx, func() { _ = f.Discard() })
}

// Write implements io.Writer. Errors name the file, not what it is built in.
func (f *File) Write(b []byte) (int, error) {
	n, err := f.File.Write(b)
	if of := (*fs.PathError)(nil); errors.As(err, &of) {
		err = &fs.PathError{Op: of.Op, Path: f.path, Err: of.Err}
	}
	return n, err
}

// WritePrivate writes a file as CreatePrivate begins it, and the same at the other paths of
// its folder. What is nowhere yet is one file of many names: a file that is made takes a file
// system longer than a name, the more so the more were removed of late.
func WritePrivate(path string, b []byte, others ...string) error {
	var left []string // where something stands, or links cannot be
	f, err := CreatePrivate(path)
	err = finish(f, err, func(w io.Writer) error {
		if _, err := w.Write(b); err != nil || len(others) == 0 {
			return err
		}
		if err := f.Sync(); err != nil {
			return err
		}
		for _, other := range others { // while this process alone knows the file's name
			if other != path && os.Link(f.Name(), other) != nil {
				left = append(left, other)
			}
		}
		return nil
	})
	for i := 0; err == nil && i < len(left); i++ {
		err = WritePrivate(left[i], b)
	}
	return err
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

	once sync.Once // a lock of the removal
	err  error
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
			return &Dir{Path: path, held: f}, nil
		}
	}
}

// Remove removes the folder with what it holds. It may be called again, and by another
// goroutine.
func (d *Dir) Remove() error {
	d.once.Do(func() { d.err = errors.Join(os.RemoveAll(d.Path), d.held.Close()) })
	return d.err
}

// Until removes the folder when ctx ends. The function that it returns ends the watch.
func (d *Dir) Until(ctx context.Context) (stop func() bool) {
	return context.AfterFunc(ctx, func() { _ = d.Remove() })
}

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
	d, err := os.Open(dir)
	if err != nil {
		return
	}
	defer d.Close()
	names, _ := d.Readdirnames(-1)
	for _, name := range names {
		if name[0] != '.' || !temporaryName.MatchString(name) { // caches have thousands of others
			continue
		}
		path := filepath.Join(dir, name)
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
