package interp_test

import (
	"context"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/interp"
	"foundry/ir/sym"
)

// run returns result y of a graph of these statements, with T=3 and P=2.
func run(t *testing.T, p interp.Precision, statements string, inputs map[string]interp.Tensor) (interp.Tensor, error) {
	t.Helper()
	program, err := interp.New(parse(t, statements+"\nreturn y=%y"), nil, p)
	require.NoError(t, err)
	out, err := program.Run(context.Background(), interp.Run{Env: sym.Env{T: 3, P: 2}, Inputs: inputs})
	return out["y"], err
}

// Operations on one element take a scalar as they take a row of one.
func TestScalars(t *testing.T) {
	x := map[string]interp.Tensor{"a": interp.Floats([]float32{1.0001})}
	for _, p := range []interp.Precision{interp.Float32, interp.Float64} {
		for statements, want := range map[string]float64{
			`%a = input "a" : f32[]` + "\n" + `%y = silu %a`:                                                                    1.0001 / (1 + math.Exp(-1.0001)),
			`%a = input "a" : f32[]` + "\n" + `%y = cast %a {to=f16}`:                                                           1,
			`%a = input "a" : f32[]` + "\n" + `%b = silu %a` + "\n" + `%c = cast %b {to=bf16}` + "\n" + `%y = cast %c {to=f32}`: 0.73046875, // of 0.73108 in eight bits
		} {
			y, err := run(t, p, statements, x)
			require.NoError(t, err)
			require.Empty(t, y.Shape)
			require.InDeltaSlice(t, []float64{want}, y.Float64s(), 1e-7, statements)
		}
	}
}

// Views of any strides are read in the order of their elements.
func TestViewsOfAnyStrides(t *testing.T) {
	ints := map[string]interp.Tensor{"a": interp.Ints([]int32{1, 2, 3, 4, 5, 6}, 2, 3)}
	floats := map[string]interp.Tensor{"a": interp.Floats([]float32{1, 2, 3, 4, 5, 6}, 2, 3)}
	for statements, want := range map[string][]float64{
		`%b = transpose %a {perm=[1,0,0,0]}` + "\n" + `%y = reshape %b {shape=[6]}`:                                                    {1, 4, 2, 5, 3, 6},
		`%b = transpose %a {perm=[1,0,0,0]}` + "\n" + `%c = slice %b {axis=0, start=1, size=2}` + "\n" + `%y = reshape %c {shape=[4]}`: {2, 5, 3, 6},
		`%b = transpose %a {perm=[1,0,0,0]}` + "\n" + `%y = concat %b, %b {axis=1}`:                                                    {1, 4, 1, 4, 2, 5, 2, 5, 3, 6, 3, 6},
		`%b = transpose %a {perm=[1,0,0,0]}` + "\n" + `%y = concat %b, %b {axis=0}`:                                                    {1, 4, 2, 5, 3, 6, 1, 4, 2, 5, 3, 6},
		`%b = transpose %a {perm=[1,0,0,0]}` + "\n" + `%y = slice %b {axis=1, start=1, size=1}`:                                        {4, 5, 6},
		`%b = slice %a {axis=1, start=1, size=2}` + "\n" + `%y = concat %b, %b {axis=0}`:                                               {2, 3, 5, 6, 2, 3, 5, 6},
		`%b = slice %a {axis=1, start=1, size=2}` + "\n" + `%y = transpose %b {perm=[1,0,0,0]}`:                                        {2, 5, 3, 6},
	} {
		y, err := run(t, interp.Float32, `%a = input "a" : i32[2, 3]`+"\n"+statements, ints)
		require.NoError(t, err)
		have := make([]float64, len(y.I32))
		for i, v := range y.I32 {
			have[i] = float64(v)
		}
		require.Equal(t, want, have, statements)
		for _, p := range []interp.Precision{interp.Float32, interp.Float64} {
			y, err := run(t, p, `%a = input "a" : f32[2, 3]`+"\n"+statements, floats)
			require.NoError(t, err)
			require.Equal(t, want, y.Float64s(), statements)
		}
	}
}

