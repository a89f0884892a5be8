package cpu

import (
	"fmt"
	"math"
	"math/bits"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir/dtype"
	"foundry/lower/plan"
	"foundry/runtime/msl"
)

// points is a range that functions are asked on, n values from low to high.
type points struct {
	low, high float64
	log       bool // spread by exponent
}

const perRange = 1024

func (p points) values() []float32 {
	v := make([]float32, perRange)
	for i := range v {
		t := float64(i) / (perRange - 1)
		if p.log {
			v[i] = float32(p.low * math.Pow(p.high/p.low, t))
		} else {
			v[i] = float32(p.low + (p.high-p.low)*t)
		}
	}
	return v
}

// ulps is how many floats lie between a and the float nearest to want.
func ulps(a float32, want float64) float64 {
	w := float32(want)
	if a == w || a != a && w != w {
		return 0
	}
	if a != a || w != w {
		return math.Inf(1)
	}
	order := func(f float32) int64 {
		b := int64(math.Float32bits(f))
		if b >= 1<<31 {
			return 1<<31 - b
		}
		return b
	}
	return math.Abs(float64(order(a) - order(w)))
}

// unary functions of float: the text, what it is, the worst error in ULP.
var unary = []struct {
	text string
	of   func(float64) float64
	on   points
	ulp  float64
}{
	{"exp(v)", math.Exp, points{-110, 95, false}, 1},
	{"exp(v)", math.Exp, points{-1, 1, false}, 1},
	{"exp2(v)", math.Exp2, points{-155, 130, false}, 1},
	{"exp10(v)", func(x float64) float64 { return math.Pow(10, x) }, points{-30, 30, false}, 2},
	{"fast::exp(v)", math.Exp, points{-20, 20, false}, 1},
	{"precise::exp(v)", math.Exp, points{-20, 20, false}, 1},
	{"log(v)", math.Log, points{1e-38, 1e38, true}, 2},
	{"log2(v)", math.Log2, points{1e-38, 1e38, true}, 2},
	{"log10(v)", math.Log10, points{1e-38, 1e38, true}, 3},
	{"sqrt(v)", math.Sqrt, points{1e-38, 1e38, true}, 0},
	{"rsqrt(v)", func(x float64) float64 { return 1 / math.Sqrt(x) }, points{1e-38, 1e38, true}, 2},
	{"sin(v)", math.Sin, points{-100, 100, false}, 2},
	{"cos(v)", math.Cos, points{-32768, 32768, false}, 2},
	{"tan(v)", math.Tan, points{-1.5, 1.5, false}, 4},
	{"asin(v)", math.Asin, points{-1, 1, false}, 4},
	{"acos(v)", math.Acos, points{-1, 1, false}, 4},
	{"atan(v)", math.Atan, points{-100, 100, false}, 4},
	{"sinh(v)", math.Sinh, points{-20, 20, false}, 4},
	{"cosh(v)", math.Cosh, points{-20, 20, false}, 4},
	{"tanh(v)", math.Tanh, points{-10, 10, false}, 4},
	{"floor(v)", math.Floor, points{-9, 9, false}, 0},
	{"ceil(v)", math.Ceil, points{-9, 9, false}, 0},
	{"trunc(v)", math.Trunc, points{-9, 9, false}, 0},
	{"round(v)", math.Round, points{-8, 8, false}, 0},
	{"rint(v)", math.RoundToEven, points{-8, 8, false}, 0},
	{"fabs(v)", math.Abs, points{-8, 8, false}, 0},
	{"abs(v)", math.Abs, points{-8, 8, false}, 0},
	{"sign(v)", func(x float64) float64 { return math.Copysign(1, x) }, points{-8, 8, false}, 0},
	{"sign(v * 0.0) + sign(v * NAN)", func(float64) float64 { return 0 }, points{-8, 8, false}, 0},
	{"step(0.5, v * 0.0 + 0.5)", func(float64) float64 { return 1 }, points{-8, 8, false}, 0},
	{"saturate(v)", func(x float64) float64 { return min(max(x, 0), 1) }, points{-2, 2, false}, 0},
	{"fract(v)", func(x float64) float64 { return x - math.Floor(x) }, points{-8, 8, false}, 1},
	{"isnan(v) || isinf(v) || !isfinite(v) ? 1.0 : 0.0", func(float64) float64 { return 0 }, points{-1e38, 1e38, false}, 0},
	{"isnan(v / 0.0 * 0.0) && isinf(1.0 / (v * 0.0)) ? 1.0 : 0.0", func(float64) float64 { return 1 }, points{1, 2, false}, 0},
	{"pow(abs(v), 1.5)", func(x float64) float64 { return math.Pow(math.Abs(x), 1.5) }, points{1e-3, 1e3, true}, 2},
	{"powr(v, 0.25)", func(x float64) float64 { return math.Pow(x, 0.25) }, points{1e-3, 1e3, true}, 2},
	{"fmod(v, 0.75)", func(x float64) float64 { return math.Mod(x, 0.75) }, points{-8, 8, false}, 0},
	{"atan2(v, 2.0)", func(x float64) float64 { return math.Atan2(x, 2) }, points{-8, 8, false}, 4},
	{"fmin(v, 1.0) + fmax(v, 2.0)", func(x float64) float64 { return min(x, 1) + max(x, 2) }, points{-8, 8, false}, 1},
	{"min(v, NAN) - max(NAN, v)", func(x float64) float64 { return 0 }, points{-8, 8, false}, 0},
	{"clamp(v, -1.0, 3.0)", func(x float64) float64 { return min(max(x, -1), 3) }, points{-8, 8, false}, 0},
	{"copysign(2.0, v)", func(x float64) float64 { return math.Copysign(2, x) }, points{-8, 8, false}, 0},
	{"ldexp(v, -3)", func(x float64) float64 { return math.Ldexp(x, -3) }, points{-8, 8, false}, 0},
	{"step(0.5, v)", func(x float64) float64 {
		if x < 0.5 {
			return 0
		}
		return 1
	}, points{-1, 1, false}, 0},
	{"mix(1.0, 3.0, v)", func(x float64) float64 { return 1 + 2*x }, points{0, 1, false}, 1},
	{"smoothstep(0.0, 1.0, v)", func(x float64) float64 { return x * x * (3 - 2*x) }, points{0, 1, false}, 4},
	{"fma(v, v, -1.0)", func(x float64) float64 { return x*x - 1 }, points{1.5, 100, false}, 0},
	{"v * v - 1.0", func(x float64) float64 { return float64(float32(x*x)) - 1 }, points{1.5, 100, false}, 0},
	{"float(half(v))", func(x float64) float64 { return float64(dtype.F16ToF32(dtype.F32ToF16(float32(x)))) }, points{1e-9, 1e5, true}, 0},
	{"float(bfloat(v))", func(x float64) float64 { return float64(dtype.BF16ToF32(dtype.F32ToBF16(float32(x)))) }, points{1e-38, 1e38, true}, 0},
	// Every second number lies half way between two.
	{"float(bfloat(1.0 + rint(v) / 256.0))", func(x float64) float64 {
		return float64(dtype.BF16ToF32(dtype.F32ToBF16(float32(1 + math.RoundToEven(x)/256))))
	}, points{0, 1023, false}, 0},
	{"float(half(1.0 + rint(v) / 2048.0))", func(x float64) float64 { return float64(f16(float32(1 + math.RoundToEven(x)/2048))) }, points{0, 1023, false}, 0},
	{"float(half(v) * half(3.0h) + 1)", halfOps(func(x float32) float32 { return f16(f16(x*3) + 1) }), points{-100, 100, false}, 0},
	{"float(half(v) / half(3))", halfOps(func(x float32) float32 { return f16(x / 3) }), points{-100, 100, false}, 0},
	{"float(exp(half(v)))", halfOps(func(x float32) float32 { return f16(float32(math.Exp(float64(x)))) }), points{-9, 9, false}, 0},
	{"half h = half(v); --h; float r = float(h); r", halfOps(func(x float32) float32 { return f16(x - 1) }), points{-100, 100, false}, 0},
	{"half h = half(v); ++h; float r = float(h); r", halfOps(func(x float32) float32 { return f16(x + 1) }), points{-100, 100, false}, 0},
	{"float4 c = float4(v, 1.0, 2.0, 3.0); float r = c.r + c.g + c.b + c.a; r", func(x float64) float64 { return float64(float32(x) + 1 + 2 + 3) }, points{-100, 100, false}, 0},
	{"half(v) + 0.1", halfOps(func(x float32) float32 { return x + float32(0.1) }), points{-100, 100, false}, 0},
	{"half h = v; h += 0.1; h *= half(2); float r = h; r", halfOps(func(x float32) float32 { return f16(f16(x+f16(0.1)) * 2) }), points{-100, 100, false}, 0},
}

