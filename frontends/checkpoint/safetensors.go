package checkpoint

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"path/filepath"
	"slices"

	"foundry/ir/dtype"
)

// A safetensors file is eight bytes with the header's length n (little endian),
// n bytes of JSON that give each tensor its dtype, shape and byte range, and
// the tensors' bytes, without gaps, to the end of the file.

const (
	maxHeader = 100 << 20 // the published reader's limit
	maxRank   = 8
)

// safetensorTypes are the dtype names of the format that a model here can use. A
// U32 holds packed levels, whose sign is no matter.
var safetensorTypes = map[string]dtype.Type{
	"F32":  dtype.F32,
	"F16":  dtype.F16,
	"BF16": dtype.BF16,
	"I32":  dtype.I32,
	"U32":  dtype.I32,
}

// openFile opens a single safetensors file; the files beside it go with it.
func openFile(path string) (Source, error) {
	m, err := mapFile(path)
	if err != nil {
		return nil, err
	}
	tensors, err := parseSafetensors(path, m.data)
	if err != nil {
		m.unmap()
		return nil, err
	}
	return &store{path, tensors, folderFile(filepath.Dir(path)), []mapping{m}}, nil
}

type headerEntry struct {
	DType   *string  `json:"dtype"`
	Shape   *[]int64 `json:"shape"`
	Offsets []int64  `json:"data_offsets"`
}

// parseSafetensors checks a whole file and returns its tensors, which share its
// bytes. file is the name for errors.
func parseSafetensors(file string, b []byte) (map[string]stored, error) {
	header, data, err := splitHeader(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	entries, order, err := decodeHeader(header)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	out := make(map[string]stored, len(order))
	type span struct {
		name       string
		begin, end int64
	}
	spans := make([]span, 0, len(entries))
	for _, name := range order { // so that of several faults it is always the first that is named
		e := entries[name]
		info, err := e.check(int64(len(data)))
		if err != nil {
			return nil, fmt.Errorf("%s: tensor %q: %w", file, name, err)
		}
		out[name] = stored{info, data[e.Offsets[0]:e.Offsets[1]:e.Offsets[1]]}
		spans = append(spans, span{name, e.Offsets[0], e.Offsets[1]})
	}
	slices.SortFunc(spans, func(a, b span) int {
		return cmp.Or(cmp.Compare(a.begin, b.begin), cmp.Compare(a.end, b.end), cmp.Compare(a.name, b.name))
	})
	at, last := int64(0), ""
	for _, s := range spans {
		switch {
		case s.begin < at:
			return nil, fmt.Errorf("%s: tensor %q at bytes %d-%d overlaps tensor %q, which ends at %d", file, s.name, s.begin, s.end, last, at)
		case s.begin > at:
			return nil, fmt.Errorf("%s: tensor %q: starts at byte %d, but the bytes from %d on belong to no tensor", file, s.name, s.begin, at)
		}
		at, last = s.end, s.name
	}
	if at != int64(len(data)) {
		return nil, fmt.Errorf("%s: %d bytes after the last tensor belong to no tensor", file, int64(len(data))-at)
	}
	return out, nil
}

func splitHeader(b []byte) (header, data []byte, err error) {
	if len(b) == 0 {
		return nil, nil, fmt.Errorf("the file is empty")
	}
	if len(b) < 8 {
		return nil, nil, fmt.Errorf("truncated: %d bytes cannot hold a safetensors header", len(b))
	}
	n := binary.LittleEndian.Uint64(b)
	if n > uint64(len(b)-8) {
		return nil, nil, fmt.Errorf("the header says it has %d bytes, but only %d follow (truncated, or not a safetensors file)", n, len(b)-8)
	}
	if n > maxHeader {
		return nil, nil, fmt.Errorf("a header of %d bytes is above the limit of %d", n, maxHeader)
	}
	return b[8 : 8+n], b[8+n:], nil
}

// decodeHeader reads the header's object entry by entry, and the names in the order of
// the file, because a map would
// hide a tensor that is listed twice.
func decodeHeader(header []byte) (entries map[string]headerEntry, order []string, err error) {
	dec := json.NewDecoder(bytes.NewReader(header))
	notJSON := func(err error) error {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			err = errors.New("it breaks off inside the object")
		}
		return fmt.Errorf("the header is not the JSON of a safetensors file: %w", err)
	}
	open, err := dec.Token()
	if err != nil {
		return nil, nil, notJSON(err)
	}
	if open != json.Delim('{') {
		return nil, nil, notJSON(fmt.Errorf("it starts with %v", open))
	}
	entries = map[string]headerEntry{}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return nil, nil, notJSON(err)
		}
		name := key.(string) // the decoder accepts nothing else as a key
		if name == "__metadata__" {
			if err := dec.Decode(new(map[string]string)); err != nil {
				return nil, nil, notJSON(err)
			}
			continue
		}
		if _, twice := entries[name]; twice {
			return nil, nil, fmt.Errorf("tensor %q is listed twice", name)
		}
		var e headerEntry
		if err := dec.Decode(&e); err != nil {
			if wrong := (*json.UnmarshalTypeError)(nil); errors.As(err, &wrong) {
				return nil, nil, fmt.Errorf("tensor %q: its header entry is malformed: a %s cannot be its %s", name, wrong.Value, cmp.Or(wrong.Field, "entry"))
			}
			return nil, nil, notJSON(err)
		}
		entries[name] = e
		order = append(order, name)
	}
	if _, err := dec.Token(); err != nil {
		return nil, nil, notJSON(err)
	}
	if rest := bytes.Trim(header[dec.InputOffset():], " \t\r\n"); len(rest) > 0 {
		return nil, nil, notJSON(fmt.Errorf("%d bytes follow the object", len(rest)))
	}
	return entries, order, nil
}

