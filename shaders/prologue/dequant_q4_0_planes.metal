// Prologue: weights of q4_0 in planes: rows of levels as prologue/planes.metal says,
// then an f16 scale for each 32; a weight is scale * (level - 8). The contract is that of
// prologue/blocks.metal.
template <uint COLS, uint CHUNK>
struct weight_q4_0_planes : block_format<weight_q4_0_planes<COLS, CHUNK>> {
    enum : uint { WIDTH = CHUNK, TURNS = 2, BIAS = 8 };
    struct Raw {
        uint halves[CHUNK / 8u];
        half scale;
    };
    static Raw fetch(device const uchar *row, uint c)
    {
        const uint block = planes_block<CHUNK>(c);
        Raw r;
        words_at<CHUNK / 8u>(row + CHUNK / 2u * c, r.halves);
        r.scale = half_at(row + COLS / 2u + 2u * block);
        return r;
    }
    static float4 quad(Raw r, uint q)
    {
        constexpr uint WORDS = CHUNK / 8u;
        return q < WORDS ? nibbles4<8u, false>(r.halves[q]) : nibbles4<8u, true>(r.halves[q - WORDS]);
    }
    static float2 factors(Raw r, uint) { return float2(float(r.scale), 0.0f); }
    static uint position(uint c, uint q) { return planes_position<CHUNK>(c, q); }
    static uint place(uint quad) { return quad; }
};

template <uint COLS>
inline float4 dequant4_q4_0_planes(device const uchar *row, uint k)
{
    const uint block = k / 32u, v = word_at4(row + 16u * block + k % 16u) >> (k % 32u / 16u * 4u);
    return levels4<8u>(low_halves(v)) * float(half_at(row + COLS / 2u + 2u * block));
}
