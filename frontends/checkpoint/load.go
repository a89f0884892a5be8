package checkpoint

import (
	"errors"
	"fmt"

	"foundry/ir/dtype"
	"foundry/runtime/files"
)

// generator is a Source that makes a tensor in the wanted type directly.
type generator interface {
	// generate fills dst, whose length is right, with elements of a type that
	// can be written.
	generate(name string, want dtype.Type, dst []byte, report *Narrowing)
}

// Fits reports whether rows of the shape divide into blocks of t.
func Fits(t dtype.Type, shape []int64) bool {
	_, err := storedBytes(t, shape)
	return err == nil
}

// ReadAs returns a tensor as elements of type want: the stored bytes where that
// is their type (not to be written to, valid until Close), fresh ones
// otherwise. report, which may be nil, is added to.
func ReadAs(s Source, name string, want dtype.Type, report *Narrowing) ([]byte, error) {
	info, ok := s.Info(name)
	if !ok {
		return nil, unknownTensor(s, name)
	}
	if info.DType == want {
		return s.Read(name)
	}
	size, err := storedBytes(want, info.Shape)
	if err != nil {
		return nil, fmt.Errorf("%s: tensor %q: %w", s.Label(), name, err)
	}
	dst := make([]byte, size)
	return dst, Load(s, name, want, dst, report)
}

// Load writes a tensor, as elements of type want, to dst, which must have the
// exact length. report, which may be nil, is added to.
func Load(s Source, name string, want dtype.Type, dst []byte, report *Narrowing) error {
	info, ok := s.Info(name)
	if !ok {
		return unknownTensor(s, name)
	}
	size, err := storedBytes(want, info.Shape)
	if err != nil {
		return fmt.Errorf("%s: tensor %q: %w", s.Label(), name, err)
	}
	if size != int64(len(dst)) {
		return fmt.Errorf("%s: tensor %q: shape %v of %v needs %d bytes, not %d", s.Label(), name, info.Shape, want, size, len(dst))
	}
	if g, ok := s.(generator); ok && want.CanQuantise() {
		g.generate(name, want, dst, report)
		return nil
	}
	src, err := s.Read(name)
	if err != nil {
		return err
	}
	err = files.Guard(func() error { return Convert(want, dst, info.DType, src, report) })
	if fault := (*files.Fault)(nil); errors.As(err, &fault) {
		return Cause(s, err)
	}
	if err != nil {
		return fmt.Errorf("%s: tensor %q: %w", s.Label(), name, err)
	}
	return nil
}

// Cause is the reason of an error of those who read the tensors of s: that a file was
// cut, where that is so, otherwise err.
func Cause(s Source, err error) error {
	if mapped, ok := s.(Mapped); ok {
		if cut := mapped.Whole(); cut != nil {
			return cut
		}
	}
	return err
}
