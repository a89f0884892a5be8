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
	Data  []byte // row-major, little endian
}

// WriteSafetensors writes tensors as a safetensors file, in the given order.
func WriteSafetensors(w io.Writer, tensors []Tensor) error {
	names := map[dtype.Type]string{dtype.F32: "F32", dtype.F16: "F16", dtype.BF16: "BF16", dtype.I32: "I32"}
	var header strings.Builder
	header.WriteByte('{')
	at := int64(0)
	seen := map[string]bool{}
	for i, t := range tensors {
		name, ok := names[t.DType]
		if !ok {
			return fmt.Errorf("tensor %q: safetensors cannot hold %v", t.Name, t.DType)
		}
		size, err := storedBytes(t.DType, t.Shape)
		switch {
		case err != nil:
			return fmt.Errorf("tensor %q: %w", t.Name, err)
		case size != int64(len(t.Data)):
			return fmt.Errorf("tensor %q: shape %v of %v needs %d bytes, but there are %d", t.Name, t.Shape, t.DType, size, len(t.Data))
		case seen[t.Name]:
			return fmt.Errorf("tensor %q is given twice", t.Name)
		}
		seen[t.Name] = true
		shape := append([]int64{}, t.Shape...) // a scalar's shape is [], not null
		entry, err := json.Marshal(map[string]headerOut{t.Name: {name, shape, [2]int64{at, at + size}}})
		if err != nil {
			return err
		}
		if i > 0 {
			header.WriteByte(',')
		}
		header.Write(entry[1 : len(entry)-1])
		at += size
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
	for _, t := range tensors {
		if _, err := w.Write(t.Data); err != nil {
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
