// Prologue: weights of q8_0 in planes: a row's COLS signed levels, a byte each,
// then its f16 scales, one for 32 weights; a weight is scale * level. A chunk is
// eight adjacent weights, and eight bytes of the row, which starts at a multiple of
// eight. The contract is that of prologue/blocks.metal.
template <uint COLS>
struct weight_q8_0_planes {
    enum : uint { WIDTH = 8, SCALED = 1 };
    struct Raw {
        uint2 levels;
        half scale;
    };
    static Raw fetch(device const uchar *row, uint c)
    {
        Raw r;
        r.levels = *(device const uint2 *)(row + 8u * c);
        r.scale = half_at(row + COLS + c / 4u * 2u);
        return r;
    }
    static float scale(Raw r) { return float(r.scale); }
    static void levels(Raw r, thread float *w)
    {
        put4(w, signed_levels4(r.levels.x));
        put4(w + 4, signed_levels4(r.levels.y));
    }
    static void expand(Raw r, thread float *w)
    {
        const float s = scale(r);
        put4(w, signed_levels4(r.levels.x) * s);
        put4(w + 4, signed_levels4(r.levels.y) * s);
    }
    static uint position(uint c, uint q) { return 8u * c + 4u * q; }
};

template <uint COLS>
inline float4 dequant4_q8_0_planes(device const uchar *row, uint k)
{
    return signed_levels4(word_at4(row + k)) * float(half_at(row + COLS + k / 32u * 2u));
}
