package cpu

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/lower/plan"
)

// values are what sizes and constants are, and what is written where: nothing but what
// should be.
var values = []struct {
	text string // statements, then a ulong
	want uint64
}{
	{"sizeof(int8_t) + 10 * sizeof(uint8_t) + 100 * sizeof(int16_t) + 1000 * sizeof(uint16_t)", 2211},
	{"sizeof(int32_t) + 10 * sizeof(uint32_t) + 100 * sizeof(int64_t) + 1000 * sizeof(uint64_t)", 8844},
	{"sizeof(size_t) + 10 * sizeof(ptrdiff_t) + 100 * sizeof(atomic_int) + 1000 * sizeof(atomic_uint) + 10000 * sizeof(atomic_float)", 44488},
	{"sizeof(float2) + 100 * sizeof(float3) + 10000 * sizeof(float4)", 161608},
	{"alignof(float2) + 100 * alignof(float3) + 10000 * alignof(float4)", 161608},
	{"alignof(half2) + 100 * alignof(half3) + 10000 * alignof(half4)", 80804},
	{"sizeof(packed_float2) + 100 * sizeof(packed_float3) + 10000 * sizeof(packed_float4)", 161208},
	{"sizeof(bfloat2) + 100 * sizeof(bfloat4) + 10000 * float2::Size + 100000 * float3::Size + 1000000 * float4::Size", 4320804},
	{"is_integer_v<long long> + is_integer_v<unsigned long long> + is_integer_v<bool> + is_integer_v<signed char> + is_integer_v<char>", 5},
	{"is_integer_v<float> + is_native_v<half> + is_native_v<bfloat> + is_scalar_v<float2> + is_same_v<uint, int>", 0},
	{"is_native_v<float> + is_native_v<long> + is_scalar_v<half> + is_scalar_v<bfloat> + is_same_v<uint, uint>", 5},
	{"foundry_width<float>::value + 10 * foundry_width<float3>::value + 100 * foundry_width<packed_half2>::value + 1000 * foundry_width<decltype(float4().wz)>::value", 2231},
	{"foundry_width<float>::vector + 10 * foundry_width<float3>::vector + 100 * foundry_width<packed_half2>::vector + 1000 * foundry_width<decltype(float4().wz)>::vector", 1110},
	{"uint(mem_flags::mem_none) + 10 * uint(mem_flags::mem_device) + 100 * uint(mem_flags::mem_threadgroup) + 1000 * uint(mem_flags::mem_texture)", 4210},
	{"uint(mem_flags::mem_device | mem_flags::mem_texture) + 10 * uint(memory_order_relaxed)", 5},
	{"ulong(int(numeric_limits<int8_t>::max()) - numeric_limits<int8_t>::min()) + 1000 * ulong(numeric_limits<int8_t>::max())", 127255},
	{"ulong(int(numeric_limits<char>::max()) - numeric_limits<char>::lowest()) + 1000 * ulong(numeric_limits<short>::max() - numeric_limits<short>::min())", 65535255},
	{"FOUNDRY_READ + 10 * FOUNDRY_WRITE + 100 * FOUNDRY_FORWARD + 1000 * FOUNDRY_REVERSED + 10000 * FOUNDRY_RANDOM", 21021},
	{"sizeof(foundry_fiber) + 1000 * alignof(foundry_slot)", 64064},
	{"sizeof(foundry_group::fiber) / sizeof(foundry_fiber) + 10000 * (sizeof(foundry_group::simd) / sizeof(foundry_simdgroup))", 321024},
	{"sizeof(foundry_group::buffer) / 8 + 100 * (sizeof(foundry_group::array) / 8) + 10000 * (sizeof(foundry_simdgroup::slot) / sizeof(foundry_slot))", 23131},
	{"sizeof(foundry_slot::lane) + 1000 * sizeof(foundry_slot::result) + 100000 * FOUNDRY_LANES_MAX", 3208256},
	{"sizeof(foundry_group::position) + 100 * sizeof(foundry_group::grid) + 10000 * sizeof(foundry_group::size)", 121212},
	{"sizeof(foundry_launch::grid) + 100 * sizeof(foundry_error::group) + 10000 * sizeof(foundry_kernel::threads)", 121212},
	{"sizeof(foundry_operand) + 100 * sizeof(foundry_launch) + 10000 * sizeof(foundry_options) + 1000000 * sizeof(foundry_error)", 1024404824},
	{"sizeof(decltype(&foundry_open)) + 10 * sizeof(decltype(&foundry_close)) + 100 * sizeof(decltype(&foundry_run))", 888},
	{"sizeof(foundry_stack_bytes)", privateBytes},
	{"packed_float2 p(float2(1.0f, 2.0f)); float2 q = p; ulong(p[0] + 10.0f * p[1] + 100.0f * q.r + 1000.0f * q.g)", 2121},
	{"packed_float3 p(float3(1.0f, 2.0f, 3.0f)); p[0] = 4.0f; const packed_float3 q = p; ulong(q[0] + 10.0f * q[1] + 100.0f * q[2])", 324},
	{"int2 c = int2(7, 9); c.yx -= int2(1, 2); c.yx /= int2(2, 5); c.xy += c.yx; c.xy *= c.xy; ulong(c.x + 1000 * c.y)", 25025},
	{"int4 c = int4(1, 2, 3, 4); c.wy = c.yw; c.zx = int2(8, 9); ulong(c.x + 10 * c.y + 100 * c.z + 1000 * c.w)", 2849},
	{"int4 c = int4(12, 10, 3, 5); c ^= 5; c |= 16; c &= 27; c <<= 1; c >>= int4(0, 1, 2, 3); c %= 50; ulong(c.x + 100 * c.y + 10000 * c.z + 1000000 * c.w)", 4092700},
	{"int3 c = int3(1, 2, 3); ulong(dot(c, c) + 100 * dot(c.xy, c.yz) + 10000 * (c.z << c.x))", 60814},
	{"ulong(length_squared(float3(1.0f, 2.0f, 2.0f)) + 100.0f * length(float3(1.0f, 2.0f, 2.0f)) + 1000.0f * distance(float2(4.0f, 5.0f), float2(1.0f, 1.0f)))", 5309},
	{"float2 n = normalize(float2(3.0f, 4.0f)); ulong(rint(n.x * 10.0f) + 100.0f * rint(n.y * 10.0f))", 806},
	{"ulong(signbit(dot(float2(-0.0f, -0.0f), float2(1.0f, 1.0f))))", 1},
	{"bool3 a = bool3(true, true, false); ulong(all(a) + 10 * any(a) + 100 * any(!a) + 1000 * all(a || !a) + 10000 * any(a && !a) + 100000 * all(a.xy))", 101110},
	{"ulong(all(bool2(false, true)) + 10 * all(bool2(true, false)) + 100 * any(bool2(true, false)) + 1000 * any(bool2(false, true)) + 10000 * any(bool2(false, false)))", 1100},
	// What comes behind a vector stays.
	{"int t[4] = {9, 9, 9, 9}; half h[4] = {1, 2, 3, 4}; foundry_convert<int, half, 2>::run(t, h); ulong(t[0] + 10 * t[1] + 100 * t[2] + 1000 * t[3])", 9921},
	{"int t[4] = {9, 9, 9, 9}; half h[4] = {1, 2, 3, 4}; foundry_convert<int, half, 3>::run(t, h); ulong(t[0] + 10 * t[1] + 100 * t[2] + 1000 * t[3])", 9321},
	{"float t[6] = {9, 9, 9, 9, 9, 9}; half h[4] = {1, 2, 3, 4}; foundry_convert<float, half, 3>::run(t, h); ulong(t[0] + 10 * t[1] + 100 * t[2] + 1000 * t[3])", 9321},
	{"float t[6] = {9, 9, 9, 9, 9, 9}; half h[4] = {1, 2, 3, 4}; foundry_convert<float, half, 4>::run(t, h); ulong(t[0] + 10 * t[3] + 100 * t[4] + 1000 * t[5])", 9941},
	{"half t[6] = {9, 9, 9, 9, 9, 9}; float h[4] = {1, 2, 3, 4}; foundry_convert<half, float, 3>::run(t, h); ulong(int(t[0]) + 10 * int(t[1]) + 100 * int(t[2]) + 1000 * int(t[3]))", 9321},
	{"half t[6] = {9, 9, 9, 9, 9, 9}; float h[4] = {1, 2, 3, 4}; foundry_convert<half, float, 4>::run(t, h); ulong(int(t[0]) + 10 * int(t[3]) + 100 * int(t[4]) + 1000 * int(t[5]))", 9941},
	{"int2 t[2] = {int2(9, 9), int2(9, 9)}; t[0] = t[0] - int2(of[0], of[1]); ulong(t[0].x + 10 * t[0].y + 100 * t[1].x + 1000 * t[1].y)", 9987},
	{"packed_int2 t[2]; t[1] = int2(9, 8); t[0] = packed_int2(int2(of[0], of[1])); ulong(t[0][0] + 10 * t[0][1] + 100 * t[1][0] + 1000 * t[1][1])", 8912},
	{"packed_int3 t[2]; t[1] = int3(9, 8, 7); t[0] = packed_int3(int3(of[0], of[1], 3)); ulong(t[0][0] + 10 * t[0][1] + 100 * t[0][2] + 1000 * t[1][0])", 9312},
}

