package interp_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/interp"
	"foundry/ir/sym"
)

func parse(t *testing.T, statements string) *ir.Graph {
	t.Helper()
	g, err := ir.Parse("g.fir", "graph @g (T=1..4, P=0..4, S<=8) {\n"+statements+"\n}")
	require.NoError(t, err)
	return g
}

const lookup = `%ids = input "ids" : i32[T]
	%w = weight "table" : f16[3, 2]
	%y = embedding %ids, %w @"embed"
	return y=%y`

func table(_ string, t ir.Type) (interp.Tensor, error) {
	return interp.Stored(t.DType, []byte{0, 0, 0, 0x3c, 0, 0x40, 0, 0x42, 0, 0x44, 0, 0x45}, 3, 2), nil
}

func TestBadRuns(t *testing.T) {
	ids := func(v ...int32) map[string]interp.Tensor {
		return map[string]interp.Tensor{"ids": interp.Ints(v, len(v))}
	}
	p, err := interp.New(parse(t, lookup), table, interp.Float32)
	require.NoError(t, err)
	two := sym.Env{T: 2}
	for want, r := range map[string]interp.Run{
		"embed embedding: id 3 at position 1 is outside the vocabulary of 3":  {Env: two, Inputs: ids(0, 3)},
		"embed embedding: id -1 at position 0 is outside the vocabulary of 3": {Env: two, Inputs: ids(-1, 3)},
		`input "ids" is missing`:                                             {Env: two},
		`input "ids" has i32[3], wants i32[2]`:                               {Env: two, Inputs: ids(0, 1, 2)},
		`the run T=5 P=0 lies outside the graph's bounds T=1..4 P=0..4 S<=8`: {Env: sym.Env{T: 5}, Inputs: ids(0, 1, 2, 0, 1)},
		`the graph has no input "idz"`:                                       {Env: two, Inputs: map[string]interp.Tensor{"idz": {}, "ids": ids(0, 1)["ids"]}},
		`input "ids" holds 1 int32 elements, wants 2 of i32`:                 {Env: two, Inputs: map[string]interp.Tensor{"ids": interp.Ints([]int32{1}, 2)}},
		`input "ids" holds its elements in 0 forms, wants one`:               {Env: two, Inputs: map[string]interp.Tensor{"ids": interp.Ints(nil, 2)}},
		`input "ids" has f32[2], wants i32[2]`:                               {Env: two, Inputs: map[string]interp.Tensor{"ids": interp.Floats([]float32{0, 1}, 2)}},
	} {
		_, err := p.Run(context.Background(), r)
		require.EqualError(t, err, want)
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = p.Run(ended, interp.Run{Env: two, Inputs: ids(0, 1)})
	require.ErrorIs(t, err, context.Canceled)

	out, err := p.Run(context.Background(), interp.Run{Env: two, Inputs: ids(2, 1)})
	require.NoError(t, err)
	require.Equal(t, interp.Floats([]float32{4, 5, 2, 3}, 2, 2), out["y"])
}

func TestBadWeights(t *testing.T) {
	for want, source := range map[string]interp.Source{
		`graph @g: weight "table": not there`: func(string, ir.Type) (interp.Tensor, error) {
			return interp.Tensor{}, fmt.Errorf("not there")
		},
		`graph @g: weight "table" has f16[3 3], wants f16[3 2]`: func(string, ir.Type) (interp.Tensor, error) {
			return interp.Stored(dtype.F16, make([]byte, 18), 3, 3), nil
		},
		`graph @g: weight "table" holds 11 bytes, wants 12 of f16`: func(string, ir.Type) (interp.Tensor, error) {
			return interp.Stored(dtype.F16, make([]byte, 11), 3, 2), nil
		},
		`graph @g: weight "table" f16[3, 2]: no source of weights was given`: nil,
	} {
		_, err := interp.New(parse(t, lookup), source, interp.Float32)
		require.EqualError(t, err, want)
	}
}

const cache = `%x = input "x" : f32[2, T, 1]
	%c = state "kv" : f16[2, 8, 1]
	%d = kv_write %c, %x {start=P}
	%v = slice %d {axis=1, start=0, size=S}
	return kv=%d, seen=%v`

// A state survives runs, rounds to its dtype and goes with every program of its
// precision; a result that is a view of it is a copy.
func TestState(t *testing.T) {
	g := parse(t, cache)
	p, err := interp.New(g, nil, interp.Float32)
	require.NoError(t, err)
	decode, err := g.Specialise(1)
	require.NoError(t, err)
	one, err := interp.New(decode, nil, interp.Float32)
	require.NoError(t, err)

	s := p.NewState()
	require.Equal(t, []string{"kv"}, s.Names())
	first, err := p.Run(context.Background(), interp.Run{Env: sym.Env{T: 2}, State: s,
		Inputs: map[string]interp.Tensor{"x": interp.Floats([]float32{1.0001, 2, 3, 4097}, 2, 2, 1)}})
	require.NoError(t, err)
	apart := s.Clone()
	second, err := one.Run(context.Background(), interp.Run{Env: sym.Env{T: 1, P: 2}, State: s,
		Inputs: map[string]interp.Tensor{"x": interp.Floats([]float32{5, 6}, 2, 1, 1)}})
	require.NoError(t, err)
	require.Equal(t, []float32{1, 2, 3, 4096}, first["seen"].F32)
	require.Equal(t, []float32{1, 2, 5, 3, 4096, 6}, second["seen"].F32)
	require.NotContains(t, second, "kv")
	kv, err := apart.Tensor("kv")
	require.NoError(t, err)
	require.Equal(t, []float32{1, 2, 0, 0, 0, 0, 0, 0, 3, 4096, 0, 0, 0, 0, 0, 0}, kv.F32)

	_, err = one.Run(context.Background(), interp.Run{Env: sym.Env{T: 1, P: 3}, State: s,
		Inputs: map[string]interp.Tensor{"x": interp.Floats([]float32{5, 70000}, 2, 1, 1)}})
	require.ErrorContains(t, err, "70000 is beyond what an f16 cache holds: compile with --cache f32")

	oracle, err := interp.New(g, nil, interp.Float64)
	require.NoError(t, err)
	x := map[string]interp.Tensor{"x": interp.Floats([]float32{5, 6}, 2, 1, 1)}
	_, err = oracle.Run(context.Background(), interp.Run{Env: sym.Env{T: 1}, State: s, Inputs: x})
	require.EqualError(t, err, "the state holds float32 values, the program float64")
	_, err = p.Run(context.Background(), interp.Run{Env: sym.Env{T: 1}, Inputs: x})
	require.EqualError(t, err, `the graph has the state "kv", the run has none`)
	require.EqualError(t, s.Set("k", nil), `no state "k"`)
	require.EqualError(t, s.Set("kv", make([]float32, 3)), `state "kv" has 16 elements, have 3`)

	other, err := interp.New(parse(t, `%c = state "kv" : f32[2, 8, 1]
		return y=%c`), nil, interp.Float32)
	require.NoError(t, err)
	_, err = other.Run(context.Background(), interp.Run{Env: sym.Env{T: 1}, State: s})
	require.EqualError(t, err, `state "kv" has f16[2 8 1], wants f32[2 8 1]`)
}

// Results that are inputs, weights or the same value do not share storage with
// what the program keeps.
func TestResultsAreTheCallers(t *testing.T) {
	g := parse(t, `%x = input "x" : f32[T]
		%w = weight "w" : f32[2]
		%q = weight "q" : q8_0[32]
		%c = const "c" [1, 2] : f32[2]
		return x=%x, w=%w, q=%q, c=%c`)
	weights := map[string]interp.Tensor{
		"w": interp.Floats([]float32{3, 4}, 2),
		"q": interp.Stored(dtype.Q8_0, make([]byte, 34), 32),
	}
	p, err := interp.New(g, func(name string, _ ir.Type) (interp.Tensor, error) { return weights[name], nil }, interp.Float32)
	require.NoError(t, err)
	x := interp.Floats([]float32{7}, 1)
	out, err := p.Run(context.Background(), interp.Run{Env: sym.Env{T: 1}, Inputs: map[string]interp.Tensor{"x": x}})
	require.NoError(t, err)
	require.Equal(t, map[string]interp.Tensor{"x": x, "w": weights["w"], "q": weights["q"], "c": interp.Floats([]float32{1, 2}, 2)}, out)
	out["x"].F32[0], out["w"].F32[0], out["q"].Stored[0], out["c"].F32[0] = 9, 9, 9, 9
	require.Equal(t, float32(7), x.F32[0])
	require.Equal(t, float32(3), weights["w"].F32[0])
	require.Equal(t, byte(0), weights["q"].Stored[0])
	require.Equal(t, float32(1), g.Params[3].Param.Values[0])
}

// Bytes that are not aligned for their elements are read all the same.
func TestUnalignedBytes(t *testing.T) {
	raw := []byte{99, 0, 0, 0x80, 0x3f, 0, 0, 0, 0x40}
	require.Equal(t, []float32{1, 2}, interp.Stored(dtype.F32, raw[1:], 2).Float32s())
	g := parse(t, `%x = input "x" : i32[2]
		return x=%x`)
	p, err := interp.New(g, nil, interp.Float64)
	require.NoError(t, err)
	out, err := p.Run(context.Background(), interp.Run{Env: sym.Env{T: 1},
		Inputs: map[string]interp.Tensor{"x": interp.Stored(dtype.I32, raw[1:], 2)}})
	require.NoError(t, err)
	require.Equal(t, []int32{0x3f800000, 0x40000000}, out["x"].I32)
}

func TestArgmaxTies(t *testing.T) {
	g := parse(t, `%x = input "x" : f32[T, 4]
		%y = argmax %x
		return y=%y`)
	p, err := interp.New(g, nil, interp.Float32)
	require.NoError(t, err)
	out, err := p.Run(context.Background(), interp.Run{Env: sym.Env{T: 2},
		Inputs: map[string]interp.Tensor{"x": interp.Floats([]float32{1, 3, 3, 2, -1, -1, -1, -1}, 2, 4)}})
	require.NoError(t, err)
	require.Equal(t, []int32{1, 0}, out["y"].I32)
}
