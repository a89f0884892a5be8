package devicetest

import (
	"github.com/stretchr/testify/require"

	"foundry/lower/plan"
)

func threadgroupReduction(r *rig) {
	const groups, threads = 5, 256
	prog := r.load(source{
		name:        "reduce",
		slots:       []plan.Slot{in("x", "uint"), out("y", "uint")},
		threadgroup: []plan.ThreadgroupArg{{Name: "partial", Type: "uint", Bytes: 4 * threads}},
		builtins:    []plan.Builtin{plan.ThreadgroupPosition, plan.ThreadIndex},
		threads:     [3]int{threads, 1, 1},
		body: `    partial[thread_index] = x[group.x * 256u + thread_index];
    threadgroup_barrier(mem_flags::mem_threadgroup);
    for (uint stride = 128u; stride > 0u; stride >>= 1) {
        if (thread_index < stride) partial[thread_index] += partial[thread_index + stride];
        threadgroup_barrier(mem_flags::mem_threadgroup);
    }
    if (thread_index == 0u) y[group.x] = partial[0];`,
	})
	x, want := make([]uint32, groups*threads), make([]uint32, groups)
	for i := range x {
		x[i] = uint32(i) * 2654435761
		want[i/threads] += x[i]
	}
	mx, my := r.put(x), r.alloc(4*groups)
	defer mx.Free()
	defer my.Free()
	r.once(prog, [3]int64{groups, 1, 1}, whole(mx, 4*groups*threads, plan.Read), whole(my, 4*groups, plan.Write))
	require.Equal(r, want, get[uint32](r, my, groups))
}

// threadgroupArguments: several arguments do not overlap, each is aligned for
// vectors and as large as the plan says, and the largest sum is to be had.
func threadgroupArguments(r *rig) {
	const threads, bytes = 64, 16384
	prog := r.load(source{
		name:  "two_arrays",
		slots: []plan.Slot{out("y", "uint")},
		threadgroup: []plan.ThreadgroupArg{
			{Name: "a", Type: "uint", Bytes: bytes}, {Name: "b", Type: "float4", Bytes: bytes},
		},
		builtins: []plan.Builtin{plan.ThreadIndex},
		threads:  [3]int{threads, 1, 1},
		body: `    for (uint i = thread_index; i < 4096u; i += 64u) a[i] = i;
    for (uint i = thread_index; i < 1024u; i += 64u) b[i] = float4(float(i), 0.0f, 0.0f, 1.0f);
    threadgroup_barrier(mem_flags::mem_threadgroup);
    uint wrong = 0u;
    for (uint i = 63u - thread_index; i < 4096u; i += 64u) wrong += a[i] != i ? 1u : 0u;
    for (uint i = 63u - thread_index; i < 1024u; i += 64u) {
        float4 v = b[i];
        wrong += v.x != float(i) || v.y != 0.0f || v.w != 1.0f ? 1u : 0u;
    }
    y[thread_index] = wrong + 1u;`,
	})
	my := r.alloc(4 * threads)
	defer my.Free()
	r.once(prog, [3]int64{1, 1, 1}, whole(my, 4*threads, plan.Write))
	for i, v := range get[uint32](r, my, threads) {
		require.Equal(r, uint32(1), v, "thread %d saw another's bytes", i)
	}
}

func simdgroup(r *rig) {
	const threads = 96
	prog := r.load(source{
		name:     "lanes",
		slots:    []plan.Slot{in("x", "float"), out("y", "float4"), out("z", "uint2")},
		builtins: []plan.Builtin{plan.ThreadIndex, plan.SimdgroupIndex, plan.LaneIndex},
		threads:  [3]int{threads, 1, 1},
		body: `    float v = x[thread_index];
    y[thread_index] = float4(simd_sum(v), simd_max(v), simd_min(v), simd_shuffle_xor(v, 5));
    z[thread_index] = uint2(simdgroup_index, lane);`,
	})
	x := floats(threads)
	mx, my, mz := r.put(x), r.alloc(16*threads), r.alloc(8*threads)
	defer mx.Free()
	defer my.Free()
	defer mz.Free()
	r.once(prog, [3]int64{1, 1, 1},
		whole(mx, 4*threads, plan.Read), whole(my, 16*threads, plan.Write), whole(mz, 8*threads, plan.Write))
	y, z := get[[4]float32](r, my, threads), get[[2]uint32](r, mz, threads)
	for i := range threads {
		first := i / 32 * 32
		var sum float32 // quarters below 2^10: exact in any order
		lo, hi := x[first], x[first]
		for _, v := range x[first : first+32] {
			sum, lo, hi = sum+v, min(lo, v), max(hi, v)
		}
		require.Equal(r, [4]float32{sum, hi, lo, x[first+(i%32^5)]}, y[i], "thread %d", i)
		require.Equal(r, [2]uint32{uint32(i / 32), uint32(i % 32)}, z[i], "thread %d", i)
	}
}