// privateBytes are what a thread's private memory is said to have.
const privateBytes = 64 << 10

// Sizes, constants and names of the header, and that nothing is written behind a vector.
func TestNames(t *testing.T) {
	var body strings.Builder
	for i, v := range values {
		at := strings.LastIndex(v.text, ";")
		fmt.Fprintf(&body, "{ %s out[%d] = %s; }\n", v.text[:at+1], i, v.text[at+1:])
	}
	r := load(t, Options{OneRun: true}, sketch{name: "names", threads: 1, body: body.String(), prelude: "typedef char foundry_stack_bytes[FOUNDRY_STACK];",
		slots: []plan.Slot{slot(plan.Read, "int", "of"), slot(plan.Write, "ulong", "out")}})
	out := r.alloc(8 * len(values))
	require.NoError(t, r.run(launch(0, 1, bind(plan.Read, r.put([]int32{2, 1})), bind(plan.Write, out))))
	got := get[uint64](t, out, len(values))
	for i, v := range values {
		require.Equal(t, v.want, got[i], v.text)
	}
}

// Atomic operations give what stood there before.
func TestAtomicsGiveTheFormer(t *testing.T) {
	r := load(t, Options{OneRun: true}, sketch{name: "former", threads: 1,
		slots: []plan.Slot{slot(plan.ReadWrite, "atomic_uint", "a"), slot(plan.ReadWrite, "atomic_int", "i"), slot(plan.ReadWrite, "atomic_float", "f"), slot(plan.Write, "int", "y")},
		body: `y[0] = int(atomic_fetch_add_explicit(&a[0], 3u, memory_order_relaxed));
			y[1] = int(atomic_fetch_or_explicit(&a[0], 3u, memory_order_relaxed));
			y[2] = int(atomic_exchange_explicit(&a[0], 77u, memory_order_relaxed));
			y[3] = int(atomic_fetch_and_explicit(&a[0], 69u, memory_order_relaxed));
			y[4] = int(atomic_load_explicit(&a[0], memory_order_relaxed));
			y[5] = atomic_fetch_sub_explicit(&i[0], 9, memory_order_relaxed);
			y[6] = atomic_fetch_min_explicit(&i[0], -2, memory_order_relaxed);
			y[7] = atomic_fetch_max_explicit(&i[0], -1, memory_order_relaxed);
			y[8] = atomic_fetch_xor_explicit(&i[0], 6, memory_order_relaxed);
			int e = 5;
			y[9] = int(atomic_compare_exchange_weak_explicit(&i[0], &e, 4, memory_order_relaxed, memory_order_relaxed));
			y[10] = e;
			while (!atomic_compare_exchange_weak_explicit(&i[0], &e, 4, memory_order_relaxed, memory_order_relaxed)) {}
			y[11] = atomic_load_explicit(&i[0], memory_order_relaxed);
			y[12] = int(2.0f * atomic_fetch_add_explicit(&f[0], 1.0f, memory_order_relaxed));
			atomic_store_explicit(&f[1], atomic_exchange_explicit(&f[0], 0.5f, memory_order_relaxed), memory_order_relaxed);
			y[13] = int(2.0f * atomic_load_explicit(&f[1], memory_order_relaxed));
			y[14] = int(2.0f * atomic_load_explicit(&f[0], memory_order_relaxed));`})
	y := r.alloc(60)
	require.NoError(t, r.run(launch(0, 1, bind(plan.ReadWrite, r.put([]uint32{5})), bind(plan.ReadWrite, r.put([]int32{-1})), bind(plan.ReadWrite, r.put([]float32{1.5, 0})), bind(plan.Write, y))))
	require.Equal(t, []int32{5, 8, 11, 77, 69, -1, -10, -10, -1, 0, -1 ^ 6, 4, 3, 5, 1}, get[int32](t, y, 15))
}

