// Main, a part of gemm: norms of heads behind a product in tiles. A head's columns lie in
// runs of 32, two tiles beside each other. Each simdgroup leaves the sums of the squares of
// its runs in threadgroup memory, STEPS a head for each row of the block; behind a barrier
// lanes add up those of their head.

// The lanes of a simdgroup, two a row, square the 16 rows of a run that are spread at rows
// of stride floats, times factor, and leave a sum a row at squares, apart by step floats.
inline void gemm_head_squares(threadgroup const float *spread, uint stride, float factor, uint lane, threadgroup float *squares, uint step)
{
    float sum = 0.0f;
    for (uint i = 0u; i < 16u; i++) {
        const float x = spread[lane / 2u * stride + lane % 2u * 16u + i] * factor;
        sum += x * x;
    }
    sum += simd_shuffle_xor(sum, ushort(1));
    if (lane % 2u == 0u) squares[lane / 2u * step] = sum;
}

template <uint STEPS>
inline float gemm_head_scale(threadgroup const float *squares, float eps)
{
    float sum = 0.0f;
    for (uint i = 0u; i < STEPS; i++) sum += squares[i];
    return rsqrt(sum * (1.0f / float(32u * STEPS)) + eps);
}
