package cpu

import (
	"fmt"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir/dtype"
	"foundry/lower/plan"
)

// orders are ways to run threads that a GPU may take.
var orders = map[string]Options{
	"forward": {}, "reversed": {ThreadOrder: Reversed, GroupOrder: Reversed},
	"random": {ThreadOrder: Random, GroupOrder: Random, Seed: 3}, "checked": {Checked: true},
	"checked, random": {Checked: true, ThreadOrder: Random, Seed: 5},
}

var words = []plan.Slot{slot(plan.Read, "uint", "x"), slot(plan.Write, "uint", "y")}

// Simdgroup functions of the lanes' values; lanes is 32, or 20 in the last
// simdgroup of 52 threads.
var simd = []struct {
	text string
	of   func(x []uint32, lane int) uint32
}{
	{"simd_sum(v)", func(x []uint32, _ int) uint32 { return fold(x, func(a, b uint32) uint32 { return a + b }) }},
	{"simd_product(v)", func(x []uint32, _ int) uint32 { return fold(x, func(a, b uint32) uint32 { return a * b }) }},
	{"simd_max(v)", func(x []uint32, _ int) uint32 { return fold(x, func(a, b uint32) uint32 { return max(a, b) }) }},
	{"uint(simd_min(int(v)))", func(x []uint32, _ int) uint32 {
		return fold(x, func(a, b uint32) uint32 { return uint32(min(int32(a), int32(b))) })
	}},
	{"simd_and(v)", func(x []uint32, _ int) uint32 { return fold(x, func(a, b uint32) uint32 { return a & b }) }},
	{"simd_or(v)", func(x []uint32, _ int) uint32 { return fold(x, func(a, b uint32) uint32 { return a | b }) }},
	{"simd_or(v << 4)", func(x []uint32, _ int) uint32 { return fold(x, func(a, b uint32) uint32 { return a | b }) << 4 }},
	{"simd_xor(v)", func(x []uint32, _ int) uint32 { return fold(x, func(a, b uint32) uint32 { return a ^ b }) }},
	{"simd_prefix_exclusive_sum(v)", func(x []uint32, lane int) uint32 {
		return fold(append([]uint32{0}, x[:lane]...), func(a, b uint32) uint32 { return a + b })
	}},
	{"simd_prefix_inclusive_sum(v)", func(x []uint32, lane int) uint32 {
		return fold(x[:lane+1], func(a, b uint32) uint32 { return a + b })
	}},
	{"simd_shuffle(v, ushort((lane * 7 + 3) % 20))", func(x []uint32, lane int) uint32 { return x[(lane*7+3)%20] }},
	{"simd_shuffle_xor(v, ushort(1))", func(x []uint32, lane int) uint32 { return x[lane^1] }},
	{"simd_shuffle_down(v, ushort(5))", func(x []uint32, lane int) uint32 {
		if lane+5 < len(x) {
			return x[lane+5]
		}
		return x[lane]
	}},
	{"simd_shuffle_up(v, ushort(5))", func(x []uint32, lane int) uint32 {
		if lane >= 5 {
			return x[lane-5]
		}
		return x[lane]
	}},
	{"simd_broadcast(v, ushort(9))", func(x []uint32, _ int) uint32 { return x[9] }},
	{"uint(ulong(simd_ballot(v % 3 == 0)))", func(x []uint32, _ int) uint32 {
		votes := uint32(0)
		for i, v := range x {
			if v%3 == 0 {
				votes |= 1 << i
			}
		}
		return votes
	}},
	{"simd_any(v == 4294967295u) ? 1u : 0u", func([]uint32, int) uint32 { return 0 }},
	{"simd_all(v != 4294967295u) && simd_ballot(true).all() ? 1u : 0u", func([]uint32, int) uint32 { return 1 }},
	{"(simd_any(lane == 7u) ? 1u : 0u) + (simd_all(lane != 7u) ? 2u : 0u) + (simd_ballot(lane == 7u).any() ? 4u : 0u) + (simd_ballot(lane != 7u).all() ? 8u : 0u) + (simd_ballot(lane > 99u).any() ? 16u : 0u)",
		func([]uint32, int) uint32 { return 5 }},
	{"simd_min(v)", func(x []uint32, _ int) uint32 { return fold(x, func(a, b uint32) uint32 { return min(a, b) }) }},
	{"uint(simd_max(int(v)))", func(x []uint32, _ int) uint32 {
		return fold(x, func(a, b uint32) uint32 { return uint32(max(int32(a), int32(b))) })
	}},
	{"uint(simd_min(half(v & 1023u)))", func(x []uint32, _ int) uint32 {
		return fold(x, func(a, b uint32) uint32 { return min(a&1023, b&1023) })
	}},
	{"uint(simd_max(half(v & 1023u)))", func(x []uint32, _ int) uint32 {
		return fold(x, func(a, b uint32) uint32 { return max(a&1023, b&1023) })
	}},
	{"simd_sum(uint2(v, 1)).y", func(x []uint32, _ int) uint32 { return uint32(len(x)) }},
	{"uint(simd_sum(float(v & 255u)))", func(x []uint32, _ int) uint32 {
		s := uint32(0)
		for _, v := range x {
			s += v & 255
		}
		return s
	}},
	{"uint(simd_min(float(v & 255u)) + simd_max(float(v & 255u)))", func(x []uint32, _ int) uint32 {
		low, high := uint32(255), uint32(0)
		for _, v := range x {
			low, high = min(low, v&255), max(high, v&255)
		}
		return low + high
	}},
}