// Matrices of halves, at places that are rows away from where they begin, turned and as
// they are; what is not theirs stays.
func TestMatricesElsewhere(t *testing.T) {
	const stride = 12
	r := load(t, Options{OneRun: true}, sketch{name: "elsewhere", threads: 32,
		slots:  []plan.Slot{slot(plan.Read, "float", "x"), slot(plan.Write, "float", "y")},
		arrays: []plan.ThreadgroupArg{array("half", "h", 2*12*stride), array("float", "f", 4*12*stride)},
		body: fmt.Sprintf(`for (uint i = lane; i < %[1]du; i += 32u) { h[i] = half(x[i]); f[i] = 0.0f; }
			threadgroup_barrier(mem_flags::mem_threadgroup);
			simdgroup_half8x8 a, b, c;
			simdgroup_load(a, h, %[2]d, ulong2(2ul, 1ul));
			simdgroup_load(b, h, %[2]d, ulong2(1ul, 3ul), true);
			simdgroup_multiply(c, a, b);
			threadgroup_barrier(mem_flags::mem_threadgroup);
			simdgroup_store(c, h, %[2]d, ulong2(3ul, 2ul), true);
			simdgroup_store(simdgroup_float8x8(2.5f), f, %[2]d, ulong2(1ul, 4ul));
			threadgroup_barrier(mem_flags::mem_threadgroup);
			for (uint i = lane; i < %[1]du; i += 32u) { y[i] = float(h[i]); y[%[1]du + i] = f[i]; }`, 12*stride, stride)})
	x := make([]float32, 12*stride)
	for i := range x {
		x[i] = float32(i*i%7) - 2
	}
	want := append(append([]float32{}, x...), make([]float32, len(x))...)
	for i := range 8 {
		for j := range 8 {
			sum := float32(0)
			for k := range 8 {
				sum += x[(i+1)*stride+k+2] * x[(j+3)*stride+k+1]
			}
			want[(j+2)*stride+i+3] = sum
		}
		want[len(x)+(i+4)*stride+i+1] = 2.5
	}
	y := r.alloc(4 * len(want))
	require.NoError(t, r.run(launch(0, 1, bind(plan.Read, r.put(x)), bind(plan.Write, y))))
	require.Equal(t, want, get[float32](t, y, len(want)))
}

