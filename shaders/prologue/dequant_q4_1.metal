// Prologue: weights of q4_1, blocks of 32 in 20 bytes: f16 scale, f16 minimum, 16
// bytes of levels as in q4_0; a weight is scale * level + minimum. A chunk is the
// halves of four bytes. The contract is that of prologue/blocks.metal.
struct weight_q4_1 : block_format<weight_q4_1> {
    enum : uint { WIDTH = 8, OFFSETS = true };
    struct Raw {
        uint halves;
        uint scale; // and minimum
    };
    static Raw fetch(device const uchar *row, uint c)
    {
        device const uchar *block = row + c / 4u * 20u;
        Raw r;
        r.scale = word_at4(block);
        r.halves = word_at4(block + 4u + c % 4u * 4u);
        return r;
    }
    static float4 quad(Raw r, uint q) { return q == 0u ? nibbles4<0u, false>(r.halves) : nibbles4<0u, true>(r.halves); }
    static float2 factors(Raw r, uint)
    {
        const float2 s = float2(as_type<half2>(r.scale));
        return float2(s.x, -s.y);
    }
    static uint position(uint c, uint q) { return halves_position(c, q); }
};

inline float4 dequant4_q4_1(device const uchar *row, uint k)
{
    device const uchar *block = row + k / 32u * 20u;
    const uint v = word_at4(block + 4u + k % 16u) >> (k % 32u / 16u * 4u);
    const float2 s = float2(as_type<half2>(word_at4(block)));
    return levels4<0u>(low_halves(v)) * s.x + s.y;
}
