// Prologue: weights of iq4_nl, blocks of 32 in 18 bytes: f16 scale, 16 bytes of
// levels as in q4_0; a weight is scale * value of the level. A chunk is the halves of
// four bytes. The contract is that of prologue/blocks.metal.
struct weight_iq4_nl : block_format<weight_iq4_nl> {
    enum : uint { WIDTH = 8, SIGNED = true };
    struct Raw {
        uint halves;
        half scale;
    };
    static Raw fetch(device const uchar *row, uint c)
    {
        device const uchar *block = row + c / 4u * 18u;
        Raw r;
        r.scale = half_at(block);
        r.halves = word_at2(block + 2u + c % 4u * 4u);
        return r;
    }
    static uint levels(Raw r, uint q) { return iq4_values(q == 0u ? r.halves : r.halves >> 4); }
    static float2 factors(Raw r, uint) { return float2(float(r.scale), 0.0f); }
    static uint position(uint c, uint q) { return halves_position(c, q); }
};

inline float4 dequant4_iq4_nl(device const uchar *row, uint k)
{
    device const uchar *block = row + k / 32u * 18u;
    const uint v = word_at2(block + 2u + k % 16u) >> (k % 32u / 16u * 4u);
    return signed_levels4(iq4_values(v)) * float(half_at(block));
}
