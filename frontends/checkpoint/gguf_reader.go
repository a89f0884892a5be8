package checkpoint

import (
	"encoding/binary"
	"fmt"
	"iter"
	"math"
	"slices"
	"strconv"
	"strings"

	"foundry/ir/dtype"
)

// ggufReader walks the header of a GGUF file, little endian. Its errors say what
// was being read. Nothing it allocates is larger than what it has read.
type ggufReader struct {
	b  []byte
	at int
}

func (r *ggufReader) take(n uint64, what string) ([]byte, error) {
	if left := uint64(len(r.b) - r.at); n > left {
		return nil, fmt.Errorf("truncated: %s needs %d bytes, but %d are left", what, n, left)
	}
	b := r.b[r.at : r.at+int(n)]
	r.at += int(n)
	return b, nil
}

func (r *ggufReader) u32(what string) (uint32, error) {
	b, err := r.take(4, what)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint32(b), nil
}

func (r *ggufReader) u64(what string) (uint64, error) {
	b, err := r.take(8, what)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint64(b), nil
}

// count reads how many things follow, each of which takes least bytes or more.
func (r *ggufReader) count(what string, least int) (uint64, error) {
	n, err := r.u64("the number of " + what)
	if err != nil {
		return 0, err
	}
	if left := len(r.b) - r.at; n > uint64(left/least) {
		return 0, fmt.Errorf("the header says there are %d %s, which do not fit the %d bytes that follow", n, what, left)
	}
	return n, nil
}

func (r *ggufReader) str(what string) (string, error) {
	n, err := r.u64(what)
	if err != nil {
		return "", err
	}
	b, err := r.take(n, what)
	return string(b), err
}

// The types of metadata values, by the format's numbers.
const (
	ggufUint8 = iota
	ggufInt8
	ggufUint16
	ggufInt16
	ggufUint32
	ggufInt32
	ggufFloat32
	ggufBool
	ggufString
	ggufArray
	ggufUint64
	ggufInt64
	ggufFloat64
)

// ggufSizes gives the bytes of the types that have a fixed size.
var ggufSizes = map[uint32]int{
	ggufUint8: 1, ggufInt8: 1, ggufUint16: 2, ggufInt16: 2, ggufUint32: 4, ggufInt32: 4,
	ggufFloat32: 4, ggufBool: 1, ggufUint64: 8, ggufInt64: 8, ggufFloat64: 8,
}

// numbers is a metadata array of numbers or booleans, decoded when indexed.
type numbers struct {
	kind uint32
	b    []byte
}

func (n numbers) len() int { return len(n.b) / ggufSizes[n.kind] }

func (n numbers) at(i int) any { return scalar(n.kind, n.b[i*ggufSizes[n.kind]:]) }

// shown is a value of metadata or of a JSON file as an error says it: one line, whatever a
// text holds, and no list of a vocabulary's length.
func shown(v any) string {
	switch v := v.(type) {
	case nil:
		return "missing"
	case string:
		if len(v) > 100 {
			return fmt.Sprintf("a text of %d bytes", len(v))
		}
		return strconv.Quote(v)
	case []string, numbers, []any:
		return "a list"
	case map[string]any:
		return "an object"
	}
	return fmt.Sprint(v)
}

// value reads a metadata value: uint64, int64, float32, float64, bool, string,
// []string or numbers.
func (r *ggufReader) value(kind uint32, what string) (any, error) {
	if size, fixed := ggufSizes[kind]; fixed {
		b, err := r.take(uint64(size), what)
		if err != nil {
			return nil, err
		}
		return scalar(kind, b), nil
	}
	switch kind {
	case ggufString:
		return r.str(what)
	case ggufArray:
		return r.array(what)
	}
	return nil, fmt.Errorf("%s has the unknown type %d", what, kind)
}

func (r *ggufReader) array(what string) (any, error) {
	kind, err := r.u32(what)
	if err != nil {
		return nil, err
	}
	size, fixed := ggufSizes[kind]
	if !fixed && kind != ggufString {
		return nil, fmt.Errorf("%s is an array of type %d, which is not supported", what, kind)
	}
	if !fixed {
		size = 8 // a string's length
	}
	n, err := r.count("elements of "+what, size)
	if err != nil {
		return nil, err
	}
	if fixed {
		b, err := r.take(n*uint64(size), what)
		return numbers{kind, b}, err
	}
	var out []string
	for range n {
		s, err := r.str(what)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

func scalar(kind uint32, b []byte) any {
	le := binary.LittleEndian
	switch kind {
	case ggufUint8:
		return uint64(b[0])
	case ggufInt8:
		return int64(int8(b[0]))
	case ggufUint16:
		return uint64(le.Uint16(b))
	case ggufInt16:
		return int64(int16(le.Uint16(b)))
	case ggufUint32:
		return uint64(le.Uint32(b))
	case ggufInt32:
		return int64(int32(le.Uint32(b)))
	case ggufFloat32:
		return math.Float32frombits(le.Uint32(b))
	case ggufBool:
		return b[0] != 0
	case ggufUint64:
		return le.Uint64(b)
	case ggufInt64:
		return int64(le.Uint64(b))
	}
	return math.Float64frombits(le.Uint64(b))
}

// tensor reads one tensor's entry. The shape is turned around: GGUF counts the
// dimensions from the fastest.
func (r *ggufReader) tensor(i uint64) (name string, info Info, offset uint64, err error) {
	if name, err = r.str(fmt.Sprintf("the name of tensor %d", i)); err != nil {
		return
	}
	what := fmt.Sprintf("tensor %q", name)
	rank, err := r.u32(what)
	if err != nil {
		return
	}
	if rank > ggufMaxDims {
		return name, info, 0, fmt.Errorf("%s: rank %d is above the limit of %d", what, rank, ggufMaxDims)
	}
	info.Shape = make([]int64, rank)
	for d := range info.Shape {
		n, err := r.u64(what)
		if err != nil {
			return name, info, 0, err
		}
		if n > math.MaxInt64 {
			return name, info, 0, fmt.Errorf("%s: dimension %d of %d is too large", what, d, n)
		}
		info.Shape[int(rank)-1-d] = int64(n)
	}
	kind, err := r.u32(what)
	if err != nil {
		return
	}
	if info.DType, err = ggmlType(kind); err != nil {
		return name, info, 0, fmt.Errorf("%s: %w", what, err)
	}
	if info.Bytes, err = storedBytes(info.DType, info.Shape); err != nil {
		return name, info, 0, fmt.Errorf("%s: %w", what, err)
	}
	offset, err = r.u64(what)
	return
}

// typeNames lists types for a message, in their declared order.
func typeNames(types iter.Seq[dtype.Type]) string {
	var names []string
	for _, t := range slices.Sorted(types) {
		names = append(names, t.String())
	}
	return strings.Join(names, ", ")
}
