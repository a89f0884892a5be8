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
    for (uint base = simd * SLOTS * AHEAD; base < visible; base += SIMDS * SLOTS * AHEAD) {
        float score[AHEAD];
        float peak = top;
        FOUNDRY_UNROLL
        for (uint a = 0u; a < AHEAD; a++) {
            const uint s = base + a * SLOTS + slot;
            device const EK *row = k + min(s, visible - 1u) * k_stride + first;
            float dot = 0.0f;
            FOUNDRY_UNROLL
            for (uint j = 0u; j < MINE; j += W) {
                float e[W];
                attention_load<EK, W>(row + j * LANES, e);
                FOUNDRY_UNROLL
                for (uint i = 0u; i < W; i++) dot = fma(q[j + i], e[i], dot);
            }
            FOUNDRY_UNROLL
            for (uint o = 1u; o < LANES; o <<= 1) dot += simd_shuffle_xor(dot, ushort(o));
            score[a] = s < visible ? dot * scale : -INFINITY;
            peak = max(peak, score[a]);
        }
        const float shrink = exp(top - peak);
        top = peak;
        sum *= shrink;
        FOUNDRY_UNROLL
        for (uint j = 0u; j < MINE; j++) acc[j] *= shrink;
        FOUNDRY_UNROLL
        for (uint a = 0u; a < AHEAD; a++) {
            const uint s = base + a * SLOTS + slot;
            device const EV *row = v + min(s, visible - 1u) * v_stride + first;
            const float p = exp(score[a] - peak);
            sum += p;
            FOUNDRY_UNROLL
            for (uint j = 0u; j < MINE; j += W) {
                float e[W];
                attention_load<EV, W>(row + j * LANES, e);
                FOUNDRY_UNROLL
                for (uint i = 0u; i < W; i++) acc[j + i] = fma(p, e[i], acc[j + i]);
            }
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

template <uint D, uint LANES, uint W, uint SIMDS>
inline float attention_merge(float top, float sum, thread const float *acc, threadgroup float *shared, uint simd, uint lane)
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
    float peak = shared[0];
    for (uint i = 1u; i < SIMDS; i++) peak = max(peak, shared[i]);
    float total = 0.0f, value = 0.0f;
    const uint d = simd * 32u + lane;
    for (uint i = 0u; i < SIMDS; i++) {
        const float part = exp(shared[i] - peak);
        total += shared[SIMDS + i] * part;
        if (d < D) value = fma(values[i * D + d], part, value);
    }
    return value / total;
}