func f16(x float32) float32 { return dtype.F16ToF32(dtype.F32ToF16(x)) }

func halfOps(f func(float32) float32) func(float64) float64 {
	return func(x float64) float64 { return float64(f(f16(float32(x)))) }
}

func TestFloatFunctions(t *testing.T) {
	var body strings.Builder
	var in []float32
	for i, u := range unary {
		statements, result := "", u.text
		if at := strings.LastIndex(u.text, ";"); at >= 0 {
			statements, result = u.text[:at+1], u.text[at+1:]
		}
		fmt.Fprintf(&body, "for (uint i = tid; i < %d; i += 256) { float v = x[%d + i]; %s y[%d + i] = %s; }\n", perRange, i*perRange, statements, i*perRange, result)
		in = append(in, u.on.values()...)
	}
	r := load(t, Options{}, sketch{name: "floats", threads: 256, body: body.String(),
		slots: []plan.Slot{slot(plan.Read, "float", "x"), slot(plan.Write, "float", "y")}})
	y := r.alloc(4 * len(in))
	require.NoError(t, r.run(launch(0, 1, bind(plan.Read, r.put(in)), bind(plan.Write, y))))
	out := get[float32](t, y, len(in))
	for i, u := range unary {
		worst, at := 0.0, float32(0)
		for j := range perRange {
			v := in[i*perRange+j]
			if e := ulps(out[i*perRange+j], u.of(float64(v))); e > worst {
				worst, at = e, v
			}
		}
		require.LessOrEqual(t, worst, u.ulp, "%s at v = %g", u.text, at)
	}
}