// matrixElements: the lanes have the elements of an 8x8 simdgroup matrix that
// shaders/common/tile.metal says they have, as do those of the next whole operation.
func matrixElements(r *rig) {
	prog := r.load(source{
		name:        "elements",
		slots:       []plan.Slot{in("x", "float"), out("y", "float"), out("z", "float")},
		threadgroup: []plan.ThreadgroupArg{{Name: "tile", Type: "float", Bytes: 4 * 64}},
		builtins:    []plan.Builtin{plan.LaneIndex},
		threads:     [3]int{32, 1, 1},
		body: `    simdgroup_float8x8 m, d = simdgroup_float8x8(2.0f), sum = simdgroup_float8x8(0.0f);
    simdgroup_load(m, x, 8);
    for (uint i = 0u; i < 2u; i++) {
        y[2u * lane + i] = m.thread_elements()[i];
        m.thread_elements()[i] += float(lane);
        d.thread_elements()[i] *= 0.5f;
    }
    simdgroup_multiply_accumulate(sum, d, m, sum);
    simdgroup_store(sum, tile, 8);
    simdgroup_barrier(mem_flags::mem_threadgroup);
    for (uint i = lane; i < 64u; i += 32u) z[i] = tile[i];`,
	})
	x := make([]float32, 64)
	for i := range x {
		x[i] = float32(i)
	}
	mx, my, mz := r.put(x), r.alloc(4*64), r.alloc(4*64)
	defer mx.Free()
	defer my.Free()
	defer mz.Free()
	r.once(prog, [3]int64{1, 1, 1}, whole(mx, 4*64, plan.Read), whole(my, 4*64, plan.Write), whole(mz, 4*64, plan.Write))
	y, z := get[float32](r, my, 64), get[float32](r, mz, 64)
	for lane := range 32 {
		row, column := lane>>2&4+lane>>1&3, lane>>1&4+2*(lane&1)
		for i := range 2 {
			at := 8*row + column + i
			require.Equal(r, float32(at), y[2*lane+i], "element %d of lane %d: tiles would be wrong here", i, lane)
			require.Equal(r, float32(at+lane), z[at], "element %d of lane %d, changed", i, lane)
		}
	}
}

func atomics(r *rig) {
	const groups, threads, bins = 32, 64, 7
	prog := r.load(source{
		name:     "histogram",
		slots:    []plan.Slot{inout("count", "atomic_uint")},
		builtins: []plan.Builtin{plan.ThreadPosition},
		threads:  [3]int{threads, 1, 1},
		body:     `    atomic_fetch_add_explicit(&count[position.x % 7u], 1u, memory_order_relaxed);`,
	})
	m := r.alloc(4 * bins)
	defer m.Free()
	r.once(prog, [3]int64{groups, 1, 1}, whole(m, 4*bins, plan.ReadWrite))
	want := make([]uint32, bins)
	for i := range groups * threads {
		want[i%bins]++
	}
	require.Equal(r, want, get[uint32](r, m, bins))
}

func gridOfThreeDims(r *rig) {
	const n = 3 * 2 * 4 * (4 * 3 * 2)
	prog := r.load(source{
		name:     "positions",
		slots:    []plan.Slot{out("y", "uint4")},
		builtins: []plan.Builtin{plan.ThreadgroupPosition, plan.ThreadgroupsPerGrid, plan.ThreadPosition, plan.ThreadIndex},
		threads:  [3]int{4, 3, 2},
		body: `    uint linear = (group.z * groups.y + group.y) * groups.x + group.x;
    y[linear * 24u + thread_index] = uint4(position, groups.x | groups.y << 8 | groups.z << 16);`,
	})
	m := r.alloc(16 * n)
	defer m.Free()
	r.once(prog, [3]int64{3, 2, 4}, whole(m, 16*n, plan.Write))
	got := get[[4]uint32](r, m, n)
	i := 0
	for gz := range uint32(4) {
		for gy := range uint32(2) {
			for gx := range uint32(3) {
				for tz := range uint32(2) {
					for ty := range uint32(3) {
						for tx := range uint32(4) {
							require.Equal(r, [4]uint32{gx*4 + tx, gy*3 + ty, gz*2 + tz, 3 | 2<<8 | 4<<16}, got[i], "element %d", i)
							i++
						}
					}
				}
			}
		}
	}
}
