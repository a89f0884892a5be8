// Main: softmax of rows: a threadgroup takes a row (the vector form), or a segment
// of one, and what the segments found is merged (the block form).
//
// A row is read in chunks of Row::WIDTH elements; load(c, w) reads chunk c whole,
// and position(c, q) is the place in the row of the four elements w[4q..4q+3],
// which may stand before its beginning (as a uint beyond any end) or behind its
// end; those count as absent. Columns from visible on become 0 (visible is at least
// 1). The maximum and the sum of exponentials under it are found in one pass.

// Elements of T at x[skew] .. x[skew + n - 1], where x is a multiple of four
// elements: chunks are aligned wherever the row begins.
template <typename T>
struct SoftmaxRow {
    enum : uint { WIDTH = 4 };
    device const T *x;
    uint skew, n;
    void load(uint c, thread float *w) const
    {
        const uint first = 4u * c, end = skew + n;
        if (first >= skew && first + 4u <= end) {
            const float4 v = load4(x + first);
            for (uint j = 0u; j < 4u; j++) w[j] = v[j];
        } else {
            for (uint j = 0u; j < 4u; j++) w[j] = first + j >= skew && first + j < end ? load1(x + first + j) : 0.0f;
        }
    }
    uint position(uint c, uint) const { return 4u * c - skew; }
};

// A row of blocks, of the format that prologue/dequant_f16.metal describes.
template <typename W>
struct SoftmaxBlocks {
    enum : uint { WIDTH = W::WIDTH };
    device const uchar *x;
    void load(uint c, thread float *w) const { W::expand(W::fetch(x, c), w); }
    uint position(uint c, uint q) const { return W::position(c, q); }
};

// Takes the largest value and the sum under it of another set into the thread's.
inline void softmax_take(thread float &top, thread float &sum, float value, float under)
{
    const float peak = max(top, value);
    sum = sum * exp(top - peak) + under * exp(value - peak);
    top = peak;
}

// The maximum and the sum of chunks begin to end - 1, for every thread. shared: 2 *
// SIMDS floats of threadgroup memory.
template <uint SIMDS, typename Row>
inline float2 softmax_range(Row row, uint begin, uint end, uint visible, threadgroup float *shared, uint simd, uint lane)
{
    float top = -FLT_MAX, sum = 0.0f;
    float w[Row::WIDTH];
    for (uint c = begin + simd * 32u + lane; c < end; c += SIMDS * 32u) {
        row.load(c, w);
        float peak = top;
        for (uint q = 0u; q < Row::WIDTH / 4u; q++) {
            const uint at = row.position(c, q);
            for (uint j = 0u; j < 4u; j++) {
                if (at + j >= visible) w[4u * q + j] = -INFINITY;
                peak = max(peak, w[4u * q + j]);
            }
        }
        float under = 0.0f;
        for (uint j = 0u; j < Row::WIDTH; j++) under += exp(w[j] - peak);
        sum = sum * exp(top - peak) + under;
        top = peak;
    }
    const float peak = threadgroup_max<SIMDS>(top, shared, simd, lane);
    return float2(peak, threadgroup_sum<SIMDS>(sum * exp(top - peak), shared + SIMDS, simd, lane));
}

// Merges what count segments found, as softmax_range does elements.
template <uint SIMDS>
inline float2 softmax_merge(device const float *tops, device const float *sums, uint count, threadgroup float *shared, uint simd, uint lane)
{
    float top = -FLT_MAX, sum = 0.0f;
    for (uint i = simd * 32u + lane; i < count; i += SIMDS * 32u) softmax_take(top, sum, tops[i], sums[i]);
    const float peak = threadgroup_max<SIMDS>(top, shared, simd, lane);
    return float2(peak, threadgroup_sum<SIMDS>(sum * exp(top - peak), shared + SIMDS, simd, lane));
}

// Writes chunks begin to end - 1 of the row of n floats at y + at, y being a
// multiple of four floats. found is the row's maximum and sum.
template <uint SIMDS, typename Row>
inline void softmax_write(Row row, uint begin, uint end, uint n, uint visible, float2 found, device float *y, uint at, uint simd, uint lane)
{
    float w[Row::WIDTH];
    for (uint c = begin + simd * 32u + lane; c < end; c += SIMDS * 32u) {
        row.load(c, w);
        for (uint q = 0u; q < Row::WIDTH / 4u; q++) {
            const uint place = row.position(c, q);
            float4 v;
            for (uint j = 0u; j < 4u; j++) v[j] = place + j < visible ? exp(w[4u * q + j] - found.x) / found.y : 0.0f;
            if (place < n && place + 4u <= n && ((at + place) & 3u) == 0u) {
                *(device float4 *)(y + at + place) = v;
            } else {
                for (uint j = 0u; j < 4u; j++)
                    if (place + j < n) y[at + place + j] = v[j];
            }
        }
    }
}