func fold(x []uint32, f func(a, b uint32) uint32) uint32 {
	r := x[0]
	for _, v := range x[1:] {
		r = f(r, v)
	}
	return r
}

func TestSimdgroups(t *testing.T) {
	const threads, groups = 52, 3
	body := "uint i = group.x * 52 + tid; uint v = x[i];\n"
	n := 0
	for _, s := range simd {
		body += fmt.Sprintf("y[%d + i] = %s;\n", n*threads*groups, s.text)
		n++
	}
	in := make([]uint32, threads*groups)
	for i, s := 0, uint32(77); i < len(in); i++ {
		s = s*1664525 + 1013904223
		in[i] = s >> (s % 31)
	}
	for name, o := range orders {
		t.Run(name, func(t *testing.T) {
			r := load(t, o, sketch{name: "simdgroups", threads: threads, body: body, slots: words})
			y := r.alloc(4 * n * threads * groups)
			require.NoError(t, r.run(launch(0, groups, bind(plan.Read, r.put(in)), bind(plan.Write, y))))
			out := get[uint32](t, y, n*threads*groups)
			for _, s := range simd {
				for i := range in {
					first := i - i%threads%32
					last := min(first+32, i-i%threads+threads)
					require.Equal(t, s.of(in[first:last], i-first), out[i], "%s, thread %d", s.text, i)
				}
				out = out[len(in):]
			}
		})
	}
}

// A reversal in steps, through threadgroup memory that the body declares.
func TestThreadgroupMemory(t *testing.T) {
	k := sketch{name: "reverse", threads: 200, slots: words,
		body: `threadgroup uint a[200], flag; threadgroup vec<uint, 2> pair[100];
			a[tid] = x[group.x * 200 + tid];
			if (tid == 0u) flag = 5u;
			threadgroup_barrier(mem_flags::mem_threadgroup);
			if (tid < 100u) pair[tid] = uint2(a[199u - 2u * tid], a[198u - 2u * tid]);
			threadgroup_barrier(mem_flags::mem_threadgroup);
			y[group.x * 200 + tid] = pair[tid / 2u][tid % 2u] + flag;`}
	for name, o := range orders {
		t.Run(name, func(t *testing.T) {
			r := load(t, o, k)
			in := make([]uint32, 1000)
			for i := range in {
				in[i] = uint32(i * i)
			}
			y := r.alloc(4000)
			require.NoError(t, r.run(launch(0, 5, bind(plan.Read, r.put(in)), bind(plan.Write, y))))
			out := get[uint32](t, y, 1000)
			for i := range out {
				require.Equal(t, in[i/200*200+199-i%200]+5, out[i])
			}
		})
	}
}

func TestAtomics(t *testing.T) {
	k := sketch{name: "atomics", threads: 64, slots: []plan.Slot{slot(plan.ReadWrite, "atomic_uint", "a"), slot(plan.ReadWrite, "atomic_float", "f")},
		body: `uint i = group.x * 64 + tid;
			atomic_fetch_add_explicit(&a[0], 1u, memory_order_relaxed);
			atomic_fetch_max_explicit(&a[1], i, memory_order_relaxed);
			atomic_fetch_min_explicit(&a[2], i, memory_order_relaxed);
			atomic_fetch_or_explicit(&a[3], 1u << (i % 32), memory_order_relaxed);
			atomic_fetch_xor_explicit(&a[4], i, memory_order_relaxed);
			atomic_fetch_sub_explicit(&a[5], 2u, memory_order_relaxed);
			atomic_fetch_and_explicit(&a[6], ~(i & 16u), memory_order_relaxed);
			if (i == 77u) atomic_store_explicit(&a[7], 7u, memory_order_relaxed);
			uint e = atomic_load_explicit(&a[8], memory_order_relaxed);
			while (!atomic_compare_exchange_weak_explicit(&a[8], &e, e + 3u, memory_order_relaxed, memory_order_relaxed)) {}
			if (i == 5u) atomic_exchange_explicit(&a[9], 9u, memory_order_relaxed);
			atomic_fetch_add_explicit(&f[0], 0.5f, memory_order_relaxed);
			atomic_fetch_max_explicit(&f[1], float(i), memory_order_relaxed);`}
	for name, o := range orders {
		t.Run(name, func(t *testing.T) {
			r := load(t, o, k)
			a := r.put([]uint32{0, 0, math.MaxUint32, 0, 0, 0, math.MaxUint32, 0, 0, 0})
			f := r.alloc(8)
			require.NoError(t, r.run(launch(0, 100, bind(plan.ReadWrite, a), bind(plan.ReadWrite, f))))
			n := uint32(6400)
			require.Equal(t, []uint32{n, n - 1, 0, math.MaxUint32, 0, -(2 * n), ^uint32(16), 7, 3 * n, 9}, get[uint32](t, a, 10))
			require.Equal(t, []float32{3200, 6399}, get[float32](t, f, 2))
		})
	}
}

