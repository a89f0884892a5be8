package dtype

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// Every f16 pattern widens to its value and comes back; NaN payloads stay.
func TestF16RoundTrip(t *testing.T) {
	for h := range 1 << 16 {
		h := uint16(h)
		f := F16ToF32(h)
		exp, man := int(h>>10&31), float64(h&1023)
		want := math.Ldexp(1+man/1024, exp-15)
		if exp == 0 {
			want = math.Ldexp(man, -24)
		}
		if h>>15 == 1 {
			want = -want
		}
		back := F32ToF16(f)
		switch {
		case exp == 31 && man != 0:
			require.True(t, math.IsNaN(float64(f)), "%#04x", h)
			require.Equal(t, h|0x200, back, "%#04x", h)
			continue
		case exp == 31:
			want = math.Inf(1 - 2*int(h>>15))
		}
		if float64(f) != want || back != h {
			t.Fatalf("%#04x widens to %g, want %g, comes back %#04x", h, f, want, back)
		}
	}
}

func TestBF16RoundTrip(t *testing.T) {
	for h := range 1 << 16 {
		h := uint16(h)
		f := BF16ToF32(h)
		want := h
		if f != f {
			want |= 0x40
		}
		if got := F32ToBF16(f); got != want {
			t.Fatalf("%#04x comes back %#04x", h, got)
		}
	}
}

// nearest narrows v by looking at both neighbours among the patterns that widen
// monotonically with their bits: an implementation that shares nothing with
// the fast one.
func nearest(v float32, widen func(uint16) float32, top uint16, limit float64) uint16 {
	sign := uint16(math.Float32bits(v) >> 31 << 15)
	a := math.Abs(float64(v))
	if a >= limit {
		return sign | top
	}
	lo, hi := uint16(0), top
	for hi-lo > 1 {
		if mid := lo + (hi-lo)/2; float64(widen(mid)) <= a {
			lo = mid
		} else {
			hi = mid
		}
	}
	below := a - float64(widen(lo))
	var above float64
	if hi == top {
		above = 2*(limit-float64(widen(lo))) - below
	} else {
		above = float64(widen(hi)) - a
	}
	if below < above || below == above && lo%2 == 0 {
		return sign | lo
	}
	return sign | hi
}

func TestNarrowToNearestEven(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		v := math.Float32frombits(rapid.Uint32().Draw(rt, "bits"))
		if v != v {
			return
		}
		if got, want := F32ToF16(v), nearest(v, F16ToF32, 0x7c00, 65520); got != want {
			rt.Fatalf("f16 of %g is %#04x, want %#04x", v, got, want)
		}
		if got, want := F32ToBF16(v), nearest(v, BF16ToF32, 0x7f80, 0x1.ffp127); got != want {
			rt.Fatalf("bf16 of %g is %#04x, want %#04x", v, got, want)
		}
	})
	// Halfway points and their neighbours, over the whole f16 range.
	for h := range uint16(0x7c00) {
		lo, hi := float64(F16ToF32(h)), 65536.0
		if h+1 < 0x7c00 {
			hi = float64(F16ToF32(h + 1))
		}
		mid := float32((lo + hi) / 2)
		for _, v := range []float32{math.Nextafter32(mid, 0), mid, math.Nextafter32(mid, 1e9)} {
			if got, want := F32ToF16(v), nearest(v, F16ToF32, 0x7c00, 65520); got != want {
				t.Fatalf("f16 of %g is %#04x, want %#04x", v, got, want)
			}
		}
	}
}

func TestNames(t *testing.T) {
	for _, typ := range All() {
		got, err := Parse(typ.String())
		require.NoError(t, err)
		require.Equal(t, typ, got)
		elems, bytes := typ.Block()
		require.Equal(t, int64(3*bytes), typ.Bytes(int64(3*elems)))
	}
	_, err := Parse("q9")
	require.EqualError(t, err, `unknown dtype "q9"`)
}
