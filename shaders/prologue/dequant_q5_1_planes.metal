// Prologue: weights of q5_1 in planes: rows of levels as prologue/planes.metal says,
// then a word of fifth bits and behind them an f16 scale and an f16 minimum for
// each 32; a weight is scale * level + minimum. The contract is that of
// prologue/blocks.metal.
template <uint COLS, uint CHUNK>
struct weight_q5_1_planes : block_format<weight_q5_1_planes<COLS, CHUNK>> {
    enum : uint { WIDTH = CHUNK, TURNS = 2, OFFSETS = true };
    struct Raw {
        uint halves[CHUNK / 8u];
        uint fifth; // from the chunk's first level on
        uint scale; // and minimum
    };
    static Raw fetch(device const uchar *row, uint c)
    {
        const uint block = planes_block<CHUNK>(c);
        Raw r;
        words_at<CHUNK / 8u>(row + CHUNK / 2u * c, r.halves);
        r.fifth = word_at4(row + COLS / 2u + 4u * block) >> (CHUNK / 2u * (c % (32u / CHUNK)));
        r.scale = word_at4(row + COLS / 2u + COLS / 8u + 4u * block);
        return r;
    }
    static uint levels(Raw r, uint q) { return planes_low<CHUNK>(r.halves, q) | planes_fifth<CHUNK>(r.fifth, q); }
    static float2 factors(Raw r, uint)
    {
        const float2 s = float2(as_type<half2>(r.scale));
        return float2(s.x, -s.y);
    }
    static uint position(uint c, uint q) { return planes_position<CHUNK>(c, q); }
    static uint place(uint quad) { return quad; }
};

template <uint COLS>
inline float4 dequant4_q5_1_planes(device const uchar *row, uint k)
{
    const uint block = k / 32u, v = word_at4(row + 16u * block + k % 16u) >> (k % 32u / 16u * 4u);
    const uint fifth = word_at4(row + COLS / 2u + 4u * block) >> (k % 32u);
    const float2 s = float2(as_type<half2>(word_at4(row + COLS / 2u + COLS / 8u + 4u * block)));
    return levels4<0u>(low_halves(v) | fifth_bits(fifth)) * s.x + s.y;
}
