// Main: a block of BM vectors against BN rows of weights, by four simdgroups.
//
// The block walks K in steps of BK elements, in the order in which the weight
// format W yields them: step s covers chunks s * BK / WIDTH on, and element e of
// the step's chunk c is element position(c, e / 4) + e % 4 of the row. The vectors
// are staged in that order by the kernel's prologue (rows of a, STRIDE apart), the
// weights by gemm_stage (rows of b). gemm_step multiplies; each simdgroup owns
// BM / 2 x BN / 2 of the block as 16x16 tiles. Operands are of type E, sums are
// float. STRIDE is BK + 8, so that rows start at different banks.
// Threadgroup bytes: (BM + BN) * STRIDE * sizeof(E), or 4 * BM * (BN + 4) for the
// sums, whichever is more; gemm_store leaves those in the same place.
template <typename W, typename E, uint CHUNKS, uint BN, uint BK, uint THREADS>
inline void gemm_stage(device const uchar *const thread *row, uint step, threadgroup E *b, uint thread_index)
{
    constexpr uint WIDTH = W::WIDTH, PER = BK / WIDTH, STRIDE = BK + 8u, EACH = BN * PER / THREADS;
    const uint c = thread_index % PER;
    FOUNDRY_UNROLL
    for (uint r = 0u; r < EACH; r++) {
        threadgroup E *to = b + (thread_index / PER + r * (THREADS / PER)) * STRIDE + c * WIDTH;
        float w[WIDTH];
        if (step * PER + c < CHUNKS) {
            W::expand(W::fetch(row[r], step * PER + c), w);
        } else {
            FOUNDRY_UNROLL
            for (uint i = 0u; i < WIDTH; i++) w[i] = 0.0f;
        }
        FOUNDRY_UNROLL
        for (uint i = 0u; i < WIDTH; i++) to[i] = E(w[i]);
    }
}

template <typename E>
inline void gemm_put1(threadgroup E *p, float v) { p[0] = E(v); }

template <typename E>
inline void gemm_put4(threadgroup E *p, float4 v)
{
    p[0] = E(v.x);
    p[1] = E(v.y);
    p[2] = E(v.z);
    p[3] = E(v.w);
}

template <typename E, uint BM, uint BN, uint BK>
inline void gemm_step(threadgroup const E *a, threadgroup const E *b, uint simd, thread tile<float> *c)
{
    constexpr uint STRIDE = BK + 8u, DOWN = BM / 32u, ACROSS = BN / 32u;
    threadgroup const E *mine = a + (simd / 2u) * (BM / 2u) * STRIDE;
    threadgroup const E *rows = b + (simd % 2u) * (BN / 2u) * STRIDE;
    FOUNDRY_UNROLL
    for (uint k = 0u; k < BK; k += 16u) {
        tile<E> x[DOWN], w[ACROSS];
        FOUNDRY_UNROLL
        for (uint i = 0u; i < DOWN; i++) tile_load(x[i], mine + 16u * i * STRIDE + k, STRIDE);
        FOUNDRY_UNROLL
        for (uint j = 0u; j < ACROSS; j++) tile_load_transposed(w[j], rows + 16u * j * STRIDE + k, STRIDE);
        FOUNDRY_UNROLL
        for (uint i = 0u; i < DOWN; i++) {
            FOUNDRY_UNROLL
            for (uint j = 0u; j < ACROSS; j++) tile_multiply_accumulate(c[i * ACROSS + j], x[i], w[j]);
        }
    }
}

template <uint BM, uint BN>
inline void gemm_store(thread const tile<float> *c, threadgroup float *sums, uint simd)
{
    constexpr uint DOWN = BM / 32u, ACROSS = BN / 32u, STRIDE = BN + 4u;
    FOUNDRY_UNROLL
    for (uint i = 0u; i < DOWN * ACROSS; i++) {
        const uint m = (simd / 2u) * (BM / 2u) + 16u * (i / ACROSS), n = (simd % 2u) * (BN / 2u) + 16u * (i % ACROSS);
        tile_store(c[i], sums + m * STRIDE + n, STRIDE);
    }
}