// simdgroup functions of vectors go by element.
func TestSimdgroupVectors(t *testing.T) {
	texts := []string{"simd_sum", "simd_product", "simd_min", "simd_max", "simd_and", "simd_or", "simd_xor", "simd_prefix_exclusive_sum", "simd_prefix_inclusive_sum"}
	var body strings.Builder
	fmt.Fprintf(&body, "int4 v = int4(as_type<char4>(x[tid]));\n")
	n := 0
	ask := func(name, more string) {
		fmt.Fprintf(&body, "{ int4 r = %[1]s(v%[2]s); int3 s = %[1]s(int3(v.wyx)%[2]s); int2 p = %[1]s(int2(v.zx)%[2]s); y[%[3]d + tid] = all(r == int4(%[1]s(v.x%[2]s), %[1]s(v.y%[2]s), %[1]s(v.z%[2]s), %[1]s(v.w%[2]s))) && all(s == r.wyx) && all(p == r.zx) ? 1u : 0u; }\n", name, more, 32*n)
		n++
	}
	for _, name := range texts {
		ask(name, "")
	}
	for _, name := range []string{"simd_shuffle", "simd_broadcast", "simd_shuffle_xor", "simd_shuffle_down", "simd_shuffle_up"} {
		ask(name, ", ushort(5)")
	}
	// Eight bytes a lane.
	fmt.Fprintf(&body, "ulong w = ulong(x[tid]) << 32 | tid; ulong far = simd_shuffle_xor(w, ushort(31)); y[%d + tid] = (far == (ulong(x[31u - tid]) << 32 | (31u - tid))) && simd_max(w) >= w && simd_sum(w) == simd_sum(ulong(x[tid])) << 32 | 496ul ? 1u : 0u;\n", 32*n)
	r := load(t, Options{OneRun: true}, sketch{name: "vectors_of_lanes", threads: 32, body: body.String(), slots: words})
	x, want := make([]uint32, 32), make([]uint32, 32*(n+1))
	for i, s := 0, uint32(99); i < len(x); i++ {
		s = s*1664525 + 1013904223
		x[i] = s
	}
	for i := range want {
		want[i] = 1
	}
	y := r.alloc(4 * len(want))
	require.NoError(t, r.run(launch(0, 1, bind(plan.Read, r.put(x)), bind(plan.Write, y))))
	require.Equal(t, want, get[uint32](t, y, len(want)))
}

