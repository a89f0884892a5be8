package model

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/frontends/checkpoint"
	"foundry/frontends/decoder"
	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/sym"
	"foundry/lower/plan"
)

func embedded(t *testing.T) *Model {
	t.Helper()
	m, err := Open("kjv-2m", checkpoint.Hub{})
	require.NoError(t, err)
	t.Cleanup(func() { _ = m.Close() })
	return m
}

func dims(n ...int64) (out []sym.Dim) {
	for _, d := range n {
		out = append(out, sym.Const(d))
	}
	return out
}

// A plan gets the tensor that its recipe names, in the dtype of its buffer, or an error that
// says what of the recipe does not fit.
func TestWeightsOfAPlan(t *testing.T) {
	m := embedded(t)
	w := m.Weights()
	const norm, matrix = "model.norm.weight", "model.layers.0.self_attn.q_proj.weight"
	info, ok := m.source.Info(matrix)
	require.True(t, ok)
	rows, cols := info.Shape[0], info.Shape[1]
	of := func(kind, tensor string, d dtype.Type, shape ...int64) *plan.Buffer {
		return &plan.Buffer{Name: "b", DType: d, Shape: dims(shape...), Weight: &plan.WeightRecipe{Kind: kind, Tensor: tensor}}
	}
	want, err := checkpoint.ReadAs(m.source, matrix, dtype.F32, nil)
	require.NoError(t, err)
	have, err := w.Weight(of("convert", matrix, dtype.F32, rows, cols))
	require.NoError(t, err)
	require.Equal(t, want, have)
	for _, kind := range []string{"as_stored", "convert", "quantise", plan.Planes} {
		_, err := w.Weight(of(kind, matrix, info.DType, rows, cols))
		require.NoError(t, err, kind)
	}
	for message, b := range map[string]*plan.Buffer{
		`buffer "b" has no load recipe`:                     {Name: "b"},
		`there is no load recipe "melt"`:                    of("melt", matrix, dtype.F32, rows, cols),
		`tensor "none" is missing`:                          of("convert", "none", dtype.F32, 1),
		`wants constants`:                                   {Name: "b", DType: dtype.F32, Shape: []sym.Dim{sym.T}, Weight: &plan.WeightRecipe{Kind: "convert", Tensor: norm}},
		`tensor "` + matrix + `" has shape [`:               of("convert", matrix, dtype.F32, cols, rows+1),
		`tensor "model.norm.weight" has shape [192], the p`: of("convert", norm, dtype.F32, 7),
	} {
		_, err := w.Weight(b)
		require.ErrorContains(t, err, message)
	}

	// A program of the reference shares what another has read, of one dtype.
	type_ := ir.TypeOf(dtype.F32, dims(rows, cols)...)
	one, err := w.Tensor(matrix, type_)
	require.NoError(t, err)
	require.Equal(t, []int{int(rows), int(cols)}, one.Shape)
	require.Equal(t, want, one.Stored)
	two, err := w.Tensor(matrix, type_)
	require.NoError(t, err)
	require.Same(t, &one.Stored[0], &two.Stored[0], "read once")
	half, err := w.Tensor(matrix, ir.TypeOf(dtype.F16, dims(rows, cols)...))
	require.NoError(t, err)
	require.Len(t, half.Stored, int(2*rows*cols))
	_, err = w.Tensor("none", type_)
	require.ErrorContains(t, err, `tensor "none" is missing`)

	pages, _ := w.Lend(&plan.Buffer{Name: "b"})
	require.Nil(t, pages, "no recipe")
	require.False(t, w.Lent())
	require.NoError(t, w.Whole())
	require.Equal(t, info.DType, m.Stored(matrix))
	require.Equal(t, dtype.Invalid, m.Stored("none"))
}

