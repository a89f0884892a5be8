package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// outputFile is the file that a flag names: opened before anything runs, so that a
// name that cannot be written is said first, and there only when it is whole.
type outputFile struct {
	flag, path string
	f          *os.File
}

// openOutput returns nil for no path.
func openOutput(flag, path string) (*outputFile, error) {
	if path == "" {
		return nil, nil
	}
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: %s is no file that can be replaced", flag, path)
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		if of := (*fs.PathError)(nil); errors.As(err, &of) {
			err = of.Err // without the other name
		}
		return nil, fmt.Errorf("%s: cannot write %s: %w", flag, path, err)
	}
	return &outputFile{flag, path, f}, nil
}

// finish lets write fill the file; discard without it leaves nothing behind.
func (o *outputFile) finish(write func(io.Writer) error) error {
	if o == nil {
		return nil
	}
	err := errors.Join(write(o.f), o.f.Chmod(0o644), o.f.Close())
	if err == nil {
		err = os.Rename(o.f.Name(), o.path)
	}
	if err != nil {
		return fmt.Errorf("%s: cannot write %s: %w", o.flag, o.path, err)
	}
	return nil
}

func (o *outputFile) discard() {
	if o != nil {
		_ = o.f.Close()
		_ = os.Remove(o.f.Name()) // gone where finish has renamed it
	}
}
