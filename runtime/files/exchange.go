package files

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// ReplaceFolder puts the folder fresh where dir is, or will be. What stands there goes to
// a name beside fresh, which is to lie in a temporary folder on dir's file system. Where
// the file system can exchange two names, something stands at dir at every moment, so a
// process that is killed loses nothing. may says whether there is something, and is an
// error where that must stay; it is asked again when another process has been there
// meanwhile.
func ReplaceFolder(fresh, dir string, may func(dir string) (exists bool, err error)) error {
	for attempt := 0; ; attempt++ {
		exists, err := Steady(dir, may)
		switch {
		case err != nil:
			return err
		case exists:
			if err = exchange(fresh, dir); err != nil {
				err = &os.LinkError{Op: "exchange", Old: fresh, New: dir, Err: err}
			}
			if noExchange(err) {
				err = moveAndRename(fresh, dir, fmt.Sprintf("%s.old%d", fresh, attempt))
			}
		default:
			err = os.Rename(fresh, dir)
		}
		// Another process's folder came (ErrExist is ENOTEMPTY, too) or went.
		changed := errors.Is(err, fs.ErrExist) || errors.Is(err, fs.ErrNotExist)
		if !changed || attempt == 1000 {
			return err
		}
	}
}

// noExchange reports whether err is of a file system, or a kernel, that exchanges no names.
func noExchange(err error) bool {
	return errors.Is(err, errors.ErrUnsupported) || errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOSYS)
}

// Steady looks at what stands at dir, again as long as something else came to stand there
// during the look: what another process replaces is seen half removed otherwise.
func Steady(dir string, look func(dir string) (exists bool, err error)) (exists bool, err error) {
	for attempt := 0; ; attempt++ {
		before, errBefore := os.Lstat(dir)
		exists, err = look(dir)
		after, errAfter := os.Lstat(dir)
		same := errBefore != nil && errAfter != nil
		if errBefore == nil && errAfter == nil {
			// A file system gives the number of a removed folder to the next one, so the time counts, too.
			same = os.SameFile(before, after) && before.ModTime().Equal(after.ModTime())
		}
		if same || attempt == 1000 {
			return exists, err
		}
	}
}

// moveAndRename is the exchange where a file system has none: what stands at dir is moved
// to old, and back on failure. Between the two renames nothing stands there.
func moveAndRename(fresh, dir, old string) error {
	if err := os.Rename(dir, old); err != nil {
		return err
	}
	err := os.Rename(fresh, dir)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		err = errors.Join(err, os.Rename(old, dir))
	}
	return err
}
