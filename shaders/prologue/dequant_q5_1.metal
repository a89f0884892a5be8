// Prologue: weights of q5_1, blocks of 32 in 24 bytes: f16 scale, f16 minimum,
// fifth bits and low bits as in q5_0; a weight is scale * level + minimum. A chunk
// is the halves of four bytes. The contract is that of prologue/blocks.metal.
struct weight_q5_1 : block_format<weight_q5_1> {
    enum : uint { WIDTH = 8, OFFSETS = true };
    struct Raw {
        uint halves;
        uint fifth; // of the low halves from bit 0, of the high ones from bit 16
        uint scale; // and minimum
    };
    static Raw fetch(device const uchar *row, uint c)
    {
        device const uchar *block = row + c / 4u * 24u;
        const uint at = c % 4u * 4u;
        const uint2 head = *(device const uint2 *)block;
        Raw r;
        r.scale = head.x;
        r.fifth = head.y >> at;
        r.halves = word_at4(block + 8u + at);
        return r;
    }
    static uint levels(Raw r, uint q)
    {
        return q == 0u ? low_halves(r.halves) | fifth_bits(r.fifth) : high_halves(r.halves) | fifth_bits(r.fifth >> 16);
    }
    static float2 factors(Raw r, uint)
    {
        const float2 s = float2(as_type<half2>(r.scale));
        return float2(s.x, -s.y);
    }
    static uint position(uint c, uint q) { return halves_position(c, q); }
};

inline float4 dequant4_q5_1(device const uchar *row, uint k)
{
    device const uchar *block = row + k / 32u * 24u;
    const uint2 head = *(device const uint2 *)block;
    const uint v = word_at4(block + 8u + k % 16u) >> (k % 32u / 16u * 4u);
    const float2 s = float2(as_type<half2>(head.x));
    return levels4<0u>(low_halves(v) | fifth_bits(head.y >> (k % 32u))) * s.x + s.y;
}
