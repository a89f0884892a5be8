package cpu

import (
	"fmt"
	"math"
	"math/bits"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir/dtype"
	"foundry/lower/plan"
)

// hardFloats are those that functions treat on their own, and their neighbours: zeros,
// ties, what is subnormal, what halves just hold, what is no number.
var hardFloats = []float32{
	0, float32(math.Copysign(0, -1)), 1, -1, 0.5, -0.5, 2.5, -2.5, 1e-45, -1e-45, 0x1p-126, -126.5, 0x1p-24, 0x1p-25, -0x1.8p-25, 65504, 65519.996, -65520,
	math.MaxFloat32, -math.MaxFloat32, float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN()), math.Float32frombits(0xFF800001),
	1 + 0x1p-8, 1 + 0x3p-8, 1 + 0x1p-11, 1 + 0x3p-11, 1 + 0x1p-11 + 0x1p-23, 0x1.fffffep-1, 160.25, -160.75,
}

// bitsOf are the bits of a float, of all that are no numbers the same.
func bitsOf(f float32) uint32 {
	if f != f {
		return 0x7FC00000
	}
	return math.Float32bits(f)
}

func of64(f func(x float64) float64) func(x, y float32) uint32 {
	return func(x, _ float32) uint32 { return bitsOf(float32(f(float64(x)))) }
}

func yes(b bool) uint32 {
	if b {
		return 1
	}
	return 0
}

func halves(f func(x, y float32) float32) func(x, y float32) uint32 {
	return func(x, y float32) uint32 { return bitsOf(f16(f(f16(x), f16(y)))) }
}

// comparisons are those of x and y, a bit each.
func comparisons(x, y float32) uint32 {
	return yes(x < y) | yes(x > y)<<1 | yes(x <= y)<<2 | yes(x >= y)<<3 | yes(x == y)<<4 | yes(x != y)<<5
}

func lesser(x, y float32) float32 {
	if x <= y || y != y {
		return x
	}
	return y
}

func greater(x, y float32) float32 {
	if x >= y || y != y {
		return x
	}
	return y
}

func saturated(x float32) float32 { return lesser(greater(x, 0), 1) }

func bf16Bits(x float32) uint32 {
	if x != x {
		return math.Float32bits(x)>>16 | 64
	}
	return uint32(dtype.F32ToBF16(x))
}