// Of views whose elements are two apart each is read.
func TestViewsOfEverySecond(t *testing.T) {
	floats := map[string]interp.Tensor{"a": interp.Floats([]float32{1, 2, 3, 4, 5, 6}, 3, 2)}
	for _, p := range []interp.Precision{interp.Float32, interp.Float64} {
		y, err := run(t, p, `%a = input "a" : f32[3, 2]`+"\n"+`%b = transpose %a {perm=[1,0,0,0]}`+"\n"+`%y = reshape %b {shape=[6]}`, floats)
		require.NoError(t, err)
		require.Equal(t, []float64{1, 3, 5, 2, 4, 6}, y.Float64s())
	}
}

// What cannot be run is refused, and logits that no token can be chosen from by their row.
func TestWhatCannotBeRun(t *testing.T) {
	_, err := interp.New(parse(t, `%a = input "a" : f32[]`+"\nreturn y=%a"), nil, 7)
	require.EqualError(t, err, "graph @g: precision 7 is neither Float32 nor Float64")
	_, err = interp.New(&ir.Graph{}, nil, interp.Float32)
	require.Error(t, err)
	_, err = run(t, interp.Float32, `%l = input "l" : f32[1, 4]
		%s = input "s" : f32[5]
		%u = input "u" : f32[1]
		%h = input "h" : i32[2]
		%y = sample %l, %s, %u, %h @"choose"`, map[string]interp.Tensor{
		"l": interp.Floats([]float32{1, float32(math.NaN()), 1, 1}, 1, 4), "s": interp.Floats(make([]float32, 5), 5), "u": interp.Floats([]float32{0}, 1), "h": interp.Ints([]int32{0, 0}, 2),
	})
	require.ErrorContains(t, err, "choose sample: row 0: no token can be chosen")
}

// What is equal adds to the squares of a reference only where it is finite; zeros are no error.
func TestCompareOfZerosAndInfinities(t *testing.T) {
	inf := math.Inf(1)
	require.Equal(t, interp.Difference{}, interp.Compare([]float64{0, 0}, []float64{0, 0}))
	for _, same := range []float64{inf, -inf, math.NaN()} {
		d := interp.Compare([]float64{same, 3}, []float64{same, 2})
		require.Equal(t, 0.25, d.NMSE, same)
	}
	require.PanicsWithValue(t, "interp: cannot compare 1 logits with 2", func() { interp.KL([]float32{1}, []float32{1, 2}) })
	require.PanicsWithValue(t, "interp: cannot compare 2 values with 1", func() { interp.Compare([]float32{1, 2}, []float32{1}) })
	require.Equal(t, "NMSE 0.25, max abs 1 at 1, max ULP 4194304", interp.Compare([]float64{0, 3}, []float64{0, 2}).String())
}

// Words of a checkpoint are read where they lie, and a run with another program's state is refused
// by the name that is missing.
func TestWordsAndStatesByName(t *testing.T) {
	raw := make([]byte, 8)
	raw[0], raw[5] = 7, 1
	y, err := run(t, interp.Float32, `%a = input "a" : i32[2]`+"\n"+`%y = reshape %a {shape=[2]}`, map[string]interp.Tensor{"a": interp.Stored(dtype.I32, raw, 2)})
	require.NoError(t, err)
	require.Equal(t, []int32{7, 256}, y.I32)
	one, err := interp.New(parse(t, "%c = state \"one\" : f32[2]\nreturn y=%c"), nil, interp.Float32)
	require.NoError(t, err)
	two, err := interp.New(parse(t, "%c = state \"two\" : f32[2]\nreturn y=%c"), nil, interp.Float32)
	require.NoError(t, err)
	_, err = two.Run(context.Background(), interp.Run{Env: sym.Env{T: 1}, State: one.NewState()})
	require.EqualError(t, err, `no state "two"`)
}

