// Prologue: an operand of a GEMV main, staged in threadgroup memory or read
// where it lies.
//
// An operand has quad<W>(m, c, q): the elements of vector m that quad q of chunk c
// of format W meets; sum<W>(m, c, g), the sum of those that group g of it meets;
// at1(m, k) is one element.
//
// Staged operands hold M vectors of STRIDE floats, STRIDE a multiple of 8, in
// quads of four; quad q lies at q ^ ((q >> 3) & 1), so that lanes that read every
// second quad (weights come eight to a lane) meet no bank twice, and lanes that
// read every quad do not either. It is written as a sum, so that rounds of 32 lanes
// differ by a constant. Threadgroup bytes: 4 * M * STRIDE.
inline uint staged_quad(uint q) { return (q & ~1u) + ((q ^ (q >> 3)) & 1u); }

inline void staged_store4(threadgroup float *x, uint k, float4 v)
{
    *(threadgroup float4 *)(x + 4u * staged_quad(k >> 2)) = v;
}

inline void staged_store1(threadgroup float *x, uint k, float v)
{
    x[4u * staged_quad(k >> 2) + (k & 3u)] = v;
}

template <typename W, typename X>
inline float sum_of_group(X x, uint m, uint c, uint g)
{
    constexpr uint QUADS = W::WIDTH / 4u / (W::GROUPS == 0u ? 1u : W::GROUPS);
    float sum = 0.0f;
    FOUNDRY_UNROLL
    for (uint q = 0u; q < QUADS; q++) {
        const float4 v = x.template quad<W>(m, c, g * QUADS + q);
        sum += (v.x + v.y) + (v.z + v.w);
    }
    return sum;
}

template <uint STRIDE>
struct StagedOperand {
    threadgroup const float *x;
    float4 at4(uint m, uint k) const { return *(threadgroup const float4 *)(x + m * STRIDE + 4u * staged_quad(k >> 2)); }
    float at1(uint m, uint k) const { return x[m * STRIDE + 4u * staged_quad(k >> 2) + (k & 3u)]; }
    template <typename W>
    float4 quad(uint m, uint c, uint q) const { return at4(m, W::position(c, q)); }
    template <typename W>
    float sum(uint m, uint c, uint g) const { return sum_of_group<W>(*this, m, c, g); }
};

// Operands staged in chunks hold M vectors of STRIDE floats in the order in which
// chunks of 32 weights meet them, eight quads and a gap for each, so that lanes at
// one quad of adjacent chunks meet no bank twice; format W's place(quad) says which
// quad of a row comes where. chunked_store puts elements from own + round * STEP on. Places
// of all formats repeat every 64 elements, so where STEP is a multiple of them, rounds differ
// by a constant. For formats with offsets the gap holds the sums of the chunk's first four
// and last four quads: chunked_sums, called by THREADS threads behind a barrier and before
// another, makes those of N chunks. Threadgroup bytes: 4 * M * STRIDE, 36 floats a
// chunk.
struct chunk_gaps { enum : uint { QUADS = 8, FLOATS = 36, PERIOD = 64 }; };

template <typename W>
inline uint chunked_at(uint k)
{
    const uint place = W::place(k >> 2);
    return 4u * (place + place / chunk_gaps::QUADS) + (k & 3u);
}

template <typename W, uint STEP>
inline uint chunked_at(uint own, uint round)
{
    if (STEP % chunk_gaps::PERIOD != 0u) return chunked_at<W>(own + round * STEP);
    return chunked_at<W>(own) + round * (STEP / (4u * chunk_gaps::QUADS) * chunk_gaps::FLOATS);
}

template <typename W, uint STEP>
inline void chunked_store1(threadgroup float *x, uint own, uint round, float v) { x[chunked_at<W, STEP>(own, round)] = v; }

template <typename W, uint STEP>
inline void chunked_store4(threadgroup float *x, uint own, uint round, float4 v)
{
    *(threadgroup float4 *)(x + chunked_at<W, STEP>(own, round)) = v;
}

// Sum i of those in gaps, two of each chunk.
inline void chunked_sum(threadgroup float *x, uint i)
{
    threadgroup float *chunk = x + i / 2u * chunk_gaps::FLOATS;
    float sum = 0.0f;
    FOUNDRY_UNROLL
    for (uint q = 0u; q < chunk_gaps::QUADS / 2u; q++) {
        const float4 v = *(threadgroup const float4 *)(chunk + i % 2u * (2u * chunk_gaps::QUADS) + 4u * q);
        sum += (v.x + v.y) + (v.z + v.w);
    }
    chunk[4u * chunk_gaps::QUADS + i % 2u] = sum;
}

template <uint N, uint THREADS>
inline void chunked_sums(threadgroup float *x, uint thread_index)
{
    if (2u * N <= THREADS) {
        if (thread_index < 2u * N) chunked_sum(x, thread_index);
        return;
    }
    for (uint i = thread_index; i < 2u * N; i += THREADS) chunked_sum(x, i);
}

template <uint STRIDE>
struct ChunkedOperand {
    threadgroup const float *x;
    template <typename W>
    float4 quad(uint m, uint c, uint q) const
    {
        return *(threadgroup const float4 *)(x + m * STRIDE + c * chunk_gaps::FLOATS + 4u * q);
    }
    template <typename W>
    float sum(uint m, uint c, uint g) const
    {
        threadgroup const float *gap = x + m * STRIDE + c * chunk_gaps::FLOATS + 4u * chunk_gaps::QUADS;
        return W::GROUPS == 1u ? gap[0] + gap[1] : gap[g];
    }
};

// Vectors in device memory, STRIDE floats apart; only the first `rows` exist.
template <uint STRIDE>
struct DeviceOperand {
    device const float *x;
    uint rows;
    float4 at4(uint m, uint k) const { return *(device const float4 *)(x + min(m, rows - 1u) * STRIDE + k); }
    float at1(uint m, uint k) const { return x[min(m, rows - 1u) * STRIDE + k]; }
    template <typename W>
    float4 quad(uint m, uint c, uint q) const { return at4(m, W::position(c, q)); }
    template <typename W>
    float sum(uint m, uint c, uint g) const { return sum_of_group<W>(*this, m, c, g); }
};
