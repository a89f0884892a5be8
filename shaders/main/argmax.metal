// Main: the index of a row's largest element, ties to the lowest index.
//
// argmax_part looks at elements begin to end - 1 of x with one threadgroup of
// SIMDS simdgroups, four adjacent ones a thread; begin is a multiple of four, and
// where ALIGNED they can be loaded at once. argmax_group merges what its threads
// hold, so that every thread of simdgroup 0 has the best value and its index. An
// element that is not a number never wins, but in rows of LOGITS: there it counts as
// infinite, so that the best value of a row is finite only where a token can be chosen
// from it. Threadgroup bytes: 4 * SIMDS floats and 4 * SIMDS uints.
inline float argmax_logit(float v) { return v < INFINITY ? v : INFINITY; }

inline void argmax_take(thread float &best, thread uint &at, float v, uint i)
{
    if (v > best || (v == best && i < at)) {
        best = v;
        at = i;
    }
}

inline void argmax_simd(thread float &best, thread uint &at)
{
    const float top = simd_max(best);
    at = simd_min(best == top ? at : 0xffffffffu);
    best = top;
}

template <uint SIMDS>
inline void argmax_group(thread float &best, thread uint &at, threadgroup float *values, threadgroup uint *places, uint simd, uint lane)
{
    argmax_simd(best, at);
    if (SIMDS == 1u) return;
    if (lane == 0u) {
        values[simd] = best;
        places[simd] = at;
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    best = lane < SIMDS ? values[lane] : -INFINITY;
    at = lane < SIMDS ? places[lane] : 0xffffffffu;
    argmax_simd(best, at);
}

template <uint SIMDS, bool ALIGNED, bool LOGITS>
inline void argmax_part(device const float *x, uint begin, uint end, uint thread_index, thread float &best, thread uint &at)
{
    best = -INFINITY;
    at = begin;
    for (uint i = begin + thread_index * 4u; i < end; i += SIMDS * 128u) {
        float4 v = float4(-INFINITY);
        if (ALIGNED && i + 4u <= end) {
            v = *(device const float4 *)(x + i);
        } else {
            for (uint j = 0u; j < 4u && i + j < end; j++) v[j] = x[i + j];
        }
        for (uint j = 0u; j < 4u; j++) argmax_take(best, at, LOGITS ? argmax_logit(v[j]) : v[j], i + j);
    }
}
