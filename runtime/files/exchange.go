package files

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// Exchange gives two files or folders of one file system each other's names, at once:
// nobody finds a name without its file. The error is errors.ErrUnsupported where the
// system or the file system cannot.
func Exchange(a, b string) error {
	err := exchange(a, b)
	if err == nil {
		return nil
	}
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOSYS) || errors.Is(err, syscall.ENOTSUP) {
		err = errors.ErrUnsupported
	}
	if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return &os.LinkError{Op: "exchange", Old: a, New: b, Err: err}
}