// TestFastExp2 holds fast::exp2 to what Metal promises of it, 3 + floor(|2x|) units in the
// last place, and asks that it is off by more than half of that somewhere in each eighth of
// the range, so that kernels which pass here rest on no more. What is subnormal is 0.
func TestFastExp2(t *testing.T) {
	const n = 1 << 16
	x := make([]float32, n)
	for i := range x {
		x[i] = -126 * float32(i) / n
	}
	x = append(x, float32(math.Inf(-1)), -3e38, -127, float32(math.NaN()))
	r := load(t, Options{}, sketch{name: "powers", threads: 256, body: fmt.Sprintf("for (uint i = tid; i < %d; i += 256) y[i] = fast::exp2(x[i]);", len(x)),
		slots: []plan.Slot{slot(plan.Read, "float", "x"), slot(plan.Write, "float", "y")}})
	y := r.alloc(4 * len(x))
	require.NoError(t, r.run(launch(0, 1, bind(plan.Read, r.put(x)), bind(plan.Write, y))))
	out := get[float32](t, y, len(x))
	var worst [8]float64
	for i, v := range x[:n] {
		want := math.Exp2(float64(v))
		unit := math.Exp2(math.Floor(math.Log2(want)) - 23)
		off := math.Abs(float64(out[i])-want) / unit / (3 + math.Floor(math.Abs(2*float64(v))))
		require.LessOrEqual(t, off, 1.0, "at %g", v)
		worst[i*8/n] = max(worst[i*8/n], off)
	}
	for _, w := range worst {
		require.Greater(t, w, 0.5)
	}
	require.Equal(t, []float32{0, 0, 0}, out[n:n+3])
	require.True(t, math.IsNaN(float64(out[n+3])))
}

