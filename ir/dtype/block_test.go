package dtype

import (
	"encoding/hex"
	"encoding/json"
	"math"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

type golden struct{ Input, Blocks, Values string }

func goldens(t *testing.T) map[Type]golden {
	raw, err := os.ReadFile("testdata/goldens.json")
	require.NoError(t, err)
	var byName map[string]golden
	require.NoError(t, json.Unmarshal(raw, &byName))
	out := map[Type]golden{}
	for name, g := range byName {
		typ, err := Parse(name)
		require.NoError(t, err)
		out[typ] = g
	}
	for _, typ := range AllButAffine() {
		if typ.Quantised() {
			require.Contains(t, out, typ)
		}
	}
	return out
}

func unhex(t *testing.T, s string) []byte {
	b, err := hex.DecodeString(s)
	require.NoError(t, err)
	return b
}

func floats(b []byte) []float32 {
	out := make([]float32, len(b)/4)
	Dequantise(F32, b, out)
	return out
}

// The published Python package and these functions must agree to the bit.
func TestDequantiseGoldens(t *testing.T) {
	for typ, g := range goldens(t) {
		want := floats(unhex(t, g.Values))
		got := make([]float32, len(want))
		Dequantise(typ, unhex(t, g.Blocks), got)
		for i := range want {
			require.Equal(t, want[i], got[i], "%v element %d", typ, i)
		}
	}
}

func TestQuantiseGoldens(t *testing.T) {
	for typ, g := range goldens(t) {
		if per, _ := typ.Block(); per == 256 || !typ.CanQuantise() { // K formats are searched for, each encoder in its way
			require.Empty(t, g.Input, "%v", typ)
			continue
		}
		src, want := floats(unhex(t, g.Input)), unhex(t, g.Blocks)
		got := make([]byte, len(want))
		Quantise(typ, src, got)
		_, size := typ.Block()
		for b := 0; b < len(want); b += size {
			require.Equal(t, want[b:b+size], got[b:b+size], "%v block %d", typ, b/size)
		}
	}
}

// A quantised value lies within the format's step of the original: half a step
// of rounding (a whole one at the clamped end of the symmetric formats), plus
// the rounding of the f16 scale times the greatest level, plus that of the f16
// minimum.
func TestQuantiseError(t *testing.T) {
	levels := map[Type]struct {
		steps  float64 // range divided by the step
		affine bool
		worst  float64 // in steps
	}{
		Q8_0: {127, false, 0.5}, Q4_0: {8, false, 1}, Q5_0: {16, false, 1},
		Q4_1: {15, true, 0.5}, Q5_1: {31, true, 0.5},
	}
	rapid.Check(t, func(rt *rapid.T) {
		src := rapid.SliceOfN(rapid.Float32Range(-100, 100), 32, 32).Draw(rt, "src")
		lo, hi, peak := math.Inf(1), math.Inf(-1), 0.0
		for _, v := range src {
			lo, hi = min(lo, float64(v)), max(hi, float64(v))
			peak = max(peak, math.Abs(float64(v)))
		}
		for typ, l := range levels {
			span := peak
			if l.affine {
				span = hi - lo
			}
			// 2^-11 relative for a normal f16; 2^-25 absolute below.
			scaleError := max(span*0x1p-11, l.steps*0x1p-25)
			bound := l.worst*span/l.steps + scaleError + 1e-5*span
			if l.affine {
				bound += max(math.Abs(lo)*0x1p-11, 0x1p-25)
			}
			dst := make([]byte, typ.Bytes(32))
			Quantise(typ, src, dst)
			back := make([]float32, 32)
			Dequantise(typ, dst, back)
			for i := range src {
				if d := math.Abs(float64(back[i]) - float64(src[i])); d > bound {
					rt.Fatalf("%v: %g became %g, off by %g, bound %g", typ, src[i], back[i], d, bound)
				}
			}
		}
	})
}

func TestPlainTypesRoundTrip(t *testing.T) {
	src := []float32{0, 1, -2.5, 0.375, -128} // exact in every plain float type
	for _, typ := range []Type{F32, F16, BF16} {
		dst, back := make([]byte, typ.Bytes(5)), make([]float32, 5)
		Quantise(typ, src, dst)
		Dequantise(typ, dst, back)
		require.Equal(t, src, back, "%v", typ)
	}
}

func TestLengthsAreChecked(t *testing.T) {
	require.Panics(t, func() { Dequantise(Q8_0, make([]byte, 33), make([]float32, 32)) })
	require.Panics(t, func() { Dequantise(Q8_0, make([]byte, 34), make([]float32, 31)) })
	require.Panics(t, func() { Dequantise(I32, make([]byte, 4), make([]float32, 1)) })
	require.Panics(t, func() { Quantise(Q3_K, make([]float32, 256), make([]byte, 176)) })
	require.Panics(t, func() { Quantise(Q4_0, make([]float32, 32), make([]byte, 17)) })
}

func BenchmarkDequantise(b *testing.B) {
	for _, typ := range All() {
		if !typ.Float() && !typ.Quantised() {
			continue
		}
		b.Run(typ.String(), func(b *testing.B) {
			dst := make([]float32, 1<<14)
			src := make([]byte, typ.Bytes(1<<14))
			b.SetBytes(4 << 14)
			for b.Loop() {
				Dequantise(typ, src, dst)
			}
		})
	}
}

func BenchmarkQuantise(b *testing.B) {
	for _, typ := range All() {
		if !typ.CanQuantise() {
			continue
		}
		b.Run(typ.String(), func(b *testing.B) {
			src := make([]float32, 1<<14)
			for i := range src {
				src[i] = float32(i%97) - 48
			}
			dst := make([]byte, typ.Bytes(1<<14))
			b.SetBytes(4 << 14)
			for b.Loop() {
				Quantise(typ, src, dst)
			}
		})
	}
}
