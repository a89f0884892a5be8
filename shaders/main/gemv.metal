// Main: R rows of a weight matrix against M vectors, by a team of lanes, or by
// several teams that share the rows' chunks.
//
// A team is a simdgroup, or half of one where rows have chunks for no more lanes.
// Inputs: row[0..R-1], the rows' first bytes in weight format W; x, an operand as
// prologue/staged.metal says; chunks BEGIN to BEGIN + CHUNKS - 1 of the rows,
// where chunk BEGIN meets x at k = 0. Output: acc[m * R + r] grows by the
// lane's share of the dot product of row r and vector m, in float; gemv_sum
// turns the shares into sums in every lane of the team. Chunks go in turn to LANES
// lanes, SEATS of each team that shares the rows (lane counts through them), so a
// team reads SEATS adjacent chunks. The first PRE rounds are loaded to raw by
// gemv_preload before the ready point and used by gemv_preloaded; gemv_accumulate
// does the others. Where teams share rows, gemv_share adds up their sums in
// threadgroup memory: 4 * N bytes a team.
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

// gemv_chunk adds what a chunk of R rows has of M products. Floats meet x one by
// one. A group of levels (prologue/blocks.metal) meets it first, its factor then
// meets the group's sum, and its offset the sum of x, which all rows share.
template <uint GROUPS>
struct gemv_meeting {
    template <typename W, typename X, uint R, uint M>
    static void add(thread const typename W::Raw *raw, X x, uint c, thread float *acc)
    {
        constexpr uint QUADS = W::WIDTH / 4u / GROUPS;
        FOUNDRY_UNROLL
        for (uint g = 0u; g < GROUPS; g++) {
            float sum[M * R];
            FOUNDRY_UNROLL
            for (uint i = 0u; i < M * R; i++) sum[i] = 0.0f;
            FOUNDRY_UNROLL
            for (uint q = g * QUADS; q < (g + 1u) * QUADS; q++) {
                FOUNDRY_UNROLL
                for (uint i = 0u; q == g * QUADS + QUADS / 2u && i < M * R; i++) sum[i] = W::risen(sum[i]);
                float4 v[M];
                FOUNDRY_UNROLL
                for (uint m = 0u; m < M; m++) v[m] = x.template quad<W>(m, c, q);
                FOUNDRY_UNROLL
                for (uint r = 0u; r < R; r++) {
                    const float4 w = W::quad(raw[r], q);
                    FOUNDRY_UNROLL
                    for (uint m = 0u; m < M; m++) sum[m * R + r] = fma(w.w, v[m].w, fma(w.z, v[m].z, fma(w.y, v[m].y, fma(w.x, v[m].x, sum[m * R + r]))));
                }
            }
            float all[M];
            FOUNDRY_UNROLL
            for (uint m = 0u; m < M; m++) all[m] = W::OFFSETS ? x.template sum<W>(m, c, g) : 0.0f;
            FOUNDRY_UNROLL
            for (uint r = 0u; r < R; r++) {
                const float2 f = W::factors(raw[r], g);
                FOUNDRY_UNROLL
                for (uint m = 0u; m < M; m++) {
                    acc[m * R + r] = fma(f.x, sum[m * R + r], acc[m * R + r]);
                    if (W::OFFSETS) acc[m * R + r] = fma(-f.y, all[m], acc[m * R + r]);
                }
            }
        }
    }
};

template <>
struct gemv_meeting<0u> {
    template <typename W, typename X, uint R, uint M>
    static void add(thread const typename W::Raw *raw, X x, uint c, thread float *acc)
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
                        const float4 v = x.template quad<W>(m, c, q);
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
};

template <typename W, typename X, uint R, uint M>
inline void gemv_chunk(thread const typename W::Raw *raw, X x, uint c, thread float *acc)
{
    gemv_meeting<W::GROUPS>::template add<W, X, R, M>(raw, x, c, acc);
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

// AHEAD rounds are loaded before the first of them is used. Where rounds are whole, no
// lane asks whether it has a chunk, and a compiler sees that a lane's place within a
// block is the same in every round.
template <typename W, typename X, uint R, uint M, uint LANES, uint BEGIN, uint CHUNKS, uint PRE, uint AHEAD>
inline void gemv_accumulate(device const uchar *const thread *row, uint lane, X x, thread float *acc)
{
    constexpr bool WHOLE = CHUNKS % LANES == 0u && (CHUNKS / LANES - PRE) % AHEAD == 0u;
    for (uint round = PRE; WHOLE ? round < CHUNKS / LANES : round * LANES + lane < CHUNKS; round += AHEAD) {
        typename W::Raw next[AHEAD * R];
        FOUNDRY_UNROLL
        for (uint i = 0u; i < AHEAD; i++) {
            const uint c = (round + i) * LANES + lane;
            FOUNDRY_UNROLL
            for (uint r = 0u; r < R; r++) next[i * R + r] = W::fetch(row[r], BEGIN + (WHOLE ? c : min(c, CHUNKS - 1u)));
        }
        FOUNDRY_UNROLL
        for (uint i = 0u; i < AHEAD; i++) {
            const uint c = (round + i) * LANES + lane;
            if (WHOLE || c < CHUNKS) gemv_chunk<W, X, R, M>(next + i * R, x, c, acc);
        }
    }
}

template <uint N, uint SEATS>
inline void gemv_sum(thread float *acc)
{
    FOUNDRY_UNROLL
    for (uint i = 0u; i < N; i++) {
        if (SEATS == 32u) {
            acc[i] = simd_sum(acc[i]);
            continue;
        }
        FOUNDRY_UNROLL
        for (uint o = SEATS / 2u; o > 0u; o /= 2u) acc[i] += simd_shuffle_xor(acc[i], ushort(o));
    }
}

// gemv_share adds the N sums of SHARE teams; the shares of a set of rows are those of
// simdgroups that stand beside each other, each with TEAMS teams, and place counts
// through all teams of the threadgroup. Every thread of the threadgroup calls, teams of
// share 0 get the result.
template <uint N, uint SHARE, uint TEAMS>
inline void gemv_share(thread float *acc, threadgroup float *shared, uint place, uint share, uint seat)
{
    if (share > 0u && seat == 0u) {
        FOUNDRY_UNROLL
        for (uint i = 0u; i < N; i++) shared[place * N + i] = acc[i];
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    if (share > 0u) return;
    FOUNDRY_UNROLL
    for (uint i = 0u; i < N; i++) {
        for (uint s = 1u; s < SHARE; s++) acc[i] += shared[(place + s * TEAMS) * N + i];
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