// Tensors that lie in a mapped file as the plan wants them are lent, and no others.
func TestWeightsAreLent(t *testing.T) {
	m := embedded(t)
	const matrix = "model.layers.0.self_attn.q_proj.weight"
	info, _ := m.source.Info(matrix)
	lend := func(w *Weights, d dtype.Type, shape []sym.Dim) bool {
		pages, _ := w.Lend(&plan.Buffer{DType: d, Shape: shape, Weight: &plan.WeightRecipe{Tensor: matrix}})
		return pages != nil
	}
	w := &Weights{source: lender{m.source}}
	shape := dims(info.Shape...)
	other := dtype.F32
	if info.DType == other {
		other = dtype.F16
	}
	require.False(t, lend(w, other, shape))
	require.False(t, lend(w, info.DType, dims(1)))
	require.False(t, lend(w, info.DType, []sym.Dim{sym.T, sym.Const(1)}))
	pages, _ := w.Lend(&plan.Buffer{DType: info.DType, Shape: shape, Weight: &plan.WeightRecipe{Tensor: "none"}})
	require.Nil(t, pages)
	require.False(t, w.Lent())
	require.True(t, lend(w, info.DType, shape))
	require.True(t, w.Lent())
	require.False(t, lend(&Weights{source: m.source}, info.DType, shape), "a source that is not mapped")
}

// lender is a source whose tensors all lie in pages.
type lender struct{ checkpoint.Source }

func (lender) Pages(string) ([]byte, int64) { return []byte{1}, 0 }
func (lender) Whole() error                 { return nil }

// Which dtype each matrix gets.
func TestMatrixTypes(t *testing.T) {
	m := embedded(t)
	matrices, total := 0, int64(0)
	for _, w := range decoder.Weights(m.Config) {
		if len(w.Shape) == 2 {
			matrices++
			total += w.Shape[0] * w.Shape[1]
		}
	}
	require.Equal(t, 2+7*m.Config.Layers-map[bool]int{true: 1}[m.Config.Tied], matrices, "seven a layer, embedding and head")
	types, mostly, note := m.MatrixTypes(dtype.Q8_0, dtype.F16)
	require.Len(t, types, matrices)
	require.Equal(t, dtype.Q8_0, mostly)
	require.Empty(t, note)
	require.Equal(t, total/32*34, m.MatrixBytes(types))
	types, mostly, note = m.MatrixTypes(dtype.Invalid, dtype.BF16)
	require.Equal(t, dtype.BF16, mostly)
	require.Empty(t, note)
	for name, d := range types {
		require.Equal(t, dtype.BF16, d, name)
	}
	require.Equal(t, 2*total, m.MatrixBytes(types))
	// Blocks of 256 do not divide rows of 128.
	types, mostly, note = m.MatrixTypes(dtype.Q4_K, dtype.F16)
	unfit := 0
	for _, d := range types {
		if d == dtype.F16 {
			unfit++
		}
	}
	require.NotZero(t, unfit)
	require.Contains(t, note, "matrices stay f16: q4_k's blocks of 256 do not divide their rows")
	elements := map[dtype.Type]int64{}
	for name, d := range types {
		info, _ := m.source.Info(name)
		elements[d] += info.Elements()
	}
	require.Equal(t, elements[dtype.F16] > elements[dtype.Q4_K], mostly == dtype.F16)
	// As stored, where blocks are.
	blocks := &Model{Config: m.Config, source: stored{m.source}}
	types, _, _ = blocks.MatrixTypes(dtype.Invalid, dtype.F16)
	for name, d := range types {
		require.Equal(t, dtype.Q8_0, d, name)
	}
	types, _, _ = blocks.MatrixTypes(dtype.F16, dtype.F16)
	for name, d := range types {
		require.Equal(t, dtype.F16, d, name)
	}
}

// stored is a source that has everything in q8_0.
type stored struct{ checkpoint.Source }

func (s stored) Info(name string) (checkpoint.Info, bool) {
	info, ok := s.Source.Info(name)
	info.DType = dtype.Q8_0
	return info, ok
}

// A plan of another model gets no weights, and is told what differs.
func TestPlansOfOtherModels(t *testing.T) {
	m := embedded(t)
	p := &plan.Plan{}
	p.Model.Name, p.Model.Layers, p.Model.Hidden, p.Model.Vocab = "other", m.Config.Layers, m.Config.Hidden, m.Config.Vocab
	require.NoError(t, m.CheckPlan(p))
	for _, n := range []*int{&p.Model.Layers, &p.Model.Hidden, &p.Model.Vocab} {
		*n++
		require.ErrorContains(t, m.CheckPlan(p), "the plan was compiled from other (")
		require.ErrorContains(t, m.CheckPlan(p), ", not from kjv-2m (")
		*n--
	}
}

