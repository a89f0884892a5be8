// Prologue: an operand of a GEMV main, staged in threadgroup memory or read
// where it lies.
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

template <uint STRIDE>
struct StagedOperand {
    threadgroup const float *x;
    float4 at4(uint m, uint k) const { return *(threadgroup const float4 *)(x + m * STRIDE + 4u * staged_quad(k >> 2)); }
    float at1(uint m, uint k) const { return x[m * STRIDE + 4u * staged_quad(k >> 2) + (k & 3u)]; }
};

// Vectors in device memory, STRIDE floats apart; only the first `rows` exist.
template <uint STRIDE>
struct DeviceOperand {
    device const float *x;
    uint rows;
    float4 at4(uint m, uint k) const { return *(device const float4 *)(x + min(m, rows - 1u) * STRIDE + k); }
    float at1(uint m, uint k) const { return x[min(m, rows - 1u) * STRIDE + k]; }
};
