// Main: the weights that a part keeps, and the choice of the token.
// Adds up what the part keeps: sums[0], sums[1] the weight of the scores above the
// cut, sums[2] the number of scores just at it. scores is the part. partial: 32
// words of threadgroup memory.
inline void sample_sums(device const float *scores, uint key, float best, device const float *settings, threadgroup uint *partial,
                        device uint *sums, uint thread_index, uint simd, uint lane)
{
    uint high = 0u, low = 0u, ties = 0u;
    for (uint q = thread_index * 4u; q < SAMPLE_PART; q += SAMPLE_THREADS * 4u) {
        const float4 v = *(device const float4 *)(scores + q);
        for (uint j = 0u; j < 4u; j++) {
            const uint k = sample_key(v[j]);
            const float ratio = sample_ratio(v[j], best, settings);
            if (k < key || ratio < settings[3]) continue;
            if (k == key) {
                ties++;
                continue;
            }
            const uint2 w = sample_halves(ratio);
            high += w.x;
            low += w.y;
        }
    }
    const uint3 sum = uint3(simd_sum(high), simd_sum(low), simd_sum(ties));
    if (lane == 0u) {
        partial[simd] = sum.x;
        partial[8u + simd] = sum.y;
        partial[16u + simd] = sum.z;
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    if (simd != 0u) return;
    const uint h = simd_sum(lane < 8u ? partial[lane] : 0u), l = simd_sum(lane < 8u ? partial[8u + lane] : 0u), t = simd_sum(lane < 8u ? partial[16u + lane] : 0u);
    if (lane == 0u) {
        sample_store(sums, sample_fixed(h, l));
        sums[2] = t;
    }
}

// The number of ties that a part keeps, when those before it have taken some.
inline uint sample_kept(uint ties, uint taken, uint here) { return min(here, ties - min(ties, taken)); }

// Returns the token: in the order of ids, the first at which the weights kept exceed
// u of their sum. sums holds four words a part. Every thread gets the token. shared:
// 16 ulongs.
inline uint sample_choose(device const float *scores, device const uint *sums, uint parts, device const uint *cut, float best, float u,
                          device const float *settings, threadgroup ulong *shared, uint thread_index, uint simd, uint lane)
{
    const uint key = cut[0], ties = cut[1];
    // Where there is no cut no score is at it, and none is counted that min-p leaves out.
    const ulong each = sample_fixed(sample_ratio(sample_score(key), best, settings));
    // Two parts a lane, of 64 at most: what each keeps, and which the target lies in.
    const uint p = 2u * lane;
    const bool has = p < parts, pair = p + 1u < parts;
    const uint2 here = uint2(has ? sums[4u * p + 2u] : 0u, pair ? sums[4u * p + 6u] : 0u);
    uint taken = simd_prefix_exclusive_sum(here.x + here.y);
    const ulong one = has ? sample_load(sums + 4u * p) + each * ulong(sample_kept(ties, taken, here.x)) : 0ul;
    const ulong two = pair ? sample_load(sums + 4u * p + 4u) + each * ulong(sample_kept(ties, taken + here.x, here.y)) : 0ul;
    const ulong begin = sample_below(one + two);
    bool exact;
    ulong target = sample_scale(sample_sum(one + two), uint(u * 16777216.0f), 24u, exact);
    const bool within = begin <= target && target < begin + one + two, second = target >= begin + one;
    const uint part = simd_sum(within ? p + (second ? 1u : 0u) : 0u);
    taken = simd_sum(within ? taken + (second ? here.x : 0u) : 0u);
    target -= sample_sum(within ? begin + (second ? one : 0ul) : 0ul);
    // The part's scores, sixteen adjacent ones a thread.
    const uint first = part * SAMPLE_PART + thread_index * (SAMPLE_PART / SAMPLE_THREADS);
    uint mine = 0u;
    for (uint i = 0u; i < SAMPLE_PART / SAMPLE_THREADS; i++) mine += sample_key(scores[first + i]) == key ? 1u : 0u;
    ulong all;
    taken += uint(sample_before(ulong(mine), shared, simd, lane, all));
    threadgroup_barrier(mem_flags::mem_threadgroup);
    ulong weight = 0ul;
    uint used = taken;
    for (uint i = 0u; i < SAMPLE_PART / SAMPLE_THREADS; i++) {
        const float v = scores[first + i];
        const uint k = sample_key(v);
        const float ratio = sample_ratio(v, best, settings);
        if (k < key || ratio < settings[3] || (k == key && used++ >= ties)) continue;
        weight += sample_fixed(ratio);
    }
    ulong before = sample_before(weight, shared, simd, lane, all);
    threadgroup_barrier(mem_flags::mem_threadgroup);
    if (before <= target && target < before + weight) {
        used = taken;
        for (uint i = 0u; i < SAMPLE_PART / SAMPLE_THREADS; i++) {
            const float v = scores[first + i];
            const uint k = sample_key(v);
            const float ratio = sample_ratio(v, best, settings);
            if (k < key || ratio < settings[3] || (k == key && used++ >= ties)) continue;
            before += sample_fixed(ratio);
            if (target < before) {
                shared[0] = ulong(first + i);
                break;
            }
        }
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    return uint(shared[0]);
}
