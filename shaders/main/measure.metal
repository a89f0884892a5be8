// Main: how large the elements of a weight are, and how long its rows.
//
// Rows of K weights in format W, ROW bytes apart; SIMDS simdgroups to a threadgroup, a
// row to a simdgroup at a time. gamma: factors of 1, or K of them. measure_rows
// returns in every lane the largest absolute value (x) of the threadgroup's rows, of
// which there may be none, and the largest Euclidean length (y) of a row times gamma,
// element by element. Where its squares leave the range of floats the length is bounded
// by sqrt(K) times the largest element. NaN counts as nothing. Threadgroup memory:
// 2 * SIMDS floats.
struct measure_plain {
    float at(uint) const { return 1.0f; }
};

struct measure_times {
    device const float *gamma;
    float at(uint k) const { return gamma[k]; }
};

template <typename W, uint K, typename G>
inline float2 measure_row(device const uchar *row, G gamma, uint lane)
{
    float largest = 0.0f, longest = 0.0f, squares = 0.0f;
    for (uint c = lane; c < K / W::WIDTH; c += 32u) {
        float w[W::WIDTH];
        W::expand(W::fetch(row, c), w);
        FOUNDRY_UNROLL
        for (uint i = 0u; i < W::WIDTH; i++) {
            const float v = w[i] * gamma.at(W::WIDTH < 4u ? c : W::position(c, i / 4u) + i % 4u);
            largest = max(largest, fabs(w[i]));
            longest = max(longest, fabs(v));
            squares = fma(v, v, squares);
        }
    }
    squares = simd_sum(squares);
    longest = simd_max(longest) * sqrt(float(K));
    return float2(simd_max(largest), squares > 1.0e-30f && squares < 1.0e37f ? sqrt(squares) : longest);
}

template <typename W, uint K, uint SIMDS, typename G>
inline float2 measure_rows(device const uchar *weight, uint row_bytes, uint rows, G gamma, uint group, uint groups,
                           threadgroup float *shared, uint simd, uint lane)
{
    float2 most = float2(0.0f, 0.0f);
    for (uint r = group * SIMDS + simd; r < rows; r += groups * SIMDS) {
        const float2 v = measure_row<W, K>(weight + ulong(r) * row_bytes, gamma, lane);
        most = float2(max(most.x, v.x), max(most.y, v.y));
    }
    if (lane == 0u) {
        shared[2u * simd] = most.x;
        shared[2u * simd + 1u] = most.y;
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    for (uint s = 0u; s < SIMDS; s++) most = float2(max(most.x, shared[2u * s]), max(most.y, shared[2u * s + 1u]));
    return most;
}
