package checkpoint

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
)

// A GGUF file is a header (magic, version, counts), metadata as typed key-value
// pairs, one entry per tensor (name, dimensions fastest first, type, offset),
// padding, and the tensors' bytes, each at a multiple of the alignment.
//
// The header is read here rather than by a library because every count and
// length in it comes from outside and must cost no more memory than the bytes
// that back it; the published Go parser sizes arrays by what the file claims,
// follows nested arrays without bound, and trims the white space of strings.
// The tests have it read what we write.

const (
	ggufMagic     = "GGUF"
	ggufAlignment = 32 // unless general.alignment says otherwise
	ggufMaxDims   = 4
)

// gguf is a parsed file.
type gguf struct {
	meta    map[string]any // values as ggufValue returns them
	tensors map[string]stored
}

// openGGUF opens a GGUF file of a Qwen2 model, or all files of a split one of which
// path is any. Tensors get Hugging Face's names; config.json, tokenizer.json and
// tokenizer_config.json are made from the metadata when they are asked for.
func openGGUF(path string) (_ Source, err error) {
	var files []mapping
	defer func() {
		if err != nil {
			for _, m := range files {
				m.unmap()
			}
		}
	}()
	open := func(path string) (*gguf, error) {
		m, err := mapFile(path)
		if err != nil {
			return nil, err
		}
		files = append(files, m)
		f, err := parseGGUF(m.data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		return f, nil
	}
	f, err := open(path)
	if err != nil {
		return nil, err
	}
	count, err := f.splitCount()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if count > 1 {
		names, err := splitFiles(path, count)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		parts := make([]*gguf, count)
		for i, name := range names {
			if filepath.Base(name) == filepath.Base(path) {
				parts[i] = f
			} else if parts[i], err = open(name); errors.Is(err, fs.ErrNotExist) {
				return nil, fmt.Errorf("%s: file %d of %d of the model, %s, is missing", path, i+1, count, name)
			} else if err != nil {
				return nil, err
			}
		}
		f = parts[0]
		if err := f.join(parts, names); err != nil {
			return nil, err
		}
	}
	s, err := f.model(path)
	if err != nil {
		return nil, err
	}
	s.files = files
	return s, nil
}

// model is the source that a file, or the files of a split model, are.
func (f *gguf) model(path string) (*store, error) {
	tensors := make(map[string]stored, len(f.tensors))
	for name, t := range f.tensors {
		tensors[huggingFaceName(name)] = t
	}
	if len(tensors) != len(f.tensors) {
		return nil, fmt.Errorf("%s: two tensors mean the same part of the model", path)
	}
	file := func(name string) ([]byte, error) {
		make, ok := ggufFiles[name]
		if !ok {
			return nil, missingFile(path, name)
		}
		b, err := make(f)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		return b, nil
	}
	return &store{label: path, tensors: tensors, file: file}, nil
}

// parseGGUF checks a whole file; its tensors share the bytes of b.
func parseGGUF(b []byte) (*gguf, error) {
	r := &ggufReader{b: b}
	magic, err := r.take(4, "the magic number")
	if err != nil {
		return nil, err
	}
	if string(magic) != ggufMagic {
		return nil, fmt.Errorf("not a GGUF file: it starts with %q", magic)
	}
	version, err := r.u32("the version")
	switch {
	case err != nil:
		return nil, err
	case version == 2<<24 || version == 3<<24:
		return nil, fmt.Errorf("a big-endian GGUF file is not supported")
	case version != 2 && version != 3:
		return nil, fmt.Errorf("GGUF version %d is not supported (2 and 3 are)", version)
	}
	tensorCount, err := r.count("tensors", 32) // name length, rank, one dimension, type, offset
	if err != nil {
		return nil, err
	}
	metaCount, err := r.count("metadata entries", 13) // key length, type, one byte
	if err != nil {
		return nil, err
	}
	f := &gguf{meta: map[string]any{}, tensors: map[string]stored{}}
	for i := range metaCount {
		if err := f.readMeta(r, i); err != nil {
			return nil, err
		}
	}
	alignment, err := f.alignment()
	if err != nil {
		return nil, err
	}
	return f, f.readTensors(r, tensorCount, alignment)
}

func (f *gguf) readMeta(r *ggufReader, i uint64) error {
	key, err := r.str(fmt.Sprintf("the key of metadata entry %d", i))
	if err != nil {
		return err
	}
	if _, twice := f.meta[key]; twice {
		return fmt.Errorf("metadata key %q is given twice", key)
	}
	what := fmt.Sprintf("metadata %q", key)
	kind, err := r.u32(what)
	if err != nil {
		return err
	}
	f.meta[key], err = r.value(kind, what)
	return err
}

func (f *gguf) alignment() (int64, error) {
	v, given := f.meta["general.alignment"]
	if !given {
		return ggufAlignment, nil
	}
	n, ok := v.(uint64)
	if !ok || n == 0 || n > 1<<20 || n&(n-1) != 0 {
		return 0, fmt.Errorf("metadata \"general.alignment\" is %s: want a power of two up to %d", shown(v), 1<<20)
	}
	return int64(n), nil
}

// readTensors reads the tensors' entries and checks their place in the data.
func (f *gguf) readTensors(r *ggufReader, count uint64, alignment int64) error {
	type location struct {
		name   string
		info   Info
		offset uint64
	}
	var places []location
	for i := range count {
		name, info, offset, err := r.tensor(i)
		if err != nil {
			return err
		}
		if _, twice := f.tensors[name]; twice {
			return fmt.Errorf("tensor %q is listed twice", name)
		}
		if offset%uint64(alignment) != 0 {
			return fmt.Errorf("tensor %q: offset %d is no multiple of the alignment %d", name, offset, alignment)
		}
		f.tensors[name] = stored{Info: info}
		places = append(places, location{name, info, offset})
	}
	start := (int64(r.at) + alignment - 1) / alignment * alignment
	if len(places) == 0 {
		return nil
	}
	room := uint64(max(0, int64(len(r.b))-start))
	slices.SortFunc(places, func(a, b location) int {
		return cmp.Or(cmp.Compare(a.offset, b.offset), cmp.Compare(a.info.Bytes, b.info.Bytes), cmp.Compare(a.name, b.name))
	})
	for i, p := range places {
		if p.offset > room || uint64(p.info.Bytes) > room-p.offset {
			return fmt.Errorf("tensor %q: %d bytes at offset %d lie outside the %d bytes of data (is the file truncated?)", p.name, p.info.Bytes, p.offset, room)
		}
		if i > 0 {
			if before := places[i-1]; before.offset+uint64(before.info.Bytes) > p.offset {
				return fmt.Errorf("tensor %q at offset %d overlaps tensor %q", p.name, p.offset, before.name)
			}
		}
		begin := start + int64(p.offset)
		end := begin + p.info.Bytes
		f.tensors[p.name] = stored{p.info, r.b[begin:end:end]}
	}
	return nil
}
