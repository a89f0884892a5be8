// Main: one head of one query row against all keys that it sees, in one pass.
//
// A simdgroup splits into slots of LANES lanes; a slot takes a key at a time and
// its lanes hold the same D / LANES elements of query, key, value and result, so
// that a simdgroup reads 32 / LANES adjacent rows of the cache. Each slot keeps a
// running maximum, sum and weighted sum (softmax as it goes); slots merge by
// shuffles, simdgroups through threadgroup memory.
//
// Inputs: q, the lane's elements in float; k and v at key 0 of the head in
// elements of pieces K and V, rows k_stride and v_stride apart; visible, the count of
// keys, at least 1; scale, times log2(e): weights are powers of two. W elements (4 or 1) a
// load; with W = 4 the strides are multiples of 4. Of the first `known` keys earlier runs wrote the rows:
// attention_preload loads a slot's first PRE keys, a multiple of AHEAD, as far as they
// are among those, before the ready point. Group: SIMDS simdgroups,
// SIMDS * 32 >= D. Output: attention_merge
// returns element d of the result to the thread with index d < D.
// Threadgroup bytes: 4 * SIMDS * (D + 2).
template <typename E, uint W> struct attention_piece;
template <> struct attention_piece<float, 4u> { typedef float E; typedef float4 Raw; };
template <> struct attention_piece<half, 4u> { typedef half E; typedef half4 Raw; };
template <> struct attention_piece<ushort, 4u> { typedef ushort E; typedef ushort4 Raw; };
template <typename T> struct attention_piece<T, 1u> { typedef T E; typedef T Raw; };

inline void attention_widen(float4 r, thread float *out)
{
    out[0] = r.x; out[1] = r.y; out[2] = r.z; out[3] = r.w;
}
inline void attention_widen(half4 r, thread float *out) { attention_widen(widen(r), out); }
inline void attention_widen(ushort4 r, thread float *out) { attention_widen(widen(r), out); }
inline void attention_widen(float r, thread float *out) { out[0] = r; }
inline void attention_widen(half r, thread float *out) { out[0] = float(r); }
inline void attention_widen(ushort r, thread float *out) { out[0] = as_type<float>(uint(r) << 16); }

// attention_fetch loads the lane's elements of one row.
template <typename X, uint D, uint LANES, uint W>
inline void attention_fetch(device const typename X::E *row, uint lane, thread typename X::Raw *raw)
{
    FOUNDRY_UNROLL
    for (uint j = 0u; j < D / LANES / W; j++) {
        raw[j] = *(device const typename X::Raw *)(row + (lane % LANES) * W + j * W * LANES);
    }
}

template <typename K, typename V, uint D, uint LANES, uint W, uint SIMDS, uint PRE>
inline void attention_preload(device const typename K::E *k, uint k_stride, device const typename V::E *v, uint v_stride, uint known, uint simd, uint lane,
                              thread typename K::Raw *key, thread typename V::Raw *value)
{
    constexpr uint SLOTS = 32u / LANES, PIECES = D / LANES / W;
    FOUNDRY_UNROLL
    for (uint a = 0u; a < PRE; a++) {
        const uint s = simd * SLOTS + lane / LANES + a * SIMDS * SLOTS;
        if (s < known) {
            attention_fetch<K, D, LANES, W>(k + s * k_stride, lane, key + a * PIECES);
            attention_fetch<V, D, LANES, W>(v + s * v_stride, lane, value + a * PIECES);
        } else {
            FOUNDRY_UNROLL
            for (uint j = 0u; j < PIECES; j++) {
                key[a * PIECES + j] = typename K::Raw(0);
                value[a * PIECES + j] = typename V::Raw(0);
            }
        }
    }
}

