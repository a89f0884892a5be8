// Prologue: weights of q5_k, blocks of 256 in 176 bytes: as q4_k, with 32 bytes
// between the scales and the halves: bit j of byte i is the fifth bit of level i
// of run j. A chunk is the halves of 8 bytes. The contract is that of
// prologue/blocks.metal.
struct weight_q5_k {
    enum : uint { WIDTH = 16, SCALED = 0 };
    struct Raw {
        uint2 halves;
        uint2 fifth; // of the first run in bit 0 of each byte, of the second in bit 1
        uint scale;
        uint packed;
    };
    static Raw fetch(device const uchar *row, uint c)
    {
        device const uchar *block = row + c / 16u * 176u;
        const uint pair = c % 16u / 4u;
        const uint4 head = *(device const uint4 *)block;
        Raw r;
        r.halves = *(device const uint2 *)(block + 48u + c % 16u * 8u);
        r.fifth = *(device const uint2 *)(block + 16u + c % 4u * 8u) >> (2u * pair);
        r.scale = head.x;
        r.packed = k_packed(head, pair);
        return r;
    }
    static uint first_run(uint halves, uint fifth) { return low_halves(halves) | (fifth & 0x01010101u) << 4; }
    static uint second_run(uint halves, uint fifth) { return high_halves(halves) | (fifth & 0x02020202u) << 3; }
    static void expand(Raw r, thread float *w)
    {
        const float4 f = k_factors(r.scale, r.packed);
        put4(w, fma(levels4(first_run(r.halves.x, r.fifth.x), 0.0f), float4(f.x), float4(-f.y)));
        put4(w + 4, fma(levels4(first_run(r.halves.y, r.fifth.y), 0.0f), float4(f.x), float4(-f.y)));
        put4(w + 8, fma(levels4(second_run(r.halves.x, r.fifth.x), 0.0f), float4(f.z), float4(-f.w)));
        put4(w + 12, fma(levels4(second_run(r.halves.y, r.fifth.y), 0.0f), float4(f.z), float4(-f.w)));
    }
    static float scale(Raw) { return 1.0f; }
    static void levels(Raw r, thread float *w) { expand(r, w); }
    static uint position(uint c, uint q)
    {
        return 64u * (c / 4u) + 8u * (c % 4u) + 32u * (q / 2u) + 4u * (q % 2u);
    }
};

inline float4 dequant4_q5_k(device const uchar *row, uint k)
{
    device const uchar *block = row + k / 256u * 176u;
    const uint pair = k % 256u / 64u, second = k % 64u / 32u;
    const uint4 head = *(device const uint4 *)block;
    const float4 f = k_factors(head.x, k_packed(head, pair));
    const float2 s = second == 0u ? float2(f.x, f.y) : float2(f.z, f.w);
    const uint v = word_at4(block + 48u + 32u * pair + k % 32u) >> (4u * second);
    const uint fifth = word_at4(block + 16u + k % 32u) >> (2u * pair + second);
    return levels4(low_halves(v) | (fifth & 0x01010101u) << 4, 0.0f) * s.x - s.y;
}
