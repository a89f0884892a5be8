// Main: R rows of a weight matrix against M vectors, by one simdgroup, or by
// several that share the rows' chunks.
//
// Inputs: row[0..R-1], the rows' first bytes in weight format W; x, an operand
// with at4(m, k) and at1(m, k); chunks BEGIN to BEGIN + CHUNKS - 1 of the rows,
// where chunk BEGIN meets x at k = 0. Output: acc[m * R + r] grows by the
// lane's share of the dot product of row r and vector m, in float; gemv_sum
// turns the shares into sums in every lane. Chunks go in turn to LANES lanes, 32
// of each simdgroup that shares the rows (lane counts through them), so a
// simdgroup reads 32 adjacent chunks. The first PRE rounds are loaded to raw by
// gemv_preload before the ready point and used by gemv_preloaded; gemv_accumulate
// does the others. Where simdgroups share rows, gemv_share adds up their sums in
// threadgroup memory: 4 * N bytes a simdgroup.
template <typename W, uint R, uint LANES, uint CHUNKS, uint PRE>
inline void gemv_preload(device const uchar *const thread *row, uint lane, thread typename W::Raw *raw)
{
    FOUNDRY_UNROLL
    for (uint i = 0u; i < PRE; i++) {
        const uint c = i * LANES + lane;
        FOUNDRY_UNROLL
        for (uint r = 0u; r < R; r++) raw[i * R + r] = W::fetch(row[r], min(c, CHUNKS - 1u));
    }
}

template <typename W, typename X, uint R, uint M>
inline void gemv_chunk(thread const typename W::Raw *raw, X x, uint c, thread float *acc)
{
    FOUNDRY_UNROLL
    for (uint r = 0u; r < R; r++) {
        float w[W::WIDTH];
        if (W::SCALED) W::levels(raw[r], w);
        else W::expand(raw[r], w);
        FOUNDRY_UNROLL
        for (uint m = 0u; m < M; m++) {
            float sum = W::SCALED ? 0.0f : acc[m * R + r];
            if (W::WIDTH == 1u) {
                sum = fma(w[0], x.at1(m, W::position(c, 0u)), sum);
            } else {
                FOUNDRY_UNROLL
                for (uint q = 0u; q < W::WIDTH / 4u; q++) {
                    const float4 v = x.at4(m, W::position(c, q));
                    sum = fma(w[4u * q], v.x, sum);
                    sum = fma(w[4u * q + 1u], v.y, sum);
                    sum = fma(w[4u * q + 2u], v.z, sum);
                    sum = fma(w[4u * q + 3u], v.w, sum);
                }
            }
            acc[m * R + r] = W::SCALED ? fma(W::scale(raw[r]), sum, acc[m * R + r]) : sum;
        }
    }
}

template <typename W, typename X, uint R, uint M, uint LANES, uint CHUNKS, uint PRE>
inline void gemv_preloaded(uint lane, thread const typename W::Raw *raw, X x, thread float *acc)
{
    FOUNDRY_UNROLL
    for (uint i = 0u; i < PRE; i++) {
        const uint c = i * LANES + lane;
        if (c < CHUNKS) gemv_chunk<W, X, R, M>(raw + i * R, x, c, acc);
    }
}

// AHEAD rounds are loaded before the first of them is used.
template <typename W, typename X, uint R, uint M, uint LANES, uint BEGIN, uint CHUNKS, uint PRE, uint AHEAD>
inline void gemv_accumulate(device const uchar *const thread *row, uint lane, X x, thread float *acc)
{
    for (uint first = PRE * LANES + lane; first < CHUNKS; first += AHEAD * LANES) {
        typename W::Raw next[AHEAD * R];
        FOUNDRY_UNROLL
        for (uint i = 0u; i < AHEAD; i++) {
            const uint c = BEGIN + min(first + i * LANES, CHUNKS - 1u);
            FOUNDRY_UNROLL
            for (uint r = 0u; r < R; r++) next[i * R + r] = W::fetch(row[r], c);
        }
        FOUNDRY_UNROLL
        for (uint i = 0u; i < AHEAD; i++) {
            const uint c = first + i * LANES;
            if (c < CHUNKS) gemv_chunk<W, X, R, M>(next + i * R, x, c, acc);
        }
    }
}

template <uint N>
inline void gemv_sum(thread float *acc)
{
    FOUNDRY_UNROLL
    for (uint i = 0u; i < N; i++) acc[i] = simd_sum(acc[i]);
}

// gemv_share adds the N sums of the SHARE simdgroups from simd - part on; every
// thread of the threadgroup calls, simdgroups of part 0 get the result.
template <uint N, uint SHARE>
inline void gemv_share(thread float *acc, threadgroup float *shared, uint simd, uint part, uint lane)
{
    if (part > 0u && lane == 0u) {
        FOUNDRY_UNROLL
        for (uint i = 0u; i < N; i++) shared[simd * N + i] = acc[i];
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    if (part > 0u) return;
    FOUNDRY_UNROLL
    for (uint i = 0u; i < N; i++) {
        for (uint s = 1u; s < SHARE; s++) acc[i] += shared[(simd + s) * N + i];
    }
}

// gemv_pick returns acc[STEP * i] without an indexed register.
template <uint N, uint STEP>
inline float gemv_pick(thread const float *acc, uint i)
{
    float v = acc[0];
    FOUNDRY_UNROLL
    for (uint j = 1u; j < N; j++) v = j == i ? acc[STEP * j] : v;
    return v;
}
