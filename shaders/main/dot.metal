// Main: batched products of a head's rows, for attention in separate steps.
//
// dot_rows: one thread computes scale times the dot product of two rows of K
// elements, four at a time where W is 4 (both rows then start at multiples of
// four). column_sum: SIMDS simdgroups share the rows of b; a thread sums a[k] *
// b[k * stride] over every SIMDS-th k from its simdgroup's on, and the shares are
// added in threadgroup memory (4 * SIMDS * 32 bytes); the result stands in
// simdgroup 0. Products and sums are float.
template <typename E, uint K, uint W>
inline float dot_rows(device const float *a, device const E *b)
{
    float sum = 0.0f;
    for (uint k = 0u; k < K; k += W) {
        if (W == 4u) {
            const float4 x = load4(a + k), y = load4(b + k);
            sum = fma(x.x, y.x, sum);
            sum = fma(x.y, y.y, sum);
            sum = fma(x.z, y.z, sum);
            sum = fma(x.w, y.w, sum);
        } else {
            sum = fma(load1(a + k), load1(b + k), sum);
        }
    }
    return sum;
}

template <typename E, uint SIMDS>
inline float column_sum(device const float *a, device const E *b, uint stride, uint rows, threadgroup float *shared, uint simd, uint lane)
{
    float sum = 0.0f;
    for (uint k = simd; k < rows; k += SIMDS) sum = fma(a[k], load1(b + k * stride), sum);
    shared[simd * 32u + lane] = sum;
    threadgroup_barrier(mem_flags::mem_threadgroup);
    sum = 0.0f;
    for (uint i = 0u; i < SIMDS; i++) sum += shared[i * 32u + lane];
    return sum;
}