// hard is what is asked of each pair of those: x and y floats, h and k the halves nearest.
var hard = []struct {
	text string // of a uint
	of   func(x, y float32) uint32
}{
	{"bits(fmin(x, y))", func(x, y float32) uint32 { return bitsOf(lesser(x, y)) }},
	{"bits(max(x, y))", func(x, y float32) uint32 { return bitsOf(greater(x, y)) }},
	{"bits(fmin(h, k))", halves(lesser)},
	{"bits(max(h, k))", halves(greater)},
	{"uint(signbit(x)) | uint(isnan(x)) << 1 | uint(isinf(x)) << 2 | uint(isfinite(x)) << 3", func(x, _ float32) uint32 {
		inf := math.IsInf(float64(x), 0)
		return yes(math.Signbit(float64(x))) | yes(x != x)<<1 | yes(inf)<<2 | yes(!inf && x == x)<<3
	}},
	{"uint(isnan(h)) << 1 | uint(isinf(h)) << 2 | uint(isfinite(h)) << 3", func(x, _ float32) uint32 {
		x = f16(x)
		inf := math.IsInf(float64(x), 0)
		return yes(x != x)<<1 | yes(inf)<<2 | yes(!inf && x == x)<<3
	}},
	{"bits(sign(x))", func(x, _ float32) uint32 {
		switch {
		case x > 0:
			return bitsOf(1)
		case x < 0:
			return bitsOf(-1)
		case x != x:
			return 0
		}
		return bitsOf(x)
	}},
	{"bits(step(x, y))", func(x, y float32) uint32 { return bitsOf(float32(yes(!(y < x)))) }},
	{"bits(step(h, k))", halves(func(x, y float32) float32 { return float32(yes(!(y < x))) })},
	{"bits(saturate(x))", func(x, _ float32) uint32 { return bitsOf(saturated(x)) }},
	{"bits(saturate(h))", halves(func(x, _ float32) float32 { return saturated(x) })},
	{"bits(clamp(x, -2.5f, 65504.0f))", func(x, _ float32) uint32 { return bitsOf(lesser(greater(x, -2.5), 65504)) }},
	{"bits(fract(x))", func(x, _ float32) uint32 {
		return bitsOf(lesser(x-float32(math.Floor(float64(x))), 0x1.fffffep-1))
	}},
	{"bits(copysign(x, y))", func(x, y float32) uint32 {
		if y != y {
			return 7
		}
		return bitsOf(float32(math.Copysign(float64(x), float64(y))))
	}},
	{"bits(fabs(x))", of64(math.Abs)}, {"bits(abs(h))", halves(func(x, _ float32) float32 { return float32(math.Abs(float64(x))) })},
	{"bits(floor(x))", of64(math.Floor)}, {"bits(ceil(x))", of64(math.Ceil)}, {"bits(trunc(x))", of64(math.Trunc)},
	{"bits(round(x))", of64(math.Round)}, {"bits(rint(x))", of64(math.RoundToEven)}, {"bits(sqrt(x))", of64(math.Sqrt)},
	{"bits(ldexp(x, 3))", of64(func(x float64) float64 { return x * 8 })},
	{"bits(exp2(x))", of64(math.Exp2)}, {"bits(exp(x * 0.5f))", of64(func(x float64) float64 { return math.Exp(x * 0.5) })},
	{"bits(fast::divide(x, y))", func(x, y float32) uint32 { return bitsOf(x / y) }},
	{"bits(precise::divide(x, y))", func(x, y float32) uint32 { return bitsOf(x / y) }},
	{"uint(bits(fast::pow(x, y)) == bits(pow(x, y))) + uint(bits(precise::pow(x, y)) == bits(pow(x, y)))", func(_, _ float32) uint32 { return 2 }},
	{"uint(as_type<ushort>(bfloat(x)))", func(x, _ float32) uint32 { return bf16Bits(x) }},
	{"bits(float(bfloat(x)))", func(x, _ float32) uint32 { return bitsOf(math.Float32frombits(bf16Bits(x) << 16)) }},
	{"bits(h)", halves(func(x, _ float32) float32 { return x })},
	{"bits(float4(half4(float4(x, y, x, y))).x) ^ bits(float4(half4(float4(y, x, y, x))).w)", func(_, _ float32) uint32 { return 0 }},
	{"bits(float4(half4(float4(y, y, x, y))).z)", halves(func(x, _ float32) float32 { return x })},
	{"bits(float3(half3(float3(y, y, x))).z)", halves(func(x, _ float32) float32 { return x })},
	{"bits(h + k)", halves(func(x, y float32) float32 { return x + y })}, {"bits(h - k)", halves(func(x, y float32) float32 { return x - y })},
	{"bits(h * k)", halves(func(x, y float32) float32 { return x * y })}, {"bits(h / k)", halves(func(x, y float32) float32 { return x / y })},
	{"bits(h - 3)", halves(func(x, _ float32) float32 { return x - 3 })}, {"bits(3 - h)", halves(func(x, _ float32) float32 { return 3 - x })},
	{"bits(h - 0.1f)", func(x, _ float32) uint32 { return bitsOf(f16(x) - 0.1) }}, {"bits(0.1f - h)", func(x, _ float32) uint32 { return bitsOf(0.1 - f16(x)) }},
	{"bits(+h)", halves(func(x, _ float32) float32 { return x })}, {"bits(-h)", halves(func(x, _ float32) float32 { return -x })},
	{"(h -= k, h /= 3, bits(h))", halves(func(x, y float32) float32 { return f16(x-y) / 3 })},
	{"(h += 1, h *= k, bits(h))", halves(func(x, y float32) float32 { return f16(x+1) * y })},
	{"bits(++h) ^ bits(h)", func(_, _ float32) uint32 { return 0 }}, {"(--h, bits(h))", halves(func(x, _ float32) float32 { return x - 1 })},
	{"compare(h, k)", func(x, y float32) uint32 { return comparisons(f16(x), f16(y)) }},
	{"compare(h, y)", func(x, y float32) uint32 { return comparisons(f16(x), y) }},
	{"compare(x, k)", func(x, y float32) uint32 { return comparisons(x, f16(y)) }},
	{"bits(1.5h + 2h)", func(_, _ float32) uint32 { return bitsOf(3.5) }},
	{"bits(mix(h, k, 0.25h))", halves(func(x, y float32) float32 { return x + f16(f16(y-x)*0.25) })},
	{"uint(all(float2(x, y) == float2(x, y))) + 2u * uint(any(float3(x, y, y) == float3(1.0f)))", func(x, y float32) uint32 {
		return yes(x == x && y == y) + 2*yes(x == 1 || y == 1)
	}},
}

