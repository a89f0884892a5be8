package seeded

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/interp"
	"foundry/ir/sym"
)

func parsed(t *testing.T, body string) *ir.Graph {
	t.Helper()
	g, err := ir.Parse("g.fir", "graph @g (T=1..4, P=0..4, S<=8) {\n"+body+"\n}\n")
	require.NoError(t, err)
	return g
}

// A seed means the same numbers for ever, in every type: the sum is of all their bytes. Those of
// a matrix fill the range of sqrt(3 / 768), those with zero points twice that.
func TestNumbersOfEveryType(t *testing.T) {
	all := crc32.NewIEEE()
	for _, d := range dtype.All() {
		if !d.Float() && !d.Quantised() {
			continue
		}
		g := parsed(t, fmt.Sprintf("%%x = input \"x\" : f32[T, 768]\n%%w = weight \"w\" : %s[16, 768]\n%%y = matmul_nt %%x, %%w\nreturn y=%%y", d))
		w, err := Weights(g, 3)("w", g.Params[1].Type)
		require.NoError(t, err)
		_, err = all.Write(w.Stored)
		require.NoError(t, err)
		most, sum := 0.0, 0.0
		for _, v := range w.Float64s() {
			most, sum = max(most, math.Abs(v)), sum+math.Abs(v)
		}
		require.True(t, most > 0.062 && most < 0.126, "%s: %g", d, most)
		require.InDelta(t, 0.03, sum/float64(w.Len()), 0.02, d)
	}
	require.Equal(t, "091c87c7", fmt.Sprintf("%08x", all.Sum32()))
}

// What a param's numbers are follows from its uses, the first row that fits, and the ids
// lie within the smallest vocabulary that they meet.
func TestNumbersOfEveryUse(t *testing.T) {
	g := parsed(t, `%ids = input "ids" : i32[T]
		%table = weight "table" : f32[40, 300]
		%small = weight "small" : f32[9, 300]
		%norm = weight "norm" : f32[300]
		%scale = weight "scale" : f32[300]
		%bias = weight "bias" : f32[300]
		%both = weight "both" : f32[300]
		%gain = weight "gain" : f32[300]
		%w = weight "w" : f32[600, 300]
		%heads = input "heads" : f32[4, T, 150]
		%freq = weight "freq" : f32[75]
		%settings = input "settings" : f32[5]
		%u = input "u" : f32[T]
		%seen = input "seen" : i32[S]
		%state = input "state" : i32[3]
		%a = embedding %ids, %table
		%b = embedding %ids, %small
		%c = add %a, %b
		%d = rms_norm %c, %norm {eps=1e-06}
		%e = add %d, %bias
		%f = mul %e, %both
		%g = add %both, %gain
		%sums = sum_squares %f {size=300}
		%h = rms_scale %f, %sums, %scale {eps=1e-06}
		%i = rms_norm %h, %both {eps=1e-06}
		%y = matmul_nt %i, %w
		%turned = rope %heads, %freq {start=P}
		%drawn = random_uniform %state {size=T}
		%z = sample %y, %settings, %u, %seen
		%z2 = sample %y, %settings, %drawn, %seen
		return y=%y, g=%g, t=%turned, z=%z, z2=%z2`)
	env := sym.Env{T: 4, P: 4}
	inputs, weights := Inputs(g, env, 5), Weights(g, 5)
	ends := map[string][2]float64{"table": {-1, 1}, "small": {-1, 1}, "norm": {0.75, 1.25}, "scale": {0.75, 1.25}, "bias": {-0.25, 0.25}, "both": {0.75, 1.25},
		"gain": {-0.25, 0.25}, "w": {-0.1, 0.1}, "heads": {-1, 1}, "freq": {0, 1}}
	for _, p := range g.Params {
		name := p.Param.Name
		of, given := inputs[name]
		if !given {
			var err error
			of, err = weights(name, p.Type)
			require.NoError(t, err)
		}
		if want, ok := ends[name]; ok {
			v := of.Float32s()
			near := (want[1] - want[0]) / 50
			require.InDelta(t, want[0]+near, slices.Min(v), near, name)
			require.InDelta(t, want[1]-near, slices.Max(v), near, name)
		}
	}
	require.Equal(t, []int32{2, 4, 8, 7}, inputs["ids"].I32)
	require.Equal(t, []int32{162, 430, 430, 256, 410, 581, 416, 132}, inputs["seen"].I32)
	require.Equal(t, []int32{923644049, 1022146910, 1121337672}, inputs["state"].I32)
	require.InDeltaSlice(t, []float32{0.5, 0.5}, []float32{inputs["settings"].Float32s()[0], inputs["u"].Float32s()[0]}, 0.5)
	require.Equal(t, uint32(0x229d0e23), crc32.ChecksumIEEE(slices.Concat(inputs["settings"].Stored, inputs["u"].Stored)))
	_, err := weights("norm", ir.Type{DType: dtype.F16, Shape: g.Params[3].Type.Shape})
	require.EqualError(t, err, `graph @g has no weight "norm" of type f16[300]`)
	_, err = weights("other", g.Params[3].Type)
	require.EqualError(t, err, `graph @g has no weight "other" of type f32[300]`)
}

// Caches have numbers of all of [-1, 1), those of rows that nobody wrote too.
func TestNumbersOfStates(t *testing.T) {
	g := parsed(t, "%c = state \"c\" : f32[2, 8, 100]\n%d = state \"d\" : f16[1, 8, 4]\nreturn y=%c, z=%d")
	p, err := interp.New(g, nil, interp.Float32)
	require.NoError(t, err)
	s := p.NewState()
	require.NoError(t, FillState(s, 3))
	c, err := s.Tensor("c")
	require.NoError(t, err)
	require.InDelta(t, -0.99, slices.Min(c.F32), 0.01)
	require.InDelta(t, 0.99, slices.Max(c.F32), 0.01)
	n := numbersOf("c", 3)
	for i, v := range c.F32 {
		require.Equal(t, n.unit(i), v)
	}
	d, err := s.Tensor("d")
	require.NoError(t, err)
	require.NotZero(t, d.F32[31])
}

// Whole numbers of a weight lie below every vocabulary that they are looked up in.
func TestWholeNumbersOfWeights(t *testing.T) {
	g := parsed(t, "%i = weight \"i\" : i32[200]\n%t = weight \"t\" : f32[9, 2]\n%y = embedding %i, %t\nreturn y=%y")
	w, err := Weights(g, 3)("i", g.Params[0].Type)
	require.NoError(t, err)
	seen := map[uint32]bool{}
	for i := range 200 {
		seen[binary.LittleEndian.Uint32(w.Stored[4*i:])] = true
	}
	for id := range uint32(9) {
		require.True(t, seen[id], id)
	}
	require.Len(t, seen, 9)
	require.PanicsWithValue(t, "seeded: no random blocks of f32", func() { randomBlocks(dtype.F32, 1, 1, make([]byte, 4)) })
}