// Integer functions of a and b, 32 bits.
var integers = []struct {
	text string
	of   func(a, b uint32) uint32
}{
	{"popcount(a)", func(a, _ uint32) uint32 { return uint32(bits.OnesCount32(a)) }},
	{"clz(a)", func(a, _ uint32) uint32 { return uint32(bits.LeadingZeros32(a)) }},
	{"ctz(a)", func(a, _ uint32) uint32 { return uint32(bits.TrailingZeros32(a)) }},
	{"uint(popcount(ushort(a)))", func(a, _ uint32) uint32 { return uint32(bits.OnesCount16(uint16(a))) }},
	{"uint(clz(uchar(a)))", func(a, _ uint32) uint32 { return uint32(bits.LeadingZeros8(uint8(a))) }},
	{"uint(ctz(ushort(a)))", func(a, _ uint32) uint32 { return uint32(bits.TrailingZeros16(uint16(a))) }},
	{"mulhi(a, b)", func(a, b uint32) uint32 { return uint32(uint64(a) * uint64(b) >> 32) }},
	{"uint(mulhi(int(a), int(b)))", func(a, b uint32) uint32 { return uint32(int64(int32(a)) * int64(int32(b)) >> 32) }},
	{"rotate(a, b)", func(a, b uint32) uint32 { return bits.RotateLeft32(a, int(b%32)) }},
	{"uint(rotate(uchar(a), uchar(b)))", func(a, b uint32) uint32 { return uint32(bits.RotateLeft8(uint8(a), int(b%8))) }},
	{"absdiff(a, b)", func(a, b uint32) uint32 { return max(a, b) - min(a, b) }},
	{"min(a, b) ^ max(a, b)", func(a, b uint32) uint32 { return a ^ b }},
	{"uint(min(int(a), int(b)))", func(a, b uint32) uint32 { return uint32(min(int32(a), int32(b))) }},
	{"clamp(a, 100u, 5000u)", func(a, _ uint32) uint32 { return min(max(a, 100), 5000) }},
	{"uint(abs(int(a)))", func(a, _ uint32) uint32 {
		if int32(a) < 0 {
			return -a
		}
		return a
	}},
	{"extract_bits(a, 5u, 7u)", func(a, _ uint32) uint32 { return a >> 5 & 127 }},
	{"as_type<uint>(as_type<float>(a & 0x7F7FFFFFu))", func(a, _ uint32) uint32 { return a & 0x7F7FFFFF }},
	{"as_type<uint>(as_type<uchar4>(a).wzyx)", func(a, _ uint32) uint32 { return bits.ReverseBytes32(a) }},
	{"uint(uint4(as_type<uchar4>(a)).z + as_type<ushort2>(b).y)", func(a, b uint32) uint32 { return a>>16&255 + b>>16 }},
	{"uint(char(a)) + uint(short(b))", func(a, b uint32) uint32 { return uint32(int8(a)) + uint32(int16(b)) }},
	{"uint(dot(int4(as_type<char4>(a)), int4(as_type<char4>(b))))", func(a, b uint32) uint32 {
		s := int32(0)
		for i := 0; i < 32; i += 8 {
			s += int32(int8(a>>i)) * int32(int8(b>>i))
		}
		return uint32(s)
	}},
	{"select(a, b, a > b)", func(a, b uint32) uint32 { return min(a, b) }},
	{"numeric_limits<uint>::max() - a + uint(numeric_limits<int>::lowest())", func(a, _ uint32) uint32 { return ^a + 1<<31 }},
	{"uint(ulong(a) * ulong(b) >> 7)", func(a, b uint32) uint32 { return uint32(uint64(a) * uint64(b) >> 7) }},
	{"(uint2(a, b) >> uint2(3, 5)).x + (uint2(a, b) << 1u).y + (~uint2(a, b)).x + (uint2(a, b) % 7u).y", func(a, b uint32) uint32 { return a>>3 + b<<1 + ^a + b%7 }},
}