const hardPrelude = `
inline uint bits(float f) { return f != f ? 0x7FC00000u : as_type<uint>(f); }
template <class A, class B> inline uint compare(A a, B b) {
	return uint(a < b) | uint(a > b) << 1 | uint(a <= b) << 2 | uint(a >= b) << 3 | uint(a == b) << 4 | uint(a != b) << 5;
}
`

// Functions of all pairs of hard numbers give exactly what they should.
func TestHardFloats(t *testing.T) {
	n := len(hardFloats)
	require.Equal(t, 32, n)
	body := "float x = of[tid % 32u], y = of[tid / 32u];\n"
	for i, f := range hard {
		body += fmt.Sprintf("{ half h = half(x), k = half(y); out[%d + tid] = %s; }\n", i*n*n, f.text)
	}
	r := load(t, Options{OneRun: true}, sketch{name: "hard", threads: 1024, prelude: hardPrelude, body: body, slots: []plan.Slot{slot(plan.Read, "float", "of"), slot(plan.Write, "uint", "out")}})
	out := r.alloc(4 * n * n * len(hard))
	require.NoError(t, r.run(launch(0, 1, bind(plan.Read, r.put(hardFloats)), bind(plan.Write, out))))
	got := get[uint32](t, out, n*n*len(hard))
	for i, f := range hard {
		for j := range n * n {
			x, y := hardFloats[j%n], hardFloats[j/n]
			if want := f.of(x, y); want != 7 {
				require.Equal(t, want, got[i*n*n+j], "%s for x = %g, y = %g", f.text, x, y)
			}
		}
	}
}

