package interp_test

import (
	"context"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir"
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
