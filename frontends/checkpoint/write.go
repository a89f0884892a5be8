package checkpoint

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"foundry/ir/dtype"
)

// Tensor is a tensor to be written.
type Tensor struct {
	Name  string
	DType dtype.Type
	Shape []int64
	Data  []byte // elements, row-major, little endian
}

// WriteSafetensors writes tensors as a safetensors file, in the given order.
func WriteSafetensors(w io.Writer, tensors []Tensor) error {
	items := make([]item, len(tensors))
	for i, t := range tensors {
		entry, err := entryOf(t.Name, t.DType, t.Shape)
		if err != nil {
			return err
		}
		if entry.bytes != int64(len(t.Data)) {
			return fmt.Errorf("tensor %q: shape %v of %v needs %d bytes, but there are %d", t.Name, t.Shape, t.DType, entry.bytes, len(t.Data))
		}
		items[i] = item{[]headerTensor{entry}, func() ([]byte, error) { return t.Data, nil }}
	}
	return writeItems(w, items, nil)
}

// headerTensor is a tensor in a file's header.
type headerTensor struct {
	name, dtype string
	shape       []int64
	bytes       int64
}

// item is one or more tensors that are made together, when their turn comes.
type item struct {
	tensors []headerTensor
	data    func() ([]byte, error) // contents of all tensors, one behind the other
}

var safetensorNames = map[dtype.Type]string{dtype.F32: "F32", dtype.F16: "F16", dtype.BF16: "BF16", dtype.I32: "I32"}

func entryOf(name string, t dtype.Type, shape []int64) (headerTensor, error) {
	word, ok := safetensorNames[t]
	if !ok {
		return headerTensor{}, fmt.Errorf("tensor %q: safetensors cannot hold %v", name, t)
	}
	size, err := storedBytes(t, shape)
	if err != nil {
		return headerTensor{}, fmt.Errorf("tensor %q: %w", name, err)
	}
	return headerTensor{name, word, append([]int64{}, shape...), size}, nil // a scalar's shape is [], not null
}

// writeItems writes a file of items in their order; memory holds one of them at a
// time.
func writeItems(w io.Writer, items []item, metadata map[string]string) error {
	var header strings.Builder
	header.WriteByte('{')
	first := true
	field := func(name string, value any) error {
		b, err := json.Marshal(map[string]any{name: value})
		if err != nil {
			return err
		}
		if !first {
			header.WriteByte(',')
		}
		first = false
		header.Write(b[1 : len(b)-1])
		return nil
	}
	if len(metadata) > 0 {
		if err := field("__metadata__", metadata); err != nil {
			return err
		}
	}
	at := int64(0)
	seen := map[string]bool{}
	for _, x := range items {
		for _, t := range x.tensors {
			if seen[t.name] {
				return fmt.Errorf("tensor %q is given twice", t.name)
			}
			seen[t.name] = true
			if err := field(t.name, headerOut{t.dtype, t.shape, [2]int64{at, at + t.bytes}}); err != nil {
				return err
			}
			at += t.bytes
		}
	}
	header.WriteByte('}')
	for header.Len()%8 != 0 { // so that the data is aligned when the file is mapped
		header.WriteByte(' ')
	}
	if err := binary.Write(w, binary.LittleEndian, uint64(header.Len())); err != nil {
		return err
	}
	if _, err := io.WriteString(w, header.String()); err != nil {
		return err
	}
	for _, x := range items {
		data, err := x.data()
		if err != nil {
			return err
		}
		if _, err := w.Write(data); err != nil {
			return err
		}
	}
	return nil
}

type headerOut struct {
	DType   string   `json:"dtype"`
	Shape   []int64  `json:"shape"`
	Offsets [2]int64 `json:"data_offsets"`
}