// attention_weigh takes up N keys, the first of which is key s of the slot.
template <typename K, typename V, uint D, uint LANES, uint W, uint SIMDS, uint N>
inline void attention_weigh(thread const float *q, thread const typename K::Raw *key,
                            thread const typename V::Raw *value, uint s, uint visible, float scale,
                            thread float &top, thread float &sum, thread float *acc)
{
    constexpr uint SLOTS = 32u / LANES, MINE = D / LANES;
    float score[N], peak = top;
    FOUNDRY_UNROLL
    for (uint a = 0u; a < N; a++) {
        float dot = 0.0f;
        FOUNDRY_UNROLL
        for (uint j = 0u; j < MINE; j += W) {
            float x[W];
            attention_widen(key[(a * MINE + j) / W], x);
            FOUNDRY_UNROLL
            for (uint i = 0u; i < W; i++) dot = fma(q[j + i], x[i], dot);
        }
        FOUNDRY_UNROLL
        for (uint o = 1u; o < LANES; o <<= 1) dot += simd_shuffle_xor(dot, ushort(o));
        score[a] = s + a * SIMDS * SLOTS < visible ? dot * scale : -INFINITY;
        peak = max(peak, score[a]);
    }
    const float shrink = exp2(top - peak);
    top = peak;
    sum *= shrink;
    FOUNDRY_UNROLL
    for (uint j = 0u; j < MINE; j++) acc[j] *= shrink;
    FOUNDRY_UNROLL
    for (uint a = 0u; a < N; a++) {
        const float p = fast::exp2(score[a] - peak);
        sum += p;
        FOUNDRY_UNROLL
        for (uint j = 0u; j < MINE; j += W) {
            float x[W];
            attention_widen(value[(a * MINE + j) / W], x);
            FOUNDRY_UNROLL
            for (uint i = 0u; i < W; i++) acc[j + i] = fma(p, x[i], acc[j + i]);
        }
    }
}

template <typename K, typename V, uint D, uint LANES, uint W, uint SIMDS, uint AHEAD, uint PRE>
inline void attention_scan(thread const float *q, device const typename K::E *k, uint k_stride, device const typename V::E *v, uint v_stride,
                           uint known, uint visible, float scale, uint simd, uint lane,
                           thread typename K::Raw *early_key, thread typename V::Raw *early_value,
                           thread float &top, thread float &sum, thread float *acc)
{
    constexpr uint SLOTS = 32u / LANES, MINE = D / LANES, PIECES = MINE / W;
    const uint slot = lane / LANES, first = simd * SLOTS + slot;
    // What was preloaded; rows that this run wrote are loaded now.
    FOUNDRY_UNROLL
    for (uint a = 0u; a < PRE; a++) {
        const uint s = first + a * SIMDS * SLOTS;
        if (s >= known && s < visible) {
            attention_fetch<K, D, LANES, W>(k + s * k_stride, lane, early_key + a * PIECES);
            attention_fetch<V, D, LANES, W>(v + s * v_stride, lane, early_value + a * PIECES);
        }
    }
    FOUNDRY_UNROLL
    for (uint a = 0u; a < PRE; a += AHEAD) {
        const uint s = first + a * SIMDS * SLOTS;
        if (s - slot < visible) {
            attention_weigh<K, V, D, LANES, W, SIMDS, AHEAD>(q, early_key + a * PIECES, early_value + a * PIECES, s, visible, scale, top, sum, acc);
        }
    }
    // All of a round's loads go out before the first is used. Keys are dealt out
    // one a slot over the whole threadgroup, so that few keys keep all busy.
    for (uint base = first + PRE * SIMDS * SLOTS; base - slot < visible; base += SIMDS * SLOTS * AHEAD) {
        typename K::Raw key[AHEAD * PIECES];
        typename V::Raw value[AHEAD * PIECES];
        FOUNDRY_UNROLL
        for (uint a = 0u; a < AHEAD; a++) {
            const uint s = min(base + a * SIMDS * SLOTS, visible - 1u);
            attention_fetch<K, D, LANES, W>(k + s * k_stride, lane, key + a * PIECES);
            attention_fetch<V, D, LANES, W>(v + s * v_stride, lane, value + a * PIECES);
        }
        attention_weigh<K, V, D, LANES, W, SIMDS, AHEAD>(q, key, value, base, visible, scale, top, sum, acc);
    }
    FOUNDRY_UNROLL
    for (uint o = LANES; o < 32u; o <<= 1) {
        const float other = simd_shuffle_xor(top, ushort(o));
        const float peak = max(top, other);
        const float mine = exp2(top - peak), theirs = exp2(other - peak);
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
    const float part = exp2(mine - peak);
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
