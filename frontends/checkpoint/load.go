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

// WholeBlocks reports whether rows of the shape divide into blocks of t.
func WholeBlocks(t dtype.Type, shape []int64) bool {
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

// readReported is ReadAs that tells report, which may be nil, what the tensor lost or,
// where it stays as stored, holds.
func readReported(s Source, name string, want dtype.Type, report func(tensor string, n Narrowing)) ([]byte, error) {
	var n Narrowing
	data, err := ReadAs(s, name, want, &n)
	if info, _ := s.Info(name); err == nil && report != nil && want == info.DType {
		n, err = countValues(s, name)
	}
	if err == nil && report != nil {
		report(name, n)
	}
	return data, err
}

// Load writes a tensor, as elements of type want, to dst, which must have the
// exact length. report, which may be nil, is added to. Values that become zero are
// counted; those that would become infinite are an error, and so is in a block what
// is not finite, because the whole block would be lost with it.
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
	var lost Narrowing
	err = files.Guard(func() error { return Convert(want, dst, info.DType, src, &lost) })
	if fault := (*files.Fault)(nil); errors.As(err, &fault) {
		return Cause(s, err)
	}
	if err == nil {
		err = lost.unusable(want)
	}
	if err != nil {
		return fmt.Errorf("%s: tensor %q: %w", s.Label(), name, err)
	}
	report.Add(lost)
	return nil
}

// unusable is an error where a tensor cannot stand as values of type t.
func (n Narrowing) unusable(t dtype.Type) error {
	switch {
	case t.Quantised() && n.NaN+n.Infinite > 0:
		return fmt.Errorf("%d of %d values are NaN and %d infinite, which no %v block holds", n.NaN, n.Values, n.Infinite, t)
	case n.Overflowed > 0:
		return fmt.Errorf("%d of %d values are too large for %v; take wider weights (--weights bf16 or f32)", n.Overflowed, n.Values, t)
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
