// Main: R rows of a weight matrix against M vectors, by one simdgroup.
//
// Inputs: row[0..R-1], the rows' first bytes in weight format W; x, an operand
// with at4(m, k) and at1(m, k); chunks BEGIN to BEGIN + CHUNKS - 1 of the rows,
// where chunk BEGIN meets x at k = 0. Output: acc[m * R + r] grows by the
// lane's share of the dot product of row r and vector m, in float; gemv_sum
// turns the shares into sums in every lane. Chunks go to lanes in turn, so a
// simdgroup reads 32 adjacent chunks. The first PRE rounds are loaded to raw by
// gemv_preload before the ready point and used by gemv_preloaded; gemv_accumulate
// does the others. No threadgroup memory.
template <typename W, uint R, uint CHUNKS, uint PRE>
inline void gemv_preload(device const uchar *const thread *row, uint lane, thread typename W::Raw *raw)
{
    FOUNDRY_UNROLL
    for (uint i = 0u; i < PRE; i++) {
        const uint c = i * 32u + lane;
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
        W::expand(raw[r], w);
        FOUNDRY_UNROLL
        for (uint m = 0u; m < M; m++) {
            float sum = acc[m * R + r];
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
            acc[m * R + r] = sum;
        }
    }
}

template <typename W, typename X, uint R, uint M, uint CHUNKS, uint PRE>
inline void gemv_preloaded(uint lane, thread const typename W::Raw *raw, X x, thread float *acc)
{
    FOUNDRY_UNROLL
    for (uint i = 0u; i < PRE; i++) {
        const uint c = i * 32u + lane;
        if (c < CHUNKS) gemv_chunk<W, X, R, M>(raw + i * R, x, c, acc);
    }
}

template <typename W, typename X, uint R, uint M, uint BEGIN, uint CHUNKS, uint PRE>
inline void gemv_accumulate(device const uchar *const thread *row, uint lane, X x, thread float *acc)
{
    for (uint c = PRE * 32u + lane; c < CHUNKS; c += 32u) {
        typename W::Raw next[R];
        FOUNDRY_UNROLL
        for (uint r = 0u; r < R; r++) next[r] = W::fetch(row[r], BEGIN + c);
        gemv_chunk<W, X, R, M>(next, x, c, acc);
    }
}

template <uint N>
inline void gemv_sum(thread float *acc)
{
    FOUNDRY_UNROLL
    for (uint i = 0u; i < N; i++) acc[i] = simd_sum(acc[i]);
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
