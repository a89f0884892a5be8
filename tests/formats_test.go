package tests

import (
	"context"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry"
	"foundry/frontends/checkpoint"
	"foundry/frontends/decoder"
	"foundry/frontends/model"
	"foundry/frontends/qwen25"
	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/interp"
	"foundry/ir/seeded"
	"foundry/runtime/cpu"
	"foundry/runtime/devicetest"
	"foundry/runtime/eval"
)

// blocks is a checkpoint of random valid blocks: each matrix in a format of its
// own, with scales that keep its products of the size of its operand.
type blocks struct {
	config  decoder.Config
	shapes  map[string]checkpoint.Shape
	types   map[string]dtype.Type
	content map[string][]byte
}

// newBlocks gives matrix i the format formats[i % len(formats)].
func newBlocks(t *testing.T, c decoder.Config, formats []dtype.Type) *blocks {
	t.Helper()
	s := &blocks{c, map[string]checkpoint.Shape{}, map[string]dtype.Type{}, map[string][]byte{}}
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

func (s *blocks) Label() string { return "random blocks" }
func (s *blocks) Names() []string {
	var names []string
	for name := range s.shapes {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
func (s *blocks) Info(name string) (checkpoint.Info, bool) {
	w, ok := s.shapes[name]
	return checkpoint.Info{DType: s.types[name], Shape: w.Shape, Bytes: int64(len(s.content[name]))}, ok
}
func (s *blocks) Read(name string) ([]byte, error) { return s.content[name], nil }
func (s *blocks) File(name string) ([]byte, error) {
	if name == "config.json" {
		return s.config.JSON(), nil
	}
	return nil, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
}
func (s *blocks) Close() error { return nil }

// open writes the blocks as a GGUF file and opens that.
func (s *blocks) open(t *testing.T) *foundry.Model {
	t.Helper()
	path := filepath.Join(t.TempDir(), "blocks.gguf")
	require.NoError(t, checkpoint.WriteGGUF(t.Context(), path, s, dtype.Invalid, nil, nil))
	m, err := foundry.Open(path, foundry.Hub{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	return m
}

// run evaluates ids on a device; the test is skipped where cpu has no compiler.
func run(t *testing.T, m *foundry.Model, device string, o foundry.CompileOptions, ids []int32) *eval.Evaluation {
	t.Helper()
	o.Context, o.AllLogits = 64, true
	e, err := foundry.Start(context.Background(), m, foundry.StartOptions{Device: device, Compile: o, CPU: cpu.Options{FewRuns: true}})
	devicetest.Need(t, err)
	defer e.Close()
	out, err := eval.Prompt(context.Background(), e, eval.Options{IDs: ids, Greedy: 4, Top: 1})
	require.NoError(t, err)
	return out
}

// requireSame holds a run on cpu against the reference on the same blocks.
func requireSame(t *testing.T, have, want *eval.Evaluation) {
	t.Helper()
	d := interp.Compare(have.Logits, want.Logits)
	t.Log(d)
	require.LessOrEqual(t, d.NMSE, quantisedBound)
	_, ok := interp.Agreement(have.GreedyIDs, want.GreedyIDs, want.GreedyMargins, cpuMargin)
	require.True(t, ok, "greedy ids %v, want %v (margins %v)", have.GreedyIDs, want.GreedyIDs, want.GreedyMargins)
}

func someIDs(n, vocab int) []int32 {
	ids := make([]int32, n)
	for i := range ids {
		ids[i] = int32((i*7919 + 13) % vocab)
	}
	return ids
}

var twoLayers = decoder.Config{Arch: qwen25.Family.Arch,
	Layers: 2, Hidden: 512, Intermediate: 1024, Heads: 8, KVHeads: 2, HeadDim: 64,
	Vocab: 600, MaxPositions: 256, NormEps: 1e-6, RopeTheta: 1e6,
}

// TestModelsOfBlocks runs a two-layer model as its GGUF file stores it: in one
// format, and with Q, K, V, gate, up and all the others in different ones, which
// every kernel around a product must take.
func TestModelsOfBlocks(t *testing.T) {
	t.Parallel()
	mixed := []dtype.Type{dtype.Q4_K, dtype.Q6_K, dtype.Q8_0, dtype.Q5_1, dtype.Q5_K, dtype.Q4_0, dtype.F16, dtype.Q4_1, dtype.Q5_0, dtype.F32, dtype.BF16, dtype.Q2_K, dtype.IQ4_XS, dtype.Q3_K, dtype.IQ4_NL}
	for _, x := range []struct {
		name    string
		formats []dtype.Type
		tied    bool
		variant string
	}{
		{"q4_k", []dtype.Type{dtype.Q4_K}, false, "default"},
		{"q5_k", []dtype.Type{dtype.Q5_K}, true, "default"},
		{"q6_k", []dtype.Type{dtype.Q6_K}, false, "default"},
		{"mixed", mixed, false, "none"},
		{"mixed", mixed, true, "default"},
		{"mixed", mixed, false, "fewest"},
	} {
		t.Run(x.name+"/"+x.variant, func(t *testing.T) {
			c := twoLayers
			c.Tied = x.tied
			m := newBlocks(t, c, x.formats).open(t)
			ids := someIDs(9, c.Vocab)
			want := run(t, m, foundry.Ref, foundry.CompileOptions{}, ids)
			requireSame(t, run(t, m, foundry.CPU, foundry.CompileOptions{Variant: x.variant}, ids), want)
		})
	}
}

// A plan of a GGUF file loads quantised tensors as they are stored, and says so.
func TestRecipesOfBlocks(t *testing.T) {
	m := newBlocks(t, twoLayers, []dtype.Type{dtype.Q4_K, dtype.Q8_0, dtype.BF16}).open(t)
	c, err := foundry.Compile(m, foundry.CompileOptions{})
	require.NoError(t, err)
	kinds := map[dtype.Type]map[string]int{}
	for _, b := range c.Plan.Buffers {
		if b.Weight != nil {
			if kinds[b.DType] == nil {
				kinds[b.DType] = map[string]int{}
			}
			kinds[b.DType][b.Weight.Kind]++
		}
	}
	require.Equal(t, map[dtype.Type]map[string]int{
		dtype.F32: {"as_stored": 11}, dtype.Q4_K: {"as_stored": 6}, dtype.Q8_0: {"as_stored": 5}, dtype.F16: {"convert": 5},
	}, kinds)
	// Another format is made of all but those that have it.
	again, err := foundry.Compile(m, foundry.CompileOptions{Weights: dtype.Q8_0})
	require.NoError(t, err)
	made := map[string]int{}
	for _, b := range again.Plan.Buffers {
		if b.Weight != nil && len(b.Shape) == 2 {
			require.Equal(t, dtype.Q8_0, b.DType)
			made[b.Weight.Kind]++
		}
	}
	require.Equal(t, map[string]int{"as_stored": 5, "quantise": 11}, made)
}

// TestQuantisedKJV runs the trained model with weights quantised at load.
func TestQuantisedKJV(t *testing.T) {
	t.Parallel()
	m, err := foundry.Open(checkpoint.KJV2MName, foundry.Hub{})
	require.NoError(t, err)
	defer m.Close()
	tokens, err := m.Tokenizer()
	require.NoError(t, err)
	ids, err := tokens.Encode("And the LORD spake unto Moses, saying, Speak unto the children of Israel, and say unto them,")
	require.NoError(t, err)
	for _, w := range []dtype.Type{dtype.F16, dtype.Q8_0, dtype.Q4_0, dtype.Q5_1} {
		t.Run(w.String(), func(t *testing.T) {
			want := run(t, m, foundry.Ref, foundry.CompileOptions{Weights: w}, ids)
			requireSame(t, run(t, m, foundry.CPU, foundry.CompileOptions{Weights: w}, ids), want)
		})
	}
}

// A file that Convert wrote runs as the same weights quantised at load do, bit for
// bit.
func TestConvertedRunsTheSame(t *testing.T) {
	m, err := foundry.Open(checkpoint.KJV2MName, foundry.Hub{})
	require.NoError(t, err)
	defer m.Close()
	for _, w := range []dtype.Type{dtype.Q8_0, dtype.Q4_1, dtype.Q5_0} {
		path := filepath.Join(t.TempDir(), w.String()+".gguf")
		c, err := model.Convert(t.Context(), m, w, path, nil)
		require.NoError(t, err)
		require.Len(t, c.Tensors, 2)
		require.Equal(t, w, c.Tensors[1].DType)
		file, err := foundry.Open(path, foundry.Hub{})
		require.NoError(t, err)
		ids := someIDs(12, m.Config.Vocab)
		want := run(t, m, foundry.Ref, foundry.CompileOptions{Weights: w}, ids)
		have := run(t, file, foundry.Ref, foundry.CompileOptions{}, ids)
		require.NoError(t, file.Close())
		require.Equal(t, want.Logits, have.Logits)
		require.Equal(t, want.GreedyIDs, have.GreedyIDs)
	}
}
