package checkpoint

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"iter"
	"slices"

	"foundry/ir/dtype"
	"foundry/runtime/files"
)

// StoredAs is the type that WriteGGUF stores a tensor in when matrices are wanted
// in a given type, or in the one they have (dtype.Invalid): vectors (norms,
// biases) are f32, and a matrix whose rows do not divide into blocks becomes f16.
func StoredAs(weights dtype.Type, info Info) dtype.Type {
	switch {
	case len(info.Shape) < 2:
		return dtype.F32
	case weights == dtype.Invalid:
		return info.DType
	case !WholeBlocks(weights, info.Shape):
		return dtype.F16
	}
	return weights
}

// fileTypes are GGUF's numbers for what most tensors of a file are.
var fileTypes = map[dtype.Type]uint32{
	dtype.F32: 0, dtype.F16: 1, dtype.Q4_0: 2, dtype.Q4_1: 3, dtype.Q8_0: 7, dtype.Q5_0: 8, dtype.Q5_1: 9, dtype.BF16: 32,
	dtype.Q2_K: 10, dtype.Q3_K: 11, dtype.Q4_K: 14, dtype.Q5_K: 16, dtype.Q6_K: 18, dtype.IQ4_NL: 25, dtype.IQ4_XS: 30,
}

// typeChoice gives each tensor of a file its type.
type typeChoice func(name string, info Info) dtype.Type

// commonType is the type that most elements of a checkpoint's matrices have in a file;
// dtype.Invalid where there are no matrices.
func commonType(stored typeChoice, s Source) dtype.Type {
	elements := map[dtype.Type]int64{}
	best := dtype.Invalid
	for _, name := range modelTensors(s) {
		info, _ := s.Info(name)
		if len(info.Shape) < 2 {
			continue
		}
		t := stored(name, info)
		elements[t] += info.Elements()
		if elements[t] > elements[best] {
			best = t
		}
	}
	return best
}

// WriteGGUF writes a Qwen2 checkpoint as a GGUF v3 file: its matrices in the
// given type or, for dtype.Invalid, in the one they have (see StoredAs), its
// configuration, and its tokenizer where it has
// one. Tensors are converted one after the other, so memory holds one of them.
// report and progress may be nil; progress is told how many tensors are
// written. The file appears complete or not at all; when ctx ends, not at all.
func WriteGGUF(ctx context.Context, path string, s Source, weights dtype.Type, report func(tensor string, n Narrowing), progress func(done, of int)) error {
	if _, named := fileTypes[weights]; weights != dtype.Invalid && !(named && weights.CanQuantise()) {
		return fmt.Errorf("cannot write %s: %v weights cannot be made (%s can)", path, weights, typeNames(writable()))
	}
	stored := func(_ string, info Info) dtype.Type { return StoredAs(weights, info) }
	if err := writeGGUF(ctx, path, s, stored, fileTypes[commonType(stored, s)], report, progress); err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	return nil
}

func writeGGUF(ctx context.Context, path string, s Source, stored typeChoice, fileType uint32, report func(tensor string, n Narrowing), progress func(done, of int)) error {
	meta, err := ggufMetadata(s, fileType, commonType(stored, s).Quantised())
	if err != nil {
		return fmt.Errorf("%s: %w", s.Label(), err)
	}
	return files.Write(ctx, path, func(w io.Writer) error {
		err := files.Guard(func() error { return encodeGGUF(w, s, meta, stored, report, progress) })
		if err != nil {
			return Cause(s, err)
		}
		return nil
	})
}

// writable lists the types that a file's matrices can be made.
func writable() iter.Seq[dtype.Type] {
	return func(yield func(dtype.Type) bool) {
		for t := range fileTypes {
			if t.CanQuantise() && !yield(t) {
				return
			}
		}
	}
}

func encodeGGUF(w io.Writer, s Source, meta []ggufEntry, stored typeChoice, report func(tensor string, n Narrowing), progress func(done, of int)) error {
	names := modelTensors(s)
	numbers := map[dtype.Type]uint32{}
	for number, t := range ggmlTypes {
		numbers[t] = number
	}
	h := ggufBuilder(ggufMagic)
	h.u32(3)
	h.u64(uint64(len(names)))
	h.u64(uint64(len(meta)))
	for _, e := range meta {
		h.entry(e)
	}
	offset := int64(0)
	for _, name := range names {
		info, _ := s.Info(name)
		t := stored(name, info)
		if _, ok := numbers[t]; !ok {
			return fmt.Errorf("tensor %q is %v, which GGUF does not hold; give --weights", name, t)
		}
		size, err := storedBytes(t, info.Shape)
		if err != nil {
			return fmt.Errorf("tensor %q: %w", name, err)
		}
		if len(info.Shape) > ggufMaxDims {
			return fmt.Errorf("tensor %q: GGUF holds at most %d dimensions, not %v", name, ggufMaxDims, info.Shape)
		}
		h.str(ggufName(name))
		h.u32(uint32(len(info.Shape)))
		for _, d := range slices.Backward(info.Shape) {
			h.u64(uint64(d))
		}
		h.u32(numbers[t])
		h.u64(uint64(offset))
		offset += padded(size)
	}
	for int64(len(h)) != padded(int64(len(h))) {
		h = append(h, 0)
	}
	if _, err := w.Write(h); err != nil {
		return err
	}
	for i, name := range names {
		info, _ := s.Info(name)
		t := stored(name, info)
		data, err := readReported(s, name, t, report)
		if err != nil {
			return err
		}
		if _, err := w.Write(data); err != nil {
			return err
		}
		size := int64(len(data))
		if _, err := w.Write(make([]byte, padded(size)-size)); err != nil {
			return err
		}
		if progress != nil {
			progress(i+1, len(names))
		}
	}
	return nil
}

func padded(n int64) int64 { return (n + ggufAlignment - 1) / ggufAlignment * ggufAlignment }

// ggufEntry is a metadata entry: a value of uint32, float32, bool, string,
// []string or []int32.
type ggufEntry struct {
	key   string
	value any
}

// ggufBuilder is the header of a file under construction.
type ggufBuilder []byte

func (b *ggufBuilder) u32(v uint32) { *b = binary.LittleEndian.AppendUint32(*b, v) }
func (b *ggufBuilder) u64(v uint64) { *b = binary.LittleEndian.AppendUint64(*b, v) }

func (b *ggufBuilder) str(s string) {
	b.u64(uint64(len(s)))
	*b = append(*b, s...)
}

func (b *ggufBuilder) entry(e ggufEntry) {
	b.str(e.key)
	switch v := e.value.(type) {
	case uint32:
		b.u32(ggufUint32)
		b.u32(v)
	case float32:
		b.u32(ggufFloat32)
		*b, _ = binary.Append(*b, binary.LittleEndian, v)
	case bool:
		b.u32(ggufBool)
		*b, _ = binary.Append(*b, binary.LittleEndian, v)
	case string:
		b.u32(ggufString)
		b.str(v)
	case []string:
		b.u32(ggufArray)
		b.u32(ggufString)
		b.u64(uint64(len(v)))
		for _, s := range v {
			b.str(s)
		}
	case []int32:
		b.u32(ggufArray)
		b.u32(ggufInt32)
		b.u64(uint64(len(v)))
		*b, _ = binary.Append(*b, binary.LittleEndian, v)
	default:
		panic(fmt.Sprintf("checkpoint: metadata %q has a value of type %T", e.key, v))
	}
}
