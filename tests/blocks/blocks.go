// Package blocks makes checkpoints of random valid blocks for tests, each matrix in a
// weight format of its own.
//
// Read next: tests/models/formats_test.go, which runs them.
package blocks

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"testing"

	"foundry"
	"foundry/frontends/checkpoint"
	"foundry/frontends/decoder"
	"foundry/frontends/qwen25"
	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/seeded"

	"github.com/stretchr/testify/require"
)

// Mixed are the formats of a model's matrices, as files mix them.
var Mixed = []dtype.Type{dtype.Q4_K, dtype.Q6_K, dtype.Q8_0, dtype.Q5_1, dtype.Q5_K, dtype.Q4_0, dtype.F16, dtype.Q4_1, dtype.Q5_0, dtype.F32, dtype.BF16, dtype.Q2_K, dtype.IQ4_XS, dtype.Q3_K, dtype.IQ4_NL}

// TwoLayers is a model of two layers, wide enough for the blocks of every format.
var TwoLayers = decoder.Config{Arch: qwen25.Family.Arch,
	Layers: 2, Hidden: 512, Intermediate: 1024, Heads: 8, KVHeads: 2, HeadDim: 64,
	Vocab: 600, MaxPositions: 256, NormEps: 1e-6, RopeTheta: 1e6,
}

// Source is a checkpoint of random valid blocks: each matrix in a format of its
// own, with scales that keep its products of the size of its operand.
type Source struct {
	config  decoder.Config
	shapes  map[string]checkpoint.Shape
	types   map[string]dtype.Type
	content map[string][]byte
}

// New gives matrix i the format formats[i % len(formats)].
func New(t testing.TB, c decoder.Config, formats []dtype.Type) *Source {
	t.Helper()
	s := &Source{c, map[string]checkpoint.Shape{}, map[string]dtype.Type{}, map[string][]byte{}}
	matrices := 0
	for _, w := range decoder.Weights(c) {
		s.shapes[w.Name], s.types[w.Name] = w, dtype.F32
		if len(w.Shape) > 1 {
			s.types[w.Name] = formats[matrices%len(formats)]
			matrices++
		}
	}
	g, err := decoder.Build(c, decoder.BuildOptions{
		Context: 16, Chunk: 1, Weights: dtype.F16, Cache: dtype.F16,
		WeightType: func(name string) dtype.Type { return s.types[name] },
	})
	require.NoError(t, err)
	values := seeded.Weights(g, 1)
	for _, p := range g.Params {
		if p.Param.Kind == ir.Weight {
			x, err := values(p.Param.Name, p.Type)
			require.NoError(t, err)
			s.content[p.Param.Name] = x.Stored
		}
	}
	return s
}

func (s *Source) Label() string { return "random blocks" }
func (s *Source) Names() []string {
	var names []string
	for name := range s.shapes {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
func (s *Source) Info(name string) (checkpoint.Info, bool) {
	w, ok := s.shapes[name]
	return checkpoint.Info{DType: s.types[name], Shape: w.Shape, Bytes: int64(len(s.content[name]))}, ok
}
func (s *Source) Read(name string) ([]byte, error) { return s.content[name], nil }
func (s *Source) File(name string) ([]byte, error) {
	if name == "config.json" {
		return s.config.JSON(), nil
	}
	return nil, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
}
func (s *Source) Close() error { return nil }

// Open writes the blocks as a GGUF file and opens that.
func (s *Source) Open(t testing.TB) *foundry.Model {
	t.Helper()
	path := filepath.Join(t.TempDir(), "blocks.gguf")
	require.NoError(t, checkpoint.WriteGGUF(t.Context(), path, s, dtype.Invalid, nil, nil))
	m, err := foundry.Open(path, foundry.Hub{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	return m
}
