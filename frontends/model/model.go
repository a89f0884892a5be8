// Package model turns a name into a model: its configuration, weights and
// tokenizer, or the one graph of a .fir file.
//
// Read next: frontends/checkpoint for where weights come from, frontends/decoder
// for the operations that a model consists of.
package model

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"

	"foundry/frontends/checkpoint"
	"foundry/frontends/decoder"
	"foundry/frontends/tokenizer"
	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/runtime/files"
)

// Model is an opened model: a checkpoint with its configuration, or one graph
// of a .fir file.
type Model struct {
	Name   string         // the name that Open was given
	Config decoder.Config // the configuration, zero for a .fir file
	Graph  *ir.Graph      // the graph of a .fir file, otherwise nil

	source  checkpoint.Source
	readers atomic.Int64 // executables that read the source's mapped files

	smallMu  sync.Mutex
	small    map[string]smallFile // files read so far that are not the tokenizer's
	textOnce sync.Once
	text     *tokenizer.Tokenizer
	textErr  error
}

// The names that Open takes beside files and folders.
const (
	synthPrefix = "synth:"
	hubPrefix   = "hf:"
)

// Open opens a model by name: "" or "kjv-2m" (embedded in the program), a Hugging
// Face folder, a checkpoint file, a .fir graph, "synth:qwen2.5-SIZE" or
// "synth:qwen3-SIZE" (a published shape with generated weights) or "hf:OWNER/NAME". Tensor names and shapes are
// checked against the configuration; weights are not read. h says where models named
// hf:OWNER/NAME are found; its zero value serves all other names.
func Open(name string, h checkpoint.Hub) (*Model, error) {
	if strings.HasSuffix(name, ".fir") {
		return OpenGraph(name)
	}
	if strings.HasPrefix(name, synthPrefix) {
		return openSynth(name)
	}
	var source checkpoint.Source
	var err error
	switch {
	case name == "" || name == checkpoint.KJV2MName:
		name = checkpoint.KJV2MName
		source, err = checkpoint.KJV2M()
	case strings.HasPrefix(name, hubPrefix):
		var dir string
		if dir, err = h.Fetch(strings.TrimPrefix(name, hubPrefix)); err == nil {
			source, err = openPath(dir)
		}
	default:
		source, err = openPath(name)
	}
	if err != nil {
		return nil, err
	}
	m, err := newModel(name, source)
	if err != nil {
		return nil, errors.Join(err, source.Close())
	}
	return m, nil
}

// openPath opens a checkpoint on disk. What its configuration says is held against what
// is supported before a tensor is looked at: the way out of a model that is none of
// ours, or quantised in another way, is not in its tensors.
func openPath(path string) (checkpoint.Source, error) {
	raw, err := checkpoint.ConfigOf(path)
	if err == nil {
		if _, err = parseConfig(raw); err == nil {
			err = checkpoint.CheckQuantization(raw)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return checkpoint.Open(path)
}

func newModel(name string, source checkpoint.Source) (*Model, error) {
	raw, err := source.File("config.json")
	if err != nil {
		return nil, err
	}
	c, err := parseConfig(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", source.Label(), err)
	}
	if source, err = checkpoint.Unpack(source, raw); err != nil {
		return nil, err
	}
	if err := decoder.Check(c, source); err != nil {
		return nil, err
	}
	return &Model{Name: name, Config: c, source: source}, nil
}

// OpenGraph opens a .fir file: one graph, verified.
func OpenGraph(path string) (*Model, error) {
	text, err := files.Read(path, ir.MaxText)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: no such graph file", path)
	}
	if err != nil {
		return nil, err
	}
	g, err := ir.Parse(path, string(text))
	if err != nil {
		return nil, err
	}
	if err := ir.Verify(g); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &Model{Name: path, Graph: g}, nil
}

// BaseName is the model's name without folders: what a plan records.
func (m *Model) BaseName() string {
	if abs, err := filepath.Abs(m.Name); err == nil {
		return filepath.Base(abs)
	}
	return filepath.Base(m.Name)
}

// Close releases the checkpoint. An Engine on ref reads it for as long as it runs,
// one on an Apple GPU reads the files of weights that need no conversion: Close is
// an error while one of the latter is open. Others keep no part of it.
func (m *Model) Close() error {
	if m.source == nil {
		return nil
	}
	if n := m.readers.Load(); n > 0 {
		return fmt.Errorf("cannot close %s: the GPU reads its files for %d engines; close them first", m.Name, n)
	}
	return m.source.Close()
}

// Read notes that an executable reads the mapped files of the model's weights until
// it calls done.
func (m *Model) Read() (done func()) {
	m.readers.Add(1)
	return func() { m.readers.Add(-1) }
}

// WithLayers is the model with the first n of its layers, or all where it has fewer.
// It shares the checkpoint and is not closed; a .fir graph is as it was.
func (m *Model) WithLayers(n int) *Model {
	if m.Graph != nil {
		return m
	}
	c := m.Config
	c.Layers = min(n, c.Layers)
	return &Model{Name: m.Name, Config: c, source: m.source}
}

// Scan reads all weights and lists the tensors in which not all values are finite. A
// graph has none. progress, which may be nil, is told how many tensors are read.
func (m *Model) Scan(ctx context.Context, progress func(what string, done, of int64)) ([]checkpoint.Finding, error) {
	if m.source == nil {
		return nil, nil
	}
	return checkpoint.Scan(ctx, m.source, func(done, of int) {
		if progress != nil {
			progress("scan", int64(done), int64(of))
		}
	})
}

// ScanTensor counts one tensor's values.
func (m *Model) ScanTensor(name string) (checkpoint.Finding, error) {
	return checkpoint.ScanTensor(m.source, name)
}

// TensorGroup sums the stored tensors of one dtype.
type TensorGroup struct {
	DType    dtype.Type
	Tensors  int
	Elements int64
	Bytes    int64
}

// TensorGroups sums the checkpoint's tensors by dtype, in the dtypes' order.
func (m *Model) TensorGroups() []TensorGroup {
	var out []TensorGroup
	for _, t := range dtype.All() {
		g := TensorGroup{DType: t}
		for _, name := range m.source.Names() {
			if info, _ := m.source.Info(name); info.DType == t {
				g.Tensors++
				g.Elements += info.Elements()
				g.Bytes += info.Bytes
			}
		}
		if g.Tensors > 0 {
			out = append(out, g)
		}
	}
	return out
}
