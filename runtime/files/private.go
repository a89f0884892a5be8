package files

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// Private makes the folder dir, with those above it, and sees to it that it is this
// user's and that nobody else can read or write it. One that others could write
// before is tightened; one of another user, or made for all of them, is an error.
func Private(dir string) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !os.IsExist(err) {
		return err
	}
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%q is not a folder", dir)
	}
	if owner, known := ownerOf(info); known && owner != os.Geteuid() {
		return fmt.Errorf("the folder %q belongs to another user (%d): what it holds is not trusted", dir, owner)
	}
	if info.Mode()&os.ModeSticky != 0 {
		return fmt.Errorf("the folder %q is shared by all users: name one of your own", dir)
	}
	if info.Mode().Perm() != 0o700 { // also where the umask took bits away
		return os.Chmod(dir, 0o700)
	}
	return nil
}

// ReadPrivate is Read of a file of a private folder: one of another user is an
// error, and so is a link, which leads out of it; one that others can write is tightened.
func ReadPrivate(path string, limit int64) ([]byte, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if info.Mode()&os.ModeSymlink != 0 {
		return nil, fmt.Errorf("%q is a link, and no file of its folder", path)
	}
	if owner, known := ownerOf(info); known && owner != os.Geteuid() {
		return nil, fmt.Errorf("the file %q belongs to another user (%d): it is not trusted", path, owner)
	}
	if info.Mode().IsRegular() && info.Mode().Perm() != 0o600 {
		if err := os.Chmod(path, 0o600); err != nil {
			return nil, err
		}
	}
	return Read(path, limit)
}

// ReplacePrivate moves the file made to path, in the same private folder, whatever stands
// there. A folder is moved away first, and then removed, so that of one that cannot be
// moved, as where a disk is mounted, nothing is lost.
func ReplacePrivate(made, path string) error {
	err := os.Rename(made, path)
	if info, e := os.Lstat(path); err == nil || e != nil || !info.IsDir() {
		return err
	}
	away := temporary(filepath.Dir(path), filepath.Base(path))
	if err := os.Rename(path, away); err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("a folder stands in the place of a file: remove it: %w", err)
	}
	return errors.Join(os.Rename(made, path), os.RemoveAll(away))
}

func ownerOf(info os.FileInfo) (uid int, known bool) {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(s.Uid), true
	}
	return 0, false
}
