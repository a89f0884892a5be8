package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"foundry/runtime/files"
)

// outputFile is the file that a flag names: opened before anything runs, so that a
// name that cannot be written is said first, and there only when it is whole.
type outputFile struct {
	flag, path string
	f          *files.File
}

// openOutput returns nil for no path. When ctx ends nothing is left of the file.
func openOutput(ctx context.Context, flag, path string) (*outputFile, error) {
	if path == "" {
		return nil, nil
	}
	f, err := files.Create(path)
	if err != nil {
		if of := (*fs.PathError)(nil); errors.As(err, &of) {
			err = of.Err
		}
		return nil, fmt.Errorf("%s: cannot write %s: %w", flag, path, err)
	}
	f.Until(ctx)
	return &outputFile{flag, path, f}, nil
}

// finish lets write fill the file; discard without it leaves nothing behind.
func (o *outputFile) finish(write func(io.Writer) error) error {
	if o == nil {
		return nil
	}
	err := write(o.f)
	if err == nil {
		err = o.f.Commit()
	}
	if of := (*fs.PathError)(nil); errors.As(err, &of) {
		err = of.Err // without the other name
	}
	if err != nil {
		return fmt.Errorf("%s: cannot write %s: %w", o.flag, o.path, errors.Join(err, o.f.Discard()))
	}
	return nil
}

func (o *outputFile) discard() {
	if o != nil {
		_ = o.f.Discard()
	}
}