// Integer functions of a and b, numbers of other sizes than 32 bits.
var otherIntegers = []struct {
	text string // of a ulong
	of   func(a, b uint64) uint64
}{
	{"popcount(a)", func(a, _ uint64) uint64 { return uint64(bits.OnesCount64(a)) }},
	{"popcount(uchar(a)) + 100u * popcount(ushort(a)) + ulong(10000 * popcount(char(a)) + 1000000 * popcount(short(a)))", func(a, _ uint64) uint64 {
		return 10001*uint64(bits.OnesCount8(uint8(a))) + 1000100*uint64(bits.OnesCount16(uint16(a)))
	}},
	{"ulong(popcount(int(a)))", func(a, _ uint64) uint64 { return uint64(bits.OnesCount32(uint32(a))) }},
	{"clz(a)", func(a, _ uint64) uint64 { return uint64(bits.LeadingZeros64(a)) }},
	{"clz(uchar(a)) + 100u * clz(ushort(a)) + ulong(10000 * clz(int(a)))", func(a, _ uint64) uint64 {
		return uint64(bits.LeadingZeros8(uint8(a)) + 100*bits.LeadingZeros16(uint16(a)) + 10000*bits.LeadingZeros32(uint32(a)))
	}},
	{"ctz(a)", func(a, _ uint64) uint64 { return uint64(bits.TrailingZeros64(a)) }},
	{"ctz(uchar(a)) + 100u * ctz(ushort(a)) + ulong(10000 * ctz(int(a)))", func(a, _ uint64) uint64 {
		return uint64(bits.TrailingZeros8(uint8(a)) + 100*bits.TrailingZeros16(uint16(a)) + 10000*bits.TrailingZeros32(uint32(a)))
	}},
	{"rotate(a, b)", func(a, b uint64) uint64 { return bits.RotateLeft64(a, int(b%64)) }},
	{"ulong(rotate(ushort(a), ushort(b))) + (ulong(ushort(rotate(short(a), short(b)))) << 16)", func(a, b uint64) uint64 {
		return uint64(bits.RotateLeft16(uint16(a), int(b%16))) * 0x10001
	}},
	{"ulong(extract_bits(uint(a), 3u, 0u) + extract_bits(uint(a), 0u, 32u) + extract_bits(uint(a), 31u, 1u))", func(a, _ uint64) uint64 {
		return uint64(uint32(a) + uint32(a)>>31)
	}},
	{"ulong(abs(long(a))) ^ ulong(abs(short(b)))", func(a, b uint64) uint64 {
		x, y := int64(a), int64(int16(b))
		if x < 0 {
			x = -x
		}
		if y < 0 {
			y = int64(int16(-y))
		}
		return uint64(x) ^ uint64(y)
	}},
	{"abs(a)", func(a, _ uint64) uint64 { return a }},
	{"ulong(absdiff(int(a), int(b))) & 0xFFFFFFFFul", func(a, b uint64) uint64 { return uint64(uint32(max(int32(a), int32(b)) - min(int32(a), int32(b)))) }},
	{"clamp(a, 7ul, 1ul << 40)", func(a, _ uint64) uint64 { return min(max(a, 7), 1<<40) }},
	{"ulong(compare(half(int(a) % 2048), int(b) % 2048))", func(a, b uint64) uint64 { return uint64(comparisons(float32(int32(a)%2048), float32(int32(b)%2048))) }},
	{"ulong(compare(int(a) % 2048, half(int(b) % 2048)))", func(a, b uint64) uint64 { return uint64(comparisons(float32(int32(a)%2048), float32(int32(b)%2048))) }},
	{"ulong(as_type<ushort>(half(int(b) % 4096)))", func(_, b uint64) uint64 { return uint64(dtype.F32ToF16(float32(int32(b) % 4096))) }},
}

func TestOtherIntegers(t *testing.T) {
	body := "ulong a = of[2 * tid], b = of[2 * tid + 1];\n"
	for i, f := range otherIntegers {
		body += fmt.Sprintf("out[%d + tid] = %s;\n", i*64, f.text)
	}
	r := load(t, Options{OneRun: true}, sketch{name: "other", threads: 64, prelude: hardPrelude, body: body, slots: []plan.Slot{slot(plan.Read, "ulong", "of"), slot(plan.Write, "ulong", "out")}})
	in := []uint64{0, 0, 1, 64, math.MaxUint64, 63, 1 << 63, 31, 1 << 31, 32, 0xFF, 8, 0xFFFF, 16, 5, 5}
	for s := uint64(1); len(in) < 128; {
		s ^= s << 13
		s ^= s >> 7
		s ^= s << 17
		in = append(in, s>>(s%61))
	}
	out := r.alloc(8 * 64 * len(otherIntegers))
	require.NoError(t, r.run(launch(0, 1, bind(plan.Read, r.put(in)), bind(plan.Write, out))))
	got := get[uint64](t, out, 64*len(otherIntegers))
	for i, f := range otherIntegers {
		for j := range 64 {
			a, b := in[2*j], in[2*j+1]
			require.Equal(t, f.of(a, b), got[i*64+j], "%s for a = %#x, b = %#x", f.text, a, b)
		}
	}
}
