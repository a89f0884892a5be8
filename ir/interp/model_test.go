package interp_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/frontends/checkpoint"
	"foundry/frontends/decoder"
	"foundry/frontends/qwen25"
	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/interp"
	"foundry/ir/sym"
)

// kjv makes a program of the embedded model.
func kjv(t testing.TB, weights, cache dtype.Type, p interp.Precision) *interp.Program {
	t.Helper()
	s, err := checkpoint.KJV2M()
	require.NoError(t, err)
	raw, err := s.File("config.json")
	require.NoError(t, err)
	c, err := qwen25.Family.Parse(raw)
	require.NoError(t, err)
	g, err := decoder.Build(c, decoder.BuildOptions{Context: 64, Chunk: 64, Weights: weights, Cache: cache})
	require.NoError(t, err)
	out, err := interp.New(g, func(name string, t ir.Type) (interp.Tensor, error) {
		b, err := checkpoint.ReadAs(s, name, t.DType, nil)
		return interp.Stored(t.DType, b, t.Shape.Eval(sym.Env{})...), err
	}, p)
	require.NoError(t, err)
	return out
}

// logits runs ids in chunks and returns the last row.
func logits(t *testing.T, p *interp.Program, ids []int32, chunk int) interp.Tensor {
	t.Helper()
	s := p.NewState()
	var out interp.Tensor
	for at := 0; at < len(ids); at += chunk {
		part := ids[at:min(at+chunk, len(ids))]
		r, err := p.Run(context.Background(), interp.Run{Env: sym.Env{T: int64(len(part)), P: int64(at)}, State: s,
			Inputs: map[string]interp.Tensor{"ids": interp.Ints(part, len(part))}})
		require.NoError(t, err)
		out = r["logits"]
	}
	return out
}

var someIDs = func() []int32 {
	ids := make([]int32, 20)
	for i := range ids {
		ids[i] = int32(i * 7919 % 2048)
	}
	return ids
}()

// How a prompt is cut into chunks decides no bit in Float32: an element is summed
// in one order, however many rows there are.
func TestChunksGiveTheSameBits(t *testing.T) {
	p := kjv(t, dtype.F16, dtype.F16, interp.Float32)
	want := logits(t, p, someIDs, 20)
	for _, chunk := range []int{1, 3, 7, 19} {
		require.Equal(t, want, logits(t, p, someIDs, chunk), "chunks of %d", chunk)
	}
}

// The precisions agree on a whole model as far as five layers of float32 values
// allow; a narrow cache and narrow weights cost what their bounds say.
func TestWholeModel(t *testing.T) {
	want := logits(t, kjv(t, dtype.F32, dtype.F32, interp.Float64), someIDs, 20)
	for _, c := range []struct {
		weights, cache dtype.Type
		precision      interp.Precision
		bound          float64
	}{
		{dtype.F32, dtype.F32, interp.Float32, 1e-12},
		{dtype.BF16, dtype.F32, interp.Float32, 1e-12}, // the checkpoint's own type
		{dtype.F32, dtype.F16, interp.Float32, interp.ModelF16},
		{dtype.F16, dtype.F16, interp.Float64, interp.ModelF16},
	} {
		have := logits(t, kjv(t, c.weights, c.cache, c.precision), someIDs, 20)
		d := interp.Compare(have.Float64s(), want.Float64s())
		t.Log(c.weights, c.cache, c.precision, d)
		require.LessOrEqual(t, d.NMSE, c.bound)
	}
}

// A decode step of a small model; the whole of 0.5b takes about 210 times its
// multiply-adds.
func BenchmarkDecode(b *testing.B) {
	p := kjv(b, dtype.F32, dtype.F32, interp.Float32)
	s := p.NewState()
	in := map[string]interp.Tensor{"ids": interp.Ints([]int32{1}, 1)}
	for b.Loop() {
		_, err := p.Run(context.Background(), interp.Run{Env: sym.Env{T: 1, P: 40}, State: s, Inputs: in})
		require.NoError(b, err)
	}
}
