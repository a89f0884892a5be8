// Main: softmax of one row by one threadgroup of SIMDS simdgroups.
//
// x and y are rows of n floats; columns from visible on become 0 (visible is at
// least 1). Maximum and sum are taken in one pass: each thread keeps a running
// maximum and the sum of exponentials under it. Threadgroup bytes: 4 * 2 * SIMDS.
template <uint SIMDS>
inline void softmax_row(device const float *x, device float *y, uint n, uint visible, threadgroup float *shared, uint simd, uint lane)
{
    const uint thread_index = simd * 32u + lane;
    float top = -3.0e38f, sum = 0.0f;
    for (uint i = thread_index; i < visible; i += SIMDS * 32u) {
        const float v = x[i], peak = max(top, v);
        sum = sum * exp(top - peak) + exp(v - peak);
        top = peak;
    }
    const float peak = threadgroup_max<SIMDS>(top, shared, simd, lane);
    const float total = threadgroup_sum<SIMDS>(sum * exp(top - peak), shared + SIMDS, simd, lane);
    for (uint i = thread_index; i < n; i += SIMDS * 32u) y[i] = i < visible ? exp(x[i] - peak) / total : 0.0f;
}
