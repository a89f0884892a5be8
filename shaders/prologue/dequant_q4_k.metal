// Prologue: weights of q4_k, blocks of 256 in 144 bytes: scales and minima as
// prologue/k_scales.metal says, then 128 bytes; the low halves of each 32 of them
// are a run of 32 levels, the high halves the next run; a weight is factor *
// level - offset. A chunk is the halves of 8 bytes. The contract is that of
// prologue/blocks.metal.
struct weight_q4_k {
    enum : uint { WIDTH = 16, SCALED = 0 };
    struct Raw {
        uint2 halves;
        uint scale;
        uint packed;
    };
    static Raw fetch(device const uchar *row, uint c)
    {
        device const uchar *block = row + c / 16u * 144u;
        const uint4 head = *(device const uint4 *)block;
        Raw r;
        r.halves = *(device const uint2 *)(block + 16u + c % 16u * 8u);
        r.scale = head.x;
        r.packed = k_packed(head, c % 16u / 4u);
        return r;
    }
    static void expand(Raw r, thread float *w)
    {
        const float4 f = k_factors(r.scale, r.packed);
        put4(w, fma(levels4(low_halves(r.halves.x), 0.0f), float4(f.x), float4(-f.y)));
        put4(w + 4, fma(levels4(low_halves(r.halves.y), 0.0f), float4(f.x), float4(-f.y)));
        put4(w + 8, fma(levels4(high_halves(r.halves.x), 0.0f), float4(f.z), float4(-f.w)));
        put4(w + 12, fma(levels4(high_halves(r.halves.y), 0.0f), float4(f.z), float4(-f.w)));
    }
    static float scale(Raw) { return 1.0f; }
    static void levels(Raw r, thread float *w) { expand(r, w); }
    static uint position(uint c, uint q)
    {
        return 64u * (c / 4u) + 8u * (c % 4u) + 32u * (q / 2u) + 4u * (q % 2u);
    }
};

inline float4 dequant4_q4_k(device const uchar *row, uint k)
{
    device const uchar *block = row + k / 256u * 144u;
    const uint pair = k % 256u / 64u, second = k % 64u / 32u;
    const uint4 head = *(device const uint4 *)block;
    const float4 f = k_factors(head.x, k_packed(head, pair));
    const float2 s = second == 0u ? float2(f.x, f.y) : float2(f.z, f.w);
    const uint v = word_at4(block + 16u + 32u * pair + k % 32u) >> (4u * second);
    return levels4(low_halves(v), 0.0f) * s.x - s.y;
}
