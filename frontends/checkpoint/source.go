// Package checkpoint turns a model's place (a folder, a file, a hub name, a
// seeded recipe) into tensors by name and the configuration files beside them.
//
// Every place gives the same interface, Source. Sources read lazily: files are
// memory-mapped, synthetic weights are generated when they are asked for, and
// Load converts to the element type that the consumer wants. Bytes from outside
// are checked completely when a source is opened, so that a Source in hand has
// tensors that lie inside their file and have the size their shape says.
//
// Read next: foundry/frontends/decoder, which reads the configuration and asks
// for the tensors; safetensors.go here for the most common place.
package checkpoint

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"foundry/ir/dtype"
	"foundry/ir/names"
	"foundry/runtime/files"
)

// Source is one opened checkpoint. It is safe for concurrent use until Close.
type Source interface {
	// Label says where the tensors come from, for messages.
	Label() string
	// Names lists the tensors, sorted.
	Names() []string
	// Info describes a tensor; false when there is none of that name.
	Info(name string) (Info, bool)
	// Read returns a tensor's bytes as stored, row-major. They must not be
	// written to and are valid until Close. They may be a mapped file: who reads
	// them does so in files.Guard.
	Read(name string) ([]byte, error)
	// File returns a file that goes with the tensors, such as config.json or
	// tokenizer.json. The error wraps fs.ErrNotExist when there is none.
	File(name string) ([]byte, error)
	Close() error
}

// Mapped is implemented by sources whose tensors may lie in mapped files.
type Mapped interface {
	// Pages returns the whole pages of memory that hold a tensor as stored, and
	// where it begins in them; nil when it lies in no mapped file. They may be read
	// until Close.
	Pages(name string) (pages []byte, offset int64)
	// Whole is an error that names a mapped file that was cut since: reading the
	// tensors in it ends in a fault.
	Whole() error
}

// Info describes one stored tensor.
type Info struct {
	DType dtype.Type
	Shape []int64 // lengths, rows first, as in the model's own code
	Bytes int64   // stored bytes
}

// Elements is the product of the shape.
func (i Info) Elements() int64 {
	n := int64(1)
	for _, d := range i.Shape {
		n *= d
	}
	return n
}

// Open opens a checkpoint on disk: a Hugging Face folder (one safetensors file,
// or several with an index), a single .safetensors file, or a .gguf file.
func Open(path string) (s Source, err error) {
	guarded := files.Guard(func() error {
		s, err = open(path)
		return nil
	})
	if guarded != nil {
		return nil, fmt.Errorf("%s: %w", path, guarded)
	}
	return s, err
}

func open(path string) (Source, error) {
	st, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := files.Dangling(path); err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("%s: no such model file or folder", path)
	case err != nil:
		return nil, err
	case st.IsDir():
		return openFolder(path)
	case strings.HasSuffix(path, ".safetensors"):
		return openFile(path)
	case strings.HasSuffix(path, ".gguf"):
		return openGGUF(path)
	}
	return nil, fmt.Errorf("%s: not a checkpoint: want a folder with config.json, a .safetensors or a .gguf file", path)
}

// store is a Source whose tensors are byte ranges in memory.
type store struct {
	label   string
	tensors map[string]stored
	file    func(name string) ([]byte, error)
	files   []mapping // the files of the tensors
}

type stored struct {
	Info
	data []byte
}

func (s *store) Label() string { return s.label }

func (s *store) Names() []string { return slices.Sorted(maps.Keys(s.tensors)) }

func (s *store) Info(name string) (Info, bool) {
	t, ok := s.tensors[name]
	return t.Info, ok
}

func (s *store) Read(name string) ([]byte, error) {
	t, ok := s.tensors[name]
	if !ok {
		return nil, unknownTensor(s, name)
	}
	return t.data, nil
}

// Pages implements Mapped.
func (s *store) Pages(name string) (pages []byte, offset int64) {
	for _, f := range s.files {
		if pages, offset = f.pages(s.tensors[name].data); pages != nil {
			break
		}
	}
	return pages, offset
}

// Whole implements Mapped.
func (s *store) Whole() error {
	for _, f := range s.files {
		if err := f.whole(); err != nil {
			return err
		}
	}
	return nil
}

func (s *store) File(name string) ([]byte, error) { return s.file(name) }

func (s *store) Close() error {
	var errs []error
	for _, f := range s.files {
		errs = append(errs, f.unmap())
	}
	s.files, s.tensors = nil, nil
	return errors.Join(errs...)
}

// unknownTensor names the tensor that is not there and the nearest that is.
func unknownTensor(s Source, name string) error {
	return fmt.Errorf("%s: no tensor %q%s", s.Label(), name, names.DidYouMean(name, s.Names()))
}

// folderFile reads the files of one folder.
func folderFile(dir string) func(string) ([]byte, error) {
	return func(name string) ([]byte, error) {
		b, err := files.Read(filepath.Join(dir, name), fileLimit(name))
		if errors.Is(err, fs.ErrNotExist) {
			return nil, missingFile(dir, name)
		}
		return b, err
	}
}

// fileLimit is how many bytes a file beside the tensors may have. Qwen2.5's
// tokenizer.json has 7 MB, the index of its largest shards 80 kB.
func fileLimit(name string) int64 {
	if name == "tokenizer.json" || name == indexFile {
		return 64 << 20
	}
	return 4 << 20
}

func missingFile(where, name string) error {
	return fmt.Errorf("%s: there is no %s: %w", where, name, fs.ErrNotExist)
}