func TestIntegerFunctions(t *testing.T) {
	var body strings.Builder
	for i, f := range integers {
		fmt.Fprintf(&body, "y[%d + tid] = %s;\n", i*64, f.text)
	}
	r := load(t, Options{}, sketch{name: "integers", threads: 64, body: "uint a = x[2 * tid], b = x[2 * tid + 1];\n" + body.String(),
		slots: []plan.Slot{slot(plan.Read, "uint", "x"), slot(plan.Write, "uint", "y")}})
	in := []uint32{0, 0, 1, 1, 0xFFFFFFFF, 0xFFFFFFFF, 0x80000000, 0x7FFFFFFF}
	for s := uint32(1); len(in) < 128; {
		s ^= s << 13
		s ^= s >> 17
		s ^= s << 5
		in = append(in, s>>(s%29))
	}
	y := r.alloc(4 * 64 * len(integers))
	require.NoError(t, r.run(launch(0, 1, bind(plan.Read, r.put(in)), bind(plan.Write, y))))
	out := get[uint32](t, y, 64*len(integers))
	for i, f := range integers {
		for j := range 64 {
			a, b := in[2*j], in[2*j+1]
			require.Equal(t, f.of(a, b), out[i*64+j], "%s for a = %#x, b = %#x", f.text, a, b)
		}
	}
}

