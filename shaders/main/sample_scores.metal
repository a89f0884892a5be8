// Main: the scores of one part of a row, and the largest of them.
//
// x is the row of count logits, first the part's beginning. Tokens of seen[0..n-1]
// are penalised once each; marks, a bit a score, holds which. Scores beyond the
// row's end are -inf. best and at become the thread's largest score and its index;
// best is inf where a logit is NaN or inf. ALIGNED: four logits can be loaded at
// once. Threadgroup bytes: SAMPLE_PART / 8.
template <bool ALIGNED>
inline void sample_scores(device const float *x, uint count, uint first, device const float *settings, device const int *seen, uint n,
                          threadgroup atomic_uint *marks, device float *scores, uint thread_index, thread float &best, thread uint &at)
{
    const bool penalises = sample_penalises(settings);
    if (penalises) {
        for (uint i = thread_index; i < SAMPLE_PART / 32u; i += SAMPLE_THREADS) atomic_store_explicit(marks + i, 0u, memory_order_relaxed);
        threadgroup_barrier(mem_flags::mem_threadgroup);
        for (uint i = thread_index; i < n; i += SAMPLE_THREADS) {
            const uint place = uint(seen[i]) - first;
            if (place < SAMPLE_PART) atomic_fetch_or_explicit(marks + place / 32u, 1u << (place % 32u), memory_order_relaxed);
        }
        threadgroup_barrier(mem_flags::mem_threadgroup);
    }
    best = -INFINITY;
    at = first;
    bool finite = true;
    for (uint q = thread_index * 4u; q < SAMPLE_PART; q += SAMPLE_THREADS * 4u) {
        const uint i = first + q;
        float4 v = float4(-INFINITY);
        if (ALIGNED && i + 4u <= count) {
            v = *(device const float4 *)(x + i);
        } else {
            for (uint j = 0u; j < 4u && i + j < count; j++) v[j] = x[i + j];
        }
        for (uint j = 0u; j < 4u; j++) finite = finite && v[j] < INFINITY;
        if (penalises) {
            const uint mark = atomic_load_explicit(marks + q / 32u, memory_order_relaxed) >> (q % 32u);
            for (uint j = 0u; j < 4u; j++)
                if ((mark >> j & 1u) != 0u) v[j] = v[j] > 0.0f ? v[j] / settings[4] : v[j] * settings[4];
        }
        v = v + float4(0.0f); // -0 and 0 are one score
        for (uint j = 0u; j < 4u; j++) argmax_take(best, at, v[j], i + j);
        *(device float4 *)(scores + i) = v;
    }
    if (!finite) best = INFINITY;
}
