package model

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"foundry/frontends/checkpoint"
	"foundry/ir/dtype"
)

// Conversion is what Convert wrote.
type Conversion struct {
	Tensors []TensorGroup        // counts of tensors by dtype
	Loss    checkpoint.Narrowing // losses of conversions to narrower types
	Notes   []string             // notes for the user, a line each
}

// Convert writes a model as a GGUF file, where path ends in .gguf, or as a folder of
// safetensors, whose affine matrices MLX reads: its matrices in the given dtype or, for
// dtype.Invalid, in the one they are stored in. Vectors of a GGUF file are f32. Rows
// that the dtype's blocks do not divide stay f16. progress may be nil.
func Convert(ctx context.Context, m *Model, weights dtype.Type, path string, progress func(what string, done, of int64)) (*Conversion, error) {
	write := checkpoint.WriteFolder
	if strings.HasSuffix(path, ".gguf") {
		write = checkpoint.WriteGGUF
	}
	out, err := convert(m, path, progress, func(report func(string, checkpoint.Narrowing), told func(done, of int)) error {
		return write(ctx, path, m.source, weights, report, told)
	})
	if err == nil && weights != dtype.Invalid {
		if _, _, note := m.MatrixTypes(weights, dtype.F16); note != "" {
			out.Notes = append([]string{note}, out.Notes...)
		}
	}
	return out, err
}

// ConvertMix writes a model as a GGUF file whose matrices have the types of the mix
// checkpoint.MixName. progress may be nil.
func ConvertMix(ctx context.Context, m *Model, path string, progress func(what string, done, of int64)) (*Conversion, error) {
	return convert(m, path, progress, func(report func(string, checkpoint.Narrowing), told func(done, of int)) error {
		return checkpoint.WriteMix(ctx, path, m.source, report, told)
	})
}

func convert(m *Model, path string, progress func(what string, done, of int64), write func(report func(string, checkpoint.Narrowing), told func(done, of int)) error) (*Conversion, error) {
	if m.source == nil {
		return nil, errors.New("a graph has no weights to convert; give --model a checkpoint")
	}
	out := &Conversion{}
	var told func(done, of int)
	if progress != nil {
		told = func(done, of int) { progress("convert", int64(done), int64(of)) }
	}
	var bad []checkpoint.Finding
	report := func(tensor string, n checkpoint.Narrowing) {
		out.Loss.Add(n)
		if n.NaN+n.Infinite > 0 {
			info, _ := m.source.Info(tensor)
			bad = append(bad, checkpoint.Finding{Name: tensor, DType: info.DType, Values: n.Values, NaN: n.NaN, Infinite: n.Infinite})
		}
	}
	if err := write(report, told); err != nil {
		return nil, err
	}
	if note := out.Loss.Note(); note != "" {
		out.Notes = append(out.Notes, note)
	}
	for _, f := range bad {
		out.Notes = append(out.Notes, f.String())
	}
	written, err := Open(path, checkpoint.Hub{})
	if err != nil {
		return nil, fmt.Errorf("what was written does not read back: %w", err)
	}
	defer written.Close()
	out.Tensors = written.TensorGroups()
	return out, nil
}
