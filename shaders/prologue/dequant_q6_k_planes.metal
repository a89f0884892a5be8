// Prologue: weights of q6_k in planes: a row's low halves, COLS / 2 bytes, its bit
// pairs, COLS / 4 bytes, 16 signed scales for each 256 weights, then an f16 scale for
// each. Within 256 weights they lie as prologue/dequant_q6_k.metal says; a weight is
// scale * small scale * (level - 32). A chunk is the halves of 16 or 8 bytes: of run
// 0 or 1 of a half block, and of run 2 or 3. The contract is that of
// prologue/blocks.metal.
template <uint COLS, uint CHUNK>
struct weight_q6_k_planes : block_format<weight_q6_k_planes<COLS, CHUNK>> {
    enum : uint { WIDTH = CHUNK, RUN = 32, GROUPS = 2, BIAS = 32, SIGNED = 0, OFFSETS = 0, WORDS = CHUNK / 8u, PARTS = 64u / CHUNK };
    struct Raw {
        uint low[CHUNK / 8u];
        uint top[CHUNK / 8u]; // bit pairs of the low halves from bit 0 of each byte, of the high ones from bit 4
        uint small;           // signed scales of both in bytes 0 and 1
        half scale;
    };
    static Raw fetch(device const uchar *row, uint c)
    {
        const uint half_block = c / (2u * PARTS), run = c / PARTS % 2u, at = c % PARTS * (CHUNK / 2u);
        device const uchar *small = row + COLS / 2u + COLS / 4u + 8u * half_block + 2u * run + at / 16u;
        Raw r;
        words_at<WORDS>(row + CHUNK / 2u * c, r.low);
        words_at<WORDS>(row + COLS / 2u + 32u * half_block + at, r.top);
        FOUNDRY_UNROLL
        for (uint i = 0u; i < WORDS; i++) r.top[i] >>= 2u * run;
        r.small = uint(small[0]) | uint(small[4]) << 8;
        r.scale = half_at(row + COLS / 2u + COLS / 4u + COLS / 16u + half_block / 2u * 2u);
        return r;
    }
    static uint levels(Raw r, uint q)
    {
        return q < WORDS ? low_halves(r.low[q]) | ((r.top[q] << 4) & 0x30303030u) : high_halves(r.low[q - WORDS]) | (r.top[q - WORDS] & 0x30303030u);
    }
    static float2 factors(Raw r, uint g)
    {
        const float4 small = signed_levels4(r.small);
        return float2(float(r.scale) * (g == 0u ? small.x : small.y), 0.0f);
    }
    static uint position(uint c, uint q)
    {
        return 128u * (c / (2u * PARTS)) + 32u * (c / PARTS % 2u) + c % PARTS * (CHUNK / 2u) + 64u * (q / WORDS) + 4u * (q % WORDS);
    }
    // The runs of a half block stand at quads 0, 8, 16 and 24; of chunks of 32, run
    // 0 and 2 fill the first two, run 1 and 3 the others.
    static uint place(uint quad)
    {
        return (quad & ~31u) + (quad / 8u % 2u) * 16u + (quad / 4u % 2u) * 8u + (quad / 16u % 2u) * 4u + quad % 4u;
    }
};

template <uint COLS>
inline float4 dequant4_q6_k_planes(device const uchar *row, uint k)
{
    const uint part = k / 128u, run = k % 128u / 32u, i = k % 32u;
    const uint low = word_at4(row + 64u * part + 32u * (run % 2u) + i) >> (run / 2u * 4u);
    const uint top = word_at4(row + COLS / 2u + 32u * part + i) >> (2u * run);
    const char small = as_type<char>(row[COLS / 2u + COLS / 4u + 8u * part + 2u * run + i / 16u]);
    const float scale = float(half_at(row + COLS / 2u + COLS / 4u + COLS / 16u + part / 2u * 2u));
    return levels4<32u>(low_halves(low) | (top & 0x03030303u) << 4) * (scale * float(small));
}
