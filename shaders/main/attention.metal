// Main: one head of one query row against all keys that it sees, in one pass.
//
// A simdgroup splits into slots of LANES lanes; a slot takes a key at a time and
// its lanes hold the same D / LANES elements of query, key, value and result, so
// that a simdgroup reads 32 / LANES adjacent rows of the cache. Each slot keeps a
// running maximum, sum and weighted sum (softmax as it goes); slots merge by
// shuffles, simdgroups through threadgroup memory.
//
// Inputs: q, the lane's elements in float; k and v at key 0 of the head in
// elements of type E, rows k_stride and v_stride apart; visible, the count of
// keys, at least 1; scale. W elements (4 or 1) a load; with W = 4 the strides are
// multiples of 4. Group: SIMDS simdgroups, SIMDS * 32 >= D. Output: attention_merge
// returns element d of the result to the thread with index d < D.
// Threadgroup bytes: 4 * SIMDS * (D + 2).
template <typename E, uint W>
inline void attention_load(device const E *p, thread float *out)
{
    if (W == 4u) {
        const float4 v = load4(p);
        out[0] = v.x; out[1] = v.y; out[2] = v.z; out[3] = v.w;
    } else {
        out[0] = load1(p);
    }
}

template <typename EK, typename EV, uint D, uint LANES, uint W, uint SIMDS, uint AHEAD>
inline void attention_scan(thread const float *q, device const EK *k, uint k_stride, device const EV *v, uint v_stride,
                           uint visible, float scale, uint simd, uint lane, thread float &top, thread float &sum, thread float *acc)
{
    constexpr uint SLOTS = 32u / LANES, MINE = D / LANES;
    const uint slot = lane / LANES, first = (lane % LANES) * W;
    // All of a round's loads go out before the first is used. Keys are dealt out
    // one a slot over the whole threadgroup, so that few keys keep all busy.
    for (uint base = simd * SLOTS + slot; base - slot < visible; base += SIMDS * SLOTS * AHEAD) {
        float key[AHEAD * MINE], value[AHEAD * MINE], score[AHEAD];
        FOUNDRY_UNROLL
        for (uint a = 0u; a < AHEAD; a++) {
            const uint s = min(base + a * SIMDS * SLOTS, visible - 1u);
            FOUNDRY_UNROLL
            for (uint j = 0u; j < MINE; j += W) {
                attention_load<EK, W>(k + s * k_stride + first + j * LANES, key + a * MINE + j);
                attention_load<EV, W>(v + s * v_stride + first + j * LANES, value + a * MINE + j);
            }
        }
        float peak = top;
        FOUNDRY_UNROLL
        for (uint a = 0u; a < AHEAD; a++) {
            float dot = 0.0f;
            FOUNDRY_UNROLL
            for (uint j = 0u; j < MINE; j++) dot = fma(q[j], key[a * MINE + j], dot);
            FOUNDRY_UNROLL
            for (uint o = 1u; o < LANES; o <<= 1) dot += simd_shuffle_xor(dot, ushort(o));
            score[a] = base + a * SIMDS * SLOTS < visible ? dot * scale : -INFINITY;
            peak = max(peak, score[a]);
        }
        const float shrink = exp(top - peak);
        top = peak;
        sum *= shrink;
        FOUNDRY_UNROLL
        for (uint j = 0u; j < MINE; j++) acc[j] *= shrink;
        FOUNDRY_UNROLL
        for (uint a = 0u; a < AHEAD; a++) {
            const float p = exp(score[a] - peak);
            sum += p;
            FOUNDRY_UNROLL
            for (uint j = 0u; j < MINE; j++) acc[j] = fma(p, value[a * MINE + j], acc[j]);
        }
    }
    FOUNDRY_UNROLL
    for (uint o = LANES; o < 32u; o <<= 1) {
        const float other = simd_shuffle_xor(top, ushort(o));
        const float peak = max(top, other);
        const float mine = exp(top - peak), theirs = exp(other - peak);
        sum = sum * mine + simd_shuffle_xor(sum, ushort(o)) * theirs;
        FOUNDRY_UNROLL
        for (uint j = 0u; j < MINE; j++) acc[j] = acc[j] * mine + simd_shuffle_xor(acc[j], ushort(o)) * theirs;
        top = peak;
    }
}

// attention_gather is attention_merge before the division: peak and total are the
// threadgroup's maximum and sum, in every thread.
template <uint D, uint LANES, uint W, uint SIMDS>
inline float attention_gather(float top, float sum, thread const float *acc, threadgroup float *shared, uint simd, uint lane,
                              thread float &peak, thread float &total)
{
    constexpr uint MINE = D / LANES;
    threadgroup float *values = shared + 2u * SIMDS;
    if (lane < LANES) {
        FOUNDRY_UNROLL
        for (uint j = 0u; j < MINE; j++) values[simd * D + (j / W) * W * LANES + lane * W + j % W] = acc[j];
    }
    if (lane == 0u) {
        shared[simd] = top;
        shared[SIMDS + simd] = sum;
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    // A lane weighs one simdgroup's share; all lanes then take all weights.
    const float mine = lane < SIMDS ? shared[lane] : -INFINITY;
    peak = simd_max(mine);
    const float part = exp(mine - peak);
    total = simd_sum(lane < SIMDS ? part * shared[SIMDS + lane] : 0.0f);
    const uint d = simd * 32u + lane;
    float value = 0.0f;
    FOUNDRY_UNROLL
    for (uint i = 0u; i < SIMDS; i++) {
        const float weight = simd_shuffle(part, ushort(i));
        if (d < D) value = fma(values[i * D + d], weight, value);
    }
    return value;
}

template <uint D, uint LANES, uint W, uint SIMDS>
inline float attention_merge(float top, float sum, thread const float *acc, threadgroup float *shared, uint simd, uint lane)
{
    float peak, total;
    const float value = attention_gather<D, LANES, W, SIMDS>(top, sum, acc, shared, simd, lane, peak, total);
    return value / total;
}
