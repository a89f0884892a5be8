// Prologue: weights of q5_0, blocks of 32 in 22 bytes: f16 scale, a word whose bit
// i is the fifth bit of level i, 16 bytes of low bits as in q4_0; a weight is
// scale * (level - 16). A chunk is the halves of four bytes. The contract is that
// of prologue/blocks.metal.
struct weight_q5_0 : block_format<weight_q5_0> {
    enum : uint { WIDTH = 8, BIAS = 16 };
    struct Raw {
        uint halves;
        uint fifth; // of the low halves from bit 0, of the high ones from bit 16
        half scale;
    };
    static Raw fetch(device const uchar *row, uint c)
    {
        device const uchar *block = row + c / 4u * 22u;
        const uint at = c % 4u * 4u;
        Raw r;
        r.scale = half_at(block);
        r.fifth = word_at2(block + 2u) >> at;
        r.halves = word_at2(block + 6u + at);
        return r;
    }
    static uint levels(Raw r, uint q)
    {
        return q == 0u ? low_halves(r.halves) | fifth_bits(r.fifth) : high_halves(r.halves) | fifth_bits(r.fifth >> 16);
    }
    static float2 factors(Raw r, uint) { return float2(float(r.scale), 0.0f); }
    static uint position(uint c, uint q) { return halves_position(c, q); }
};

inline float4 dequant4_q5_0(device const uchar *row, uint k)
{
    device const uchar *block = row + k / 32u * 22u;
    const uint v = word_at2(block + 6u + k % 16u) >> (k % 32u / 16u * 4u);
    const uint fifth = word_at2(block + 2u) >> (k % 32u);
    return levels4<16u>(low_halves(v) | fifth_bits(fifth)) * float(half_at(block));
}