// Lanes change the elements that they have of a matrix, and operations on the whole see it:
// y = 3 (a + lane) a, whatever order lanes run in.
func TestMatrixElements(t *testing.T) {
	k := sketch{name: "elements", threads: 64,
		slots:  []plan.Slot{slot(plan.Read, "half", "x"), slot(plan.Write, "float", "y")},
		arrays: []plan.ThreadgroupArg{array("float", "tile", 512)},
		body: `simdgroup_half8x8 a, b;
			simdgroup_float8x8 c = simdgroup_float8x8(0.0f);
			simdgroup_load(a, x + sg * 64u);
			b = a;
			for (uint i = 0u; i < 2u; i++) a.thread_elements()[i] = half(float(a.thread_elements()[i]) + float(lane));
			simdgroup_multiply_accumulate(c, a, b, c);
			for (uint i = 0u; i < 2u; i++) c.thread_elements()[i] *= 3.0f;
			simdgroup_store(c, tile + sg * 64u);
			threadgroup_barrier(mem_flags::mem_threadgroup);
			for (uint i = lane; i < 64u; i += 32u) y[sg * 64u + i] = tile[sg * 64u + i];`}
	halves, want := make([]uint16, 128), make([]float32, 128)
	at := func(s, r, c int) float32 { return float32((s*64+r*8+c)%5) - 2 }
	laneOf := func(r, c int) int { return r&4<<2 | c&4<<1 | r&3<<1 | c&2>>1 }
	for s := range 2 {
		for r := range 8 {
			for c := range 8 {
				halves[s*64+r*8+c] = dtype.F32ToF16(at(s, r, c))
				for i := range 8 {
					want[s*64+r*8+c] += 3 * (at(s, r, i) + float32(laneOf(r, i))) * at(s, i, c)
				}
			}
		}
	}
	for name, o := range orders {
		t.Run(name, func(t *testing.T) {
			r := load(t, o, k)
			y := r.alloc(4 * 128)
			require.NoError(t, r.run(launch(0, 1, bind(plan.Read, r.put(halves)), bind(plan.Write, y))))
			require.Equal(t, want, get[float32](t, y, 128))
		})
	}
}

func TestMatrices(t *testing.T) {
	// y = a b^T + 2 for 16 x 24 halves a and 8 x 24 floats b, through threadgroup memory.
	k := sketch{name: "matrices", threads: 64,
		slots:  []plan.Slot{slot(plan.Read, "half", "a"), slot(plan.Read, "float", "b"), slot(plan.Write, "float", "y")},
		arrays: []plan.ThreadgroupArg{array("float", "tile", 512)},
		body: `simdgroup_float8x8 c = make_filled_simdgroup_matrix<float, 8, 8>(2.0f), r;
			for (uint k = 0; k < 24u; k += 8u) {
				simdgroup_half8x8 m;
				simdgroup_float8x8 n;
				simdgroup_load(m, a + sg * 8u * 24u + k, 24);
				simdgroup_load(n, b, 24, ulong2(k, 0), true);
				simdgroup_multiply_accumulate(c, m, n, c);
			}
			simdgroup_multiply(r, c, simdgroup_float8x8(1.0f));
			simdgroup_store(r, tile + sg * 64u, 8, ulong2(0), true);
			threadgroup_barrier(mem_flags::mem_threadgroup);
			for (uint i = lane; i < 64u; i += 32u) y[sg * 64u + i] = tile[sg * 64u + i % 8u * 8u + i / 8u];`}
	a, b := make([]float32, 16*24), make([]float32, 8*24)
	half := make([]uint16, len(a))
	for i := range a {
		a[i] = float32(i%13) - 6
		half[i] = dtype.F32ToF16(a[i])
	}
	for i := range b {
		b[i] = float32(i%7) * 0.5
	}
	for name, o := range orders {
		t.Run(name, func(t *testing.T) {
			r := load(t, o, k)
			y := r.alloc(4 * 128)
			require.NoError(t, r.run(launch(0, 1, bind(plan.Read, r.put(half)), bind(plan.Read, r.put(b)), bind(plan.Write, y))))
			out := get[float32](t, y, 128)
			for i := range out {
				want := float32(2)
				for k := range 24 {
					want += a[i/8*24+k] * b[i%8*24+k]
				}
				require.Equal(t, want, out[i], "element %d", i)
			}
		})
	}
}