// Vectors of a = (1, 2, 3, 4), b = (0.5, -1, 8, 0.25): four floats each.
var vectors = []struct {
	text string
	want [4]float32
}{
	{"a", [4]float32{1, 2, 3, 4}},
	{"a + b * 2", [4]float32{2, 0, 19, 4.5}},
	{"2 - a / b", [4]float32{0, 4, 1.625, -14}},
	{"-a", [4]float32{-1, -2, -3, -4}},
	{"float4(b.wzyx)", [4]float32{0.25, 8, -1, 0.5}},
	{"float4(a.xy, b.zw)", [4]float32{1, 2, 8, 0.25}},
	{"float4(a.x, b.yz, 9)", [4]float32{1, -1, 8, 9}},
	{"float4(a.xyz, 7)", [4]float32{1, 2, 3, 7}},
	{"float4(7, a.yzw)", [4]float32{7, 2, 3, 4}},
	{"float4(dot(a, b), dot(a.xy, b.zw), length(float2(3, 4)), distance(a, a))", [4]float32{23.5, 8.5, 5, 0}},
	{"max(a, b) - min(a, 2)", [4]float32{0, 0, 6, 2}},
	{"clamp(b, 0, 1)", [4]float32{0.5, 0, 1, 0.25}},
	{"fma(a, b, 1)", [4]float32{1.5, -1, 25, 2}},
	{"select(a, b, a < b)", [4]float32{1, 2, 8, 4}},
	{"mix(a, b, 0.5)", [4]float32{0.75, 0.5, 5.5, 2.125}},
	{"abs(b) + floor(b) + sign(b)", [4]float32{1.5, -1, 17, 1.25}},
	{"sqrt(a * a) + rsqrt(a * a)", [4]float32{2, 2.5, 3 + float32(1)/3, 4.25}},
	{"float4(any(a < b), all(a < b), all(a > 0), any(isnan(a)))", [4]float32{1, 0, 1, 0}},
	{"float4(cross(a.xyz, b.xyz), 0)", [4]float32{19, -6.5, -2, 0}},
	{"float4(half4(a)) + float4(half4(0.5))", [4]float32{1.5, 2.5, 3.5, 4.5}},
	{"float4(half4(a) * half4(b) + half(1))", [4]float32{1.5, -1, 25, 2}},
	{"float4(uchar4(a) + uchar4(250))", [4]float32{251, 252, 253, 254}},
	{"float4(char4(a) - char4(5))", [4]float32{-4, -3, -2, -1}},
	{"float4(uint4(a) & 1u)", [4]float32{1, 0, 1, 0}},
	{"float4(bool4(a == 2.0))", [4]float32{0, 1, 0, 0}},
	{"float4(numeric_limits<float>::max(), numeric_limits<float>::lowest(), numeric_limits<float>::min(), numeric_limits<float>::epsilon())", [4]float32{math.MaxFloat32, -math.MaxFloat32, 0x1p-126, 0x1p-23}},
	{"float4(half4(numeric_limits<half>::max(), numeric_limits<half>::lowest(), numeric_limits<half>::min(), numeric_limits<half>::epsilon()))", [4]float32{65504, -65504, 0x1p-14, 0x1p-10}},
	{"float4(float(numeric_limits<half>::infinity()), numeric_limits<float>::infinity(), isnan(numeric_limits<half>::quiet_NaN()), isnan(numeric_limits<float>::quiet_NaN()))", [4]float32{float32(math.Inf(1)), float32(math.Inf(1)), 1, 1}},
	{"float4(numeric_limits<char>::max(), numeric_limits<char>::min(), numeric_limits<uchar>::max(), numeric_limits<uchar>::lowest())", [4]float32{127, -128, 255, 0}},
	{"float4(numeric_limits<short>::max(), numeric_limits<short>::lowest(), numeric_limits<ushort>::max(), numeric_limits<ushort>::min())", [4]float32{32767, -32768, 65535, 0}},
	{"float4(numeric_limits<int>::max() == 2147483647, numeric_limits<int>::min() + 2147483647 == -1, numeric_limits<uint>::max() == ~0u, numeric_limits<uint>::min() == 0u)", [4]float32{1, 1, 1, 1}},
	{"float4(ulong(numeric_limits<long>::max()) == ~0ul >> 1, numeric_limits<long>::lowest() + numeric_limits<long>::max() == -1, numeric_limits<ulong>::max() == ~0ul, numeric_limits<ulong>::lowest() == 0ul)", [4]float32{1, 1, 1, 1}},
	{"float4(length_squared(float2(3, 4)), signbit(-a.x), signbit(a.x), signbit(-0.0f))", [4]float32{25, 1, 0, 1}},
	{"float4(isinf(half(a.x)), isinf(half(1e6f)), isnan(half(a.x)), isnan(half(NAN)))", [4]float32{0, 1, 0, 1}},
	{"float4(isfinite(half(a.x)), isfinite(half(-1e6f)), isfinite(-INFINITY), fract(half(-1.25f)))", [4]float32{1, 0, 0, 0.75}},
	{"float4(exp2(half(3)), exp10(half(2)), rsqrt(half(4)), exp(half(0)))", [4]float32{8, 100, 0.5, 1}},
	{"float4(fmin(half(1), half(2)), fmax(half(1), half(2)), fma(half(2), half(3), half(4)), sqrt(half(9)))", [4]float32{1, 2, 10, 3}},
	{"float4(sign(half(-3)), mix(half(1), half(3), half(0.25f)), step(half(2), half(1)), step(half(1), half(1)))", [4]float32{-1, 1.5, 0, 1}},
	{"float4(saturate(half(2)), smoothstep(half(0), half(2), half(1)), abs(half(-3)), pow(half(3), half(2)))", [4]float32{1, 0.5, 3, 9}},
	{"float4(packed_float3(a.xyz)[1], packed_half4(half4(b))[2], float3(packed_float3(b.yzw)).z, sizeof(packed_float3))", [4]float32{2, 8, 0.25, 12}},
	{"float4(sizeof(float3), sizeof(half3), sizeof(half4), alignof(float4))", [4]float32{16, 8, 8, 16}},
	{"float4(as_type<half2>(as_type<uint>(half2(a.xy))), 0, 0)", [4]float32{1, 2, 0, 0}},
	{"float4 c = a; c.xy = b.zw; c.zw *= 2; c.w += 1; c", [4]float32{8, 0.25, 6, 9}},
	{"float4 c = a; c.wx = c.xw; c.y -= 3; c[2] = 5; c", [4]float32{4, -1, 5, 1}},
	{"float4 c = a; c /= 2; c += b; c -= 1; c", [4]float32{0, -1, 8.5, 1.25}},
	{"float4 c = {}; c", [4]float32{}},
	{"float4 c = 3; c.x = a.w; c", [4]float32{4, 3, 3, 3}},
	{"float4 c = a.xxyy; c", [4]float32{1, 1, 2, 2}},
	{"float4 c[2] = {a, b}; c[1].zyxw", [4]float32{8, -1, 0.5, 0.25}},
	{"float2 c = float2(a.y, b.x); c.yx = c; float4(c, c.yx)", [4]float32{0.5, 2, 2, 0.5}},
	{"float3 c = a.zyx; c = c.zxy; float4(c, c.r + c.g + c.b)", [4]float32{1, 3, 2, 6}},
	{"exp(float4(0)) + fast::exp(a.xyzw * 0) + precise::sqrt(a * a) + float4(normalize(float3(0, 3, 0)), 0)", [4]float32{3, 5, 5, 6}},
	{"constant_table[1]", [4]float32{5, 6, 7, 8}},
}