// Of many short rows each is computed, whichever number goroutines divide.
func TestManyShortRows(t *testing.T) {
	const n = 700
	column := make([]float32, n)
	for i := range column {
		column[i] = float32(i%5) + 1
	}
	each := func(f func(x float64) float64) (out []float64) {
		for _, x := range column {
			out = append(out, f(float64(x)))
		}
		return out
	}
	ids := make([]int32, n)
	for i := range ids {
		ids[i] = int32(i % 5)
	}
	pairs, ones := make([]float32, 2*n), make([]int32, n)
	turned := make([]float64, 0, 2*n)
	for i := range column {
		pairs[i], pairs[n+i] = column[i], -column[i]
		turned = append(turned, float64(column[i]), -float64(column[i]))
		ones[i] = 1
	}
	rising := make([]float32, 2*n)
	for i := range column {
		rising[2*i], rising[2*i+1] = -1, column[i]
	}
	inputs := map[string]interp.Tensor{
		"x": interp.Floats(column, n, 1), "h": interp.Floats(column, 1, n, 1), "b": interp.Floats(column, n, 1, 1), "one": interp.Floats([]float32{2}, 1, 1), "ids": interp.Ints(ids, n),
		"table": interp.Floats([]float32{1, 2, 3, 4, 5}, 5, 1), "wide": interp.Floats(pairs, 2, n), "rising": interp.Floats(rising, n, 2), "two": interp.Floats([]float32{2}, 1), "turn": interp.Floats(rising, 1, n, 2),
		"single": interp.Floats([]float32{2}, 1, 1, 1),
	}
	zero := func(float64) float64 { return 0 }
	var angles []float64
	for i, x := range column {
		s, c := math.Sincos(float64(2 + i)) // P is 2
		angles = append(angles, -c-float64(x)*s, float64(x)*c-s)
	}
	for statements, want := range map[string][]float64{
		"%x = input \"x\" : f32[700, 1]\n%y = sum_squares %x {size=1}":                                                                   each(func(x float64) float64 { return x * x }),
		"%x = input \"x\" : f32[700, 1]\n%y = silu %x":                                                                                   each(func(x float64) float64 { return x / (1 + math.Exp(-x)) }),
		"%x = input \"x\" : f32[700, 1]\n%b = input \"two\" : f32[1]\n%y = mul %x, %b":                                                   each(func(x float64) float64 { return 2 * x }),
		"%x = input \"x\" : f32[700, 1]\n%y = softmax %x":                                                                                each(func(float64) float64 { return 1 }),
		"%x = input \"x\" : f32[700, 1]\n%b = input \"one\" : f32[1, 1]\n%y = matmul_nt %b, %x":                                          each(func(x float64) float64 { return 2 * x }),
		"%x = input \"b\" : f32[700, 1, 1]\n%b = input \"single\" : f32[1, 1, 1]\n%y = bmm_nt %x, %b {scale=3}":                          each(func(x float64) float64 { return 6 * x }),
		"%x = input \"b\" : f32[700, 1, 1]\n%b = input \"single\" : f32[1, 1, 1]\n%y = bmm_nn %x, %b":                                    each(func(x float64) float64 { return 2 * x }),
		"%x = input \"h\" : f32[1, 700, 1]\n%y = repeat_kv %x {times=2}":                                                                 append(each(func(x float64) float64 { return x }), each(func(x float64) float64 { return x })...),
		"%i = input \"ids\" : i32[700]\n%t = input \"table\" : f32[5, 1]\n%y = embedding %i, %t":                                         each(func(x float64) float64 { return x }),
		"%x = input \"wide\" : f32[2, 700]\n%t = transpose %x {perm=[1,0,0,0]}\n%y = reshape %t {shape=[1400]}":                          turned,
		"%x = input \"rising\" : f32[700, 2]\n%y = argmax %x":                                                                            each(func(x float64) float64 { return 1 }),
		"%x = input \"turn\" : f32[1, 700, 2]\n%f = const \"f\" [1] : f32[1]\n%y = rope %x, %f {start=P}":                                angles,
		"%x = input \"x\" : f32[700, 1]\n%w = const \"w\" [0] : f32[1]\n%s = sum_squares %x {size=1}\n%y = rms_scale %x, %s, %w {eps=1}": each(zero),
	} {
		for _, p := range []interp.Precision{interp.Float32, interp.Float64} {
			given := map[string]interp.Tensor{}
			for name, x := range inputs {
				if strings.Contains(statements, `input "`+name+`"`) {
					given[name] = x
				}
			}
			y, err := run(t, p, statements, given)
			require.NoError(t, err, statements)
			if y.I32 != nil {
				require.Equal(t, ones, y.I32)
				continue
			}
			require.InDeltaSlice(t, want, y.Float64s(), 1e-5, statements)
		}
	}
}