// check verifies one entry against itself and against the size of the data.
func (e headerEntry) check(data int64) (Info, error) {
	if e.DType == nil || e.Shape == nil || len(e.Offsets) != 2 {
		return Info{}, fmt.Errorf("its header entry needs dtype, shape and two data_offsets")
	}
	t, ok := safetensorTypes[*e.DType]
	if !ok {
		return Info{}, fmt.Errorf("unknown dtype %q (known: BF16, F16, F32, I32, U32)", *e.DType)
	}
	size, err := storedBytes(t, *e.Shape)
	if err != nil {
		return Info{}, err
	}
	begin, end := e.Offsets[0], e.Offsets[1]
	if begin < 0 || end < begin || end > data {
		return Info{}, fmt.Errorf("bytes %d-%d lie outside the %d bytes of data (is the file truncated?)", begin, end, data)
	}
	if end-begin != size {
		return Info{}, fmt.Errorf("shape %v of %s needs %d bytes, but its offsets hold %d", *e.Shape, *e.DType, size, end-begin)
	}
	return Info{DType: t, Shape: *e.Shape, Bytes: size}, nil
}

// storedBytes is the size of a tensor, or an error when the shape is no shape,
// the size does not fit an int64, or rows do not divide into blocks.
func storedBytes(t dtype.Type, shape []int64) (int64, error) {
	if len(shape) > maxRank {
		return 0, fmt.Errorf("rank %d is above the limit of %d", len(shape), maxRank)
	}
	elems, bytes := t.Block()
	n := uint64(1)
	for _, d := range shape {
		if d < 0 {
			return 0, fmt.Errorf("shape %v has a negative dimension", shape)
		}
		hi, lo := bits.Mul64(n, uint64(d))
		if hi != 0 || lo > 1<<56 { // at four bytes an element, 2^58 bytes
			return 0, fmt.Errorf("shape %v is too large", shape)
		}
		n = lo
	}
	if elems > 1 && (len(shape) == 0 || shape[len(shape)-1]%int64(elems) != 0) {
		return 0, fmt.Errorf("rows of shape %v do not divide into %v blocks of %d elements", shape, t, elems)
	}
	return int64(n) / int64(elems) * int64(bytes), nil
}
