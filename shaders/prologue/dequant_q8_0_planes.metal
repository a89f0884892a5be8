// Prologue: weights of q8_0 in planes: a row's COLS signed levels, a byte each,
// then its f16 scales, one for 32 weights; a weight is scale * level. A chunk is
// eight adjacent weights, and eight bytes of the row, which starts at a multiple of
// eight. The contract is that of prologue/blocks.metal.
template <uint COLS>
struct weight_q8_0_planes : block_format<weight_q8_0_planes<COLS>> {
    enum : uint { WIDTH = 8, GROUPS = 1, BIAS = 0, SIGNED = 1, OFFSETS = 0 };
    struct Raw {
        uint2 level;
        half scale;
    };
    static Raw fetch(device const uchar *row, uint c)
    {
        Raw r;
        r.level = *(device const uint2 *)(row + 8u * c);
        r.scale = half_at(row + COLS + c / 4u * 2u);
        return r;
    }
    static uint levels(Raw r, uint q) { return q == 0u ? r.level.x : r.level.y; }
    static float2 factors(Raw r, uint) { return float2(float(r.scale), 0.0f); }
    static uint position(uint c, uint q) { return 8u * c + 4u * q; }
};

template <uint COLS>
inline float4 dequant4_q8_0_planes(device const uchar *row, uint k)
{
    return signed_levels4(word_at4(row + k)) * float(half_at(row + COLS + k / 32u * 2u));
}
