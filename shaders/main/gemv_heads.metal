// Main, a part of gemv: norms of heads behind a product of rows. The simdgroups of a
// threadgroup leave the squares of each pair of rows in threadgroup memory; behind a
// barrier each lane adds up those of its head. UNITS pairs a head, 2 UNITS elements.
template <uint UNITS>
inline float gemv_head_scale(threadgroup const float *squares, float eps)
{
    float sum = 0.0f;
    for (uint i = 0u; i < UNITS; i++) sum += squares[i];
    return rsqrt(sum * (1.0f / float(2u * UNITS)) + eps);
}