// 2^x is the nearest float almost always, as its text says, and e^x.
func TestPowersAreNearest(t *testing.T) {
	const n = 1 << 12
	r := load(t, Options{OneRun: true}, sketch{name: "nearest", threads: 256, body: fmt.Sprintf("for (uint i = tid; i < %du; i += 256u) { y[i] = exp2(x[i]); y[%du + i] = exp(x[i]); y[%du + i] = fast::exp2(x[i]); }", n, n, 2*n),
		slots: []plan.Slot{slot(plan.Read, "float", "x"), slot(plan.Write, "float", "y")}})
	x := make([]float32, n)
	for i := range x {
		x[i] = 2 * (float32(i)/n - 0.75)
	}
	y := r.alloc(4 * 3 * n)
	require.NoError(t, r.run(launch(0, 1, bind(plan.Read, r.put(x)), bind(plan.Write, y))))
	out := get[float32](t, y, 3*n)
	off := [2]int{}
	var most [3]float64 // of fast::exp2, for 2x from -3, -2 and -1 on, in 2^-24 of what it should be
	for i, v := range x {
		if out[i] != float32(math.Exp2(float64(v))) {
			off[0]++
		}
		if out[n+i] != float32(math.Exp(float64(v))) {
			off[1]++
		}
		if v < 0 {
			at := 2 - int(-2*v)
			if at >= 0 {
				most[at] = max(most[at], math.Abs(float64(out[2*n+i])/math.Exp2(float64(v))-1)*0x1p24)
			}
		}
	}
	require.LessOrEqual(t, off[0], n/100)
	require.LessOrEqual(t, off[1], n/100)
	for i, bound := range []float64{4, 3, 2} { // beside the rounding, half of a unit or all of what it is counted in
		require.Greater(t, most[i], bound*0.95)
		require.Less(t, most[i], bound+1)
	}
}
