// Prologue: weights of q4_0, blocks of 32 in 18 bytes: f16 scale, 16 bytes whose
// low halves are levels 0 to 15 and whose high halves are levels 16 to 31; a
// weight is scale * (level - 8). A chunk is the halves of four bytes. The contract
// is that of prologue/blocks.metal.
struct weight_q4_0 : block_format<weight_q4_0> {
    enum : uint { WIDTH = 8, BIAS = 8 };
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
    static float4 quad(Raw r, uint q) { return q == 0u ? nibbles4<8u, false>(r.halves) : nibbles4<8u, true>(r.halves); }
    static float2 factors(Raw r, uint) { return float2(float(r.scale), 0.0f); }
    static uint position(uint c, uint q) { return halves_position(c, q); }
};

inline float4 dequant4_q4_0(device const uchar *row, uint k)
{
    device const uchar *block = row + k / 32u * 18u;
    const uint v = word_at2(block + 2u + k % 16u) >> (k % 32u / 16u * 4u);
    return levels4<8u>(low_halves(v)) * float(half_at(block));
}