// What a plan says of tokens: 2045 ends a text, control tokens have their texts.
func TestTokensOfAModel(t *testing.T) {
	m := embedded(t)
	tokens, notes, err := m.Tokens()
	require.NoError(t, err)
	require.Empty(t, notes)
	require.Equal(t, []int32{2045}, tokens.Ends)
	require.NotEmpty(t, tokens.Special)
	found := false
	for _, s := range tokens.Special {
		require.Equal(t, m.TokenText(s.ID), s.Text)
		require.NotEmpty(t, s.Text)
		found = found || s.ID == 2045
	}
	require.True(t, found)
}

// A model of fewer layers shares the checkpoint; one that somebody reads is not closed; a
// scan tells how far it is, and finds nothing here.
func TestModelOfFewerLayers(t *testing.T) {
	m := embedded(t)
	require.Equal(t, 1, m.WithLayers(1).Config.Layers)
	require.Equal(t, m.Config.Layers, m.WithLayers(1000).Config.Layers)
	require.Equal(t, "kjv-2m", m.BaseName())
	require.Equal(t, "b", (&Model{Name: "/a/b/"}).BaseName())
	calls, last := int64(0), int64(0)
	findings, err := m.Scan(context.Background(), func(what string, done, of int64) {
		require.Equal(t, "scan", what)
		require.Equal(t, int64(len(m.source.Names())), of)
		calls++
		last = max(last, done)
	})
	require.NoError(t, err)
	require.Empty(t, findings)
	require.EqualValues(t, len(m.source.Names()), last)
	require.Equal(t, last, calls)
	_, err = m.Scan(context.Background(), nil)
	require.NoError(t, err)
	tensors, elements := 0, int64(0)
	for _, g := range m.TensorGroups() {
		tensors += g.Tensors
		elements += g.Elements
		require.Equal(t, g.DType.Bytes(g.Elements), g.Bytes)
		require.NotZero(t, g.Tensors)
	}
	require.Equal(t, len(m.source.Names()), tensors)
	want := int64(0)
	for _, w := range decoder.Weights(m.Config) {
		n := int64(1)
		for _, d := range w.Shape {
			n *= d
		}
		want += n
	}
	require.Equal(t, want, elements)
	done := m.Read()
	require.ErrorContains(t, m.Close(), "cannot close kjv-2m: the GPU reads its files for 1 engines")
	done()
	require.NoError(t, m.Close())
}

// A graph is a model without tokens, layers and checkpoint; what is none says so.
func TestGraphsAsModels(t *testing.T) {
	dir := t.TempDir()
	put := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o666))
		return path
	}
	m, err := OpenGraph(put("g.fir", "graph @g (T=1..1, P=0..0, S<=1) {\n%x = input \"x\" : f32[4]\n%y = silu %x\nreturn y=%y\n}"))
	require.NoError(t, err)
	require.Same(t, m, m.WithLayers(1))
	tokens, notes, err := m.Tokens()
	require.NoError(t, errors.Join(err, m.Close()))
	require.Nil(t, tokens)
	require.Empty(t, notes)
	require.Equal(t, dtype.Invalid, m.Stored("x"))
	findings, err := m.Scan(context.Background(), nil)
	require.NoError(t, err)
	require.Empty(t, findings)
	_, err = OpenGraph(filepath.Join(dir, "none.fir"))
	require.ErrorContains(t, err, "no such graph file")
	_, err = OpenGraph(put("bad.fir", "graph"))
	require.Error(t, err)
	_, err = OpenGraph(put("slice.fir", "graph @g (T=1..1, P=0..0, S<=1) {\n%x = input \"x\" : f32[4]\n%y = slice %x {axis=0, start=2, size=4}\nreturn y=%y\n}"))
	require.ErrorContains(t, err, "pass the end")
}
