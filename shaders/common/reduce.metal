// Reductions over the SIMDS simdgroups of a threadgroup.
//
// partial: SIMDS floats of threadgroup memory. Every thread of the threadgroup
// calls, every thread gets the result. The caller puts a barrier between two
// calls that share partial.
template <uint SIMDS>
inline float threadgroup_sum(float v, threadgroup float *partial, uint simd, uint lane)
{
    v = simd_sum(v);
    if (SIMDS == 1u) return v;
    if (lane == 0u) partial[simd] = v;
    threadgroup_barrier(mem_flags::mem_threadgroup);
    return simd_sum(lane < SIMDS ? partial[lane] : 0.0f);
}

template <uint SIMDS>
inline float threadgroup_max(float v, threadgroup float *partial, uint simd, uint lane)
{
    v = simd_max(v);
    if (SIMDS == 1u) return v;
    if (lane == 0u) partial[simd] = v;
    threadgroup_barrier(mem_flags::mem_threadgroup);
    return simd_max(lane < SIMDS ? partial[lane] : -INFINITY);
}
