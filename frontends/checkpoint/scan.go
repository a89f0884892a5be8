package checkpoint

import (
	"context"
	"fmt"

	"foundry/ir/dtype"
	"foundry/runtime/files"
)

// Finding counts the values of a tensor that are not finite.
type Finding struct {
	Name     string
	DType    dtype.Type
	Values   int64
	NaN      int64
	Infinite int64
}

// String says what a tensor holds.
func (f Finding) String() string {
	return fmt.Sprintf("tensor %q: %d of %d values are NaN and %d infinite", f.Name, f.NaN, f.Values, f.Infinite)
}

// Scan reads every tensor and lists those in which not all values are finite, in the
// order of their names. progress, which may be nil, is told how many tensors are read.
func Scan(ctx context.Context, s Source, progress func(done, of int)) ([]Finding, error) {
	var out []Finding
	names := s.Names()
	for i, name := range names {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		f, err := ScanTensor(s, name)
		if err != nil {
			return nil, err
		}
		if f.NaN+f.Infinite > 0 {
			out = append(out, f)
		}
		if progress != nil {
			progress(i+1, len(names))
		}
	}
	return out, nil
}

// ScanTensor counts one tensor's values.
func ScanTensor(s Source, name string) (Finding, error) {
	n, err := countValues(s, name)
	info, _ := s.Info(name)
	return Finding{name, info.DType, n.Values, n.NaN, n.Infinite}, err
}

// countValues counts a tensor's values as they are stored.
func countValues(s Source, name string) (out Narrowing, err error) {
	info, _ := s.Info(name)
	data, err := s.Read(name)
	if err != nil {
		return out, err
	}
	n, err := elementCount(info.DType, len(data))
	if err != nil {
		return out, fmt.Errorf("%s: tensor %q: %w", s.Label(), name, err)
	}
	err = files.Guard(func() error {
		out = countStored(info.DType, data, n)
		return nil
	})
	return out, Cause(s, err)
}
