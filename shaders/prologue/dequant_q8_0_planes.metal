// Prologue: weights of q8_0 in planes: a row's COLS signed levels, a byte each,
// then its f16 scales, one for 32 weights; a weight is scale * level. A chunk is
// CHUNK adjacent weights, and as many bytes of the row, which starts at a multiple
// of 16. The contract is that of prologue/blocks.metal.
template <uint COLS, uint CHUNK>
struct weight_q8_0_planes : block_format<weight_q8_0_planes<COLS, CHUNK>> {
    enum : uint { WIDTH = CHUNK, SIGNED = true };
    struct Raw {
        uint level[CHUNK / 4u];
        half scale;
    };
    static Raw fetch(device const uchar *row, uint c)
    {
        Raw r;
        FOUNDRY_UNROLL
        for (uint i = 0u; i < CHUNK; i += 16u) words_at<(CHUNK < 16u ? CHUNK / 4u : 4u)>(row + CHUNK * c + i, r.level + i / 4u);
        r.scale = half_at(row + COLS + CHUNK * c / 32u * 2u);
        return r;
    }
    static uint levels(Raw r, uint q) { return r.level[q]; }
    static float2 factors(Raw r, uint) { return float2(float(r.scale), 0.0f); }
    static uint position(uint c, uint q) { return CHUNK * c + 4u * q; }
    static uint place(uint quad) { return quad; }
};

template <uint COLS>
inline float4 dequant4_q8_0_planes(device const uchar *row, uint k)
{
    return signed_levels4(word_at4(row + k)) * float(half_at(row + COLS + k / 32u * 2u));
}
