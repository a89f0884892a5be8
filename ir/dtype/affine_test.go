package dtype

import (
	"encoding/base64"
	"encoding/json"
	"math"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

type affineGolden struct{ Levels, Scales, Biases, Values string }

func affineGoldens(t *testing.T) (input []float32, types map[Type]affineGolden) {
	raw, err := os.ReadFile("testdata/affine.json")
	require.NoError(t, err)
	var file struct {
		Input string
		Types map[string]affineGolden
	}
	require.NoError(t, json.Unmarshal(raw, &file))
	types = map[Type]affineGolden{}
	for name, g := range file.Types {
		typ, err := Parse(name)
		require.NoError(t, err)
		types[typ] = g
	}
	return floats(decode(t, file.Input)), types
}

func decode(t *testing.T, s string) []byte {
	b, err := base64.StdEncoding.DecodeString(s)
	require.NoError(t, err)
	return b
}

// mx.quantize and Quantise agree to the bit, and so do the dequantised values.
func TestAffineGoldens(t *testing.T) {
	input, types := affineGoldens(t)
	values := 0
	for _, typ := range Affines() {
		a, ok := typ.Affine()
		require.True(t, ok)
		if a.Zeros {
			require.False(t, typ.CanQuantise())
			continue
		}
		g, ok := types[typ]
		require.True(t, ok, "%v", typ)
		got := make([]byte, typ.Bytes(int64(len(input))))
		Quantise(typ, input, got)
		levels, scales, biases := decode(t, g.Levels), decode(t, g.Scales), decode(t, g.Biases)
		_, size := typ.Block()
		_, n := a.Scales.Block()
		for i := range len(got) / size {
			s, b, q := a.Split(got[i*size : (i+1)*size])
			require.Equal(t, scales[i*n:(i+1)*n], s, "%v scale %d", typ, i)
			require.Equal(t, biases[i*n:(i+1)*n], b, "%v bias %d", typ, i)
			require.Equal(t, levels[i*len(q):(i+1)*len(q)], q, "%v levels of group %d", typ, i)
		}
		if g.Values == "" {
			continue
		}
		values++
		have := make([]float32, len(input))
		Dequantise(typ, got, have)
		require.Equal(t, floats(decode(t, g.Values)), have, "%v", typ)
	}
	require.Equal(t, len(affineBits)*len(affineScales), values)
}

// Zero points of every level and one more read as the formula says, to the bit.
func TestAffineZeros(t *testing.T) {
	for _, typ := range Affines() {
		a, _ := typ.Affine()
		if !a.Zeros {
			continue
		}
		per, size := typ.Block()
		block, want, got := make([]byte, size), make([]float32, per), make([]float32, per)
		for zero := 0; zero <= 1<<a.Bits; zero += max(1, 1<<a.Bits/8) {
			s, z, q := a.Split(block)
			a.putScale(s, -0.375)
			a.putScale(z, float32(zero))
			levels := make([]float32, per)
			for i := range levels {
				levels[i] = float32((7*i + zero) % (1 << a.Bits))
				want[i] = -0.375 * float32((7*i+zero)%(1<<a.Bits)-zero)
			}
			a.pack(levels, q)
			Dequantise(typ, block, got)
			require.Equal(t, want, got, "%v zero %d", typ, zero)
		}
	}
}

// Names, numbers and descriptions of the affine types are one and the same.
func TestAffineNames(t *testing.T) {
	seen := map[string]bool{}
	for i, typ := range Affines() {
		a, ok := typ.Affine()
		require.True(t, ok)
		back, ok := a.Type()
		require.True(t, ok)
		require.Equal(t, typ, back)
		require.Equal(t, affineAt(i), a)
		require.False(t, seen[typ.String()])
		seen[typ.String()] = true
		parsed, err := Parse(typ.String())
		require.NoError(t, err)
		require.Equal(t, typ, parsed)
		_, size := typ.Block()
		require.Zero(t, size%4, "%v", typ)
	}
	require.Len(t, seen, affineTypes)
	for short, long := range map[string]string{"affine4": "affine4_g64_bf16", "affine8_g32": "affine8_g32_bf16", "affine3_g128_f16": "affine3_g128_f16", "q8_0": "q8_0", "f16": "f16"} {
		typ, err := ParseWeights(short)
		require.NoError(t, err)
		require.Equal(t, long, typ.String())
	}
	for _, bad := range []string{"affine", "affine7", "affine4_g16", "affine4_zero", "affine4_g64_i32", ""} {
		_, err := ParseWeights(bad)
		require.Error(t, err, bad)
	}
	for _, a := range []Affine{{}, {Bits: 7, Group: 64, Scales: F16}, {Bits: 4, Group: 16, Scales: F16}, {Bits: 4, Group: 64, Scales: I32}} {
		_, ok := a.Type()
		require.False(t, ok)
	}
	_, ok := Q4_0.Affine()
	require.False(t, ok)
	require.Equal(t, "affine4", Affines()[len(Affines())/3].Format())
	require.Equal(t, "q4_0", Q4_0.Format())
}

// A group with an infinity keeps its neighbours.
func TestAffineOverflow(t *testing.T) {
	typ, err := Parse("affine4_g32_f16")
	require.NoError(t, err)
	src := make([]float32, 64)
	src[0], src[40] = 1e6, 1 // no f16 holds the first
	dst, got := make([]byte, typ.Bytes(64)), make([]float32, 64)
	Quantise(typ, src, dst)
	Dequantise(typ, dst, got)
	require.False(t, math.Abs(float64(got[1])) < math.MaxFloat32, "an infinite scale is not hidden")
	require.InDeltaSlice(t, src[32:], got[32:], 0x1p-11)
}