func TestVectors(t *testing.T) {
	var body strings.Builder
	body.WriteString("float4 a = x[0], b = x[1];\n")
	for i, v := range vectors {
		at := strings.LastIndex(v.text, ";")
		fmt.Fprintf(&body, "{ %s y[%d] = %s; }\n", v.text[:at+1], i, v.text[at+1:])
	}
	r := load(t, Options{}, sketch{name: "vectors", threads: 1, body: body.String(),
		prelude: "constant float4 constant_table[2] = {float4(1, 2, 3, 4), float4(5, 6, 7, 8)};",
		slots:   []plan.Slot{slot(plan.Read, "float4", "x"), slot(plan.Write, "float4", "y")}})
	y := r.alloc(16 * len(vectors))
	x := r.put([]float32{1, 2, 3, 4, 0.5, -1, 8, 0.25})
	require.NoError(t, r.run(launch(0, 1, bind(plan.Read, x), bind(plan.Write, y))))
	out := get[[4]float32](t, y, len(vectors))
	for i, v := range vectors {
		require.Equal(t, v.want, out[i], v.text)
	}
}

// refused is what the language refuses: the header refuses it too, and what Apple's matrix
// units or their file would not take. Each is an instance of its own.
var refused = []string{
	"float4 v = float4(1.0f, 2.0f);",
	"float4 v = float4(1.0f, 2.0f, 3.0f, 4.0f, 5.0f);",
	"float4 v = float4(float2(1.0f), 2.0f);",
	"float4 v = float4(float4(1.0f), 2.0f);",
	"float4 v = half4(1.0h);",
	"float3 v = float4(1.0f).xy;",
	"uint v = max(1u, 2);",
	"float v = clamp(1.0f, 0, 1);",
	"auto v = max(half(1.0f), 2.0f);",
	"y[0] = std::sqrt(2.0f);",
	"y[0] = float4(1.0f) + float3(1.0f);",
	"x[0] = 1.0f;",
	"y[0] = as_type<float>(1ul);",
	"y[0] = as_type<float>(ushort(1));",
	"atomic<ulong> v;",
	"atomic<ushort> v;",
	"simdgroup_matrix<float, 8, 4> m;",
	"simdgroup_matrix<float, 4, 8> m;",
	"y[0] = simd_shuffle(float4(1.0f), ushort(1)).x + foundry_arrive(float4(1.0f), 1u, [](float4*, foundry_simdgroup*) {}, file, 1)->x;",
	"y[0] = float(matrix_at<8u>(1u, 2u));",
	"y[0] = float(matrix_at<48u>(1u, 2u));",
	product{m: 8}.text(), product{n: 24}.text(), product{k: 40}.text(), product{k: 0, noK: true}.text(),
	product{flags: "true, true, false, matmul2d_descriptor::mode::multiply_accumulate"}.text(),
	product{flags: "false, true, false, matmul2d_descriptor::mode::multiply"}.text(),
	product{left: "32, 16"}.text(), product{left: "16, 48"}.text(), product{right: "48, 16"}.text(), product{right: "32, 32"}.text(),
	product{flags: "false, false, false, matmul2d_descriptor::mode::multiply_accumulate", right: "16, 48"}.text(),
}

