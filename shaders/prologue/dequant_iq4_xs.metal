// Prologue: weights of iq4_xs, blocks of 256 in 136 bytes: f16 scale, eight 6-bit
// scales less 32 (their upper pairs in 16 bits, then their low halves in 4 bytes), 16
// bytes of levels for each run of 32 as in iq4_nl; a weight is scale * small scale *
// value of the level. A chunk is the halves of four bytes. The contract is that of
// prologue/blocks.metal.
struct weight_iq4_xs : block_format<weight_iq4_xs> {
    enum : uint { WIDTH = 8, SIGNED = true };
    struct Raw {
        uint halves;
        uint scale; // and the upper pairs of the small scales
        uint small; // low halves of two neighbours, then the number of the run
    };
    static float factor(uint scale, uint small, uint run)
    {
        const uint s = ((small >> (4u * (run % 2u))) & 15u) | ((scale >> (16u + 2u * run)) & 3u) << 4;
        return float(as_type<half2>(scale).x) * float(int(s) - 32);
    }
    static Raw fetch(device const uchar *row, uint c)
    {
        device const uchar *block = row + c / 32u * 136u;
        const uint run = c % 32u / 4u;
        Raw r;
        r.halves = word_at4(block + 8u + c % 32u * 4u);
        r.scale = word_at4(block);
        r.small = uint(block[4u + run / 2u]) | run << 8;
        return r;
    }
    static uint levels(Raw r, uint q) { return iq4_values(q == 0u ? r.halves : r.halves >> 4); }
    static float2 factors(Raw r, uint) { return float2(factor(r.scale, r.small, r.small >> 8), 0.0f); }
    static uint position(uint c, uint q) { return halves_position(c, q); }
};

inline float4 dequant4_iq4_xs(device const uchar *row, uint k)
{
    device const uchar *block = row + k / 256u * 136u;
    const uint run = k % 256u / 32u;
    const uint v = word_at4(block + 8u + 16u * run + k % 16u) >> (k % 32u / 16u * 4u);
    return signed_levels4(iq4_values(v)) * weight_iq4_xs::factor(word_at4(block), uint(block[4u + run / 2u]), run);
}