// product is a call of matmul2d on 48 by 16 and 48 by 32 elements, but for what is given.
type product struct {
	m, n, k     int
	noK         bool
	flags       string
	left, right string
}

func (p product) text() string {
	or := func(a, b int) int {
		if a == 0 {
			return b
		}
		return a
	}
	m, n, k := or(p.m, 16), or(p.n, 32), or(p.k, 48)
	if p.noK {
		k = 0
	}
	sized := func(given string, rows int) string {
		if given != "" {
			return given
		}
		return fmt.Sprintf("%d, %d", k, rows)
	}
	if p.flags == "" {
		p.flags = "false, true, false, matmul2d_descriptor::mode::multiply_accumulate"
	}
	return fmt.Sprintf("using namespace mpp::tensor_ops; typedef tensor<half, extents<int, %s>, tensor_inline> L; typedef tensor<half, extents<int, %s>, tensor_inline> R; "+
		"half h[1]; L l(h, extents<int, %[1]s>()); R r(h, extents<int, %[2]s>()); matmul2d<matmul2d_descriptor(%[3]d, %[4]d, %[5]d, %[6]s), execution_simdgroups<2>> p; "+
		"auto s = p.get_destination_cooperative_tensor<L, R, float>(); p.run(l, r, s);", sized(p.left, m), sized(p.right, n), m, n, k, p.flags)
}

func TestRefused(t *testing.T) {
	d := open(t, Options{})
	all, symbols := []*plan.Kernel{}, []string{}
	add := func(text string) *plan.Kernel {
		name := fmt.Sprintf("refused_%d_", len(all))
		k := sketch{name: name, threads: 64, body: text, slots: []plan.Slot{slot(plan.Read, "float", "x"), slot(plan.Write, "float", "y")}}.kernel()
		all, symbols = append(all, &k), append(symbols, name)
		return &k
	}
	for _, text := range refused {
		add(text)
	}
	last := add(product{}.text() + " y[0] = float(matrix_at<16u>(1u, 2u));") // which is right
	text, err := msl.CPU(all, symbols, d.textOptions())
	require.NoError(t, err)
	var said *compileError
	require.ErrorAs(t, d.cc.compile(t.Context(), t.TempDir(), text, "/dev/null", append(d.kernelFlags(), "-fsyntax-only")), &said)
	for i, k := range all[:len(refused)] {
		require.Contains(t, string(said.Stderr), k.File+":3:", refused[i])
	}
	require.NotContains(t, string(said.Stderr), last.File+":3:")
	_, err = d.Load(t.Context(), &plan.Plan{Kernels: []plan.Kernel{*all[0]}}, nil)
	require.ErrorContains(t, err, "kernel "+all[0].Name+" does not compile: "+all[0].File+":3:")
}
