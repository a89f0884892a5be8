// Prologue: weights of q5_k, blocks of 256 in 176 bytes: as q4_k, with 32 bytes
// between the scales and the halves: bit j of byte i is the fifth bit of level i
// of run j. A chunk is the halves of 16 or 8 bytes. The contract is that of
// prologue/blocks.metal.
template <uint WORDS>
struct weight_q5_k : block_format<weight_q5_k<WORDS>> {
    enum : uint { WIDTH = 8u * WORDS, TURNS = 4, GROUPS = 2, OFFSETS = true };
    struct Raw {
        uint halves[WORDS];
        uint fifth[WORDS]; // of the first run in bit 4 of each byte, of the second in bit 5
        uint scale;
        uint packed;
    };
    static Raw fetch(device const uchar *row, uint c)
    {
        device const uchar *block = row + c / (32u / WORDS) * 176u;
        const uint4 head = *(device const uint4 *)block;
        Raw r;
        words_at<WORDS>(block + 48u + c % (32u / WORDS) * 4u * WORDS, r.halves);
        words_at<WORDS>(block + 16u + c % (8u / WORDS) * 4u * WORDS, r.fifth);
        const uint pair = c % (32u / WORDS) / (8u / WORDS);
        FOUNDRY_UNROLL
        for (uint i = 0u; i < WORDS; i++) r.fifth[i] = rotate(r.fifth[i], 4u - 2u * pair);
        r.scale = head.x;
        r.packed = k_packed(head, pair);
        return r;
    }
    static float4 quad(Raw r, uint q)
    {
        return q < WORDS ? small_fives4<false>(r.halves[q], r.fifth[q]) : small_fives4<true>(r.halves[q - WORDS], r.fifth[q - WORDS]);
    }
    static float2 factors(Raw r, uint g) { return k_factors(r.scale, r.packed, g, g == 0u ? LOW_UNIT : HIGH_UNIT); }
    static uint position(uint c, uint q) { return k_position<WORDS>(c, q); }
    static uint place(uint quad) { return k_place(quad); }
};
typedef weight_q5_k<4u> weight_q5_k_32;
typedef weight_q5_k<2u> weight_q5_k_16;

inline float4 dequant4_q5_k(device const uchar *row, uint k)
{
    device const uchar *block = row + k / 256u * 176u;
    const uint pair = k % 256u / 64u, second = k % 64u / 32u;
    const uint4 head = *(device const uint4 *)block;
    const float2 s = k_factors(head.x, k_packed(head, pair), second, 1.0f);
    const uint v = word_at4(block + 48u + 32u * pair + k % 32u) >> (4u * second);
    const uint fifth = word_at4(block + 16u + k % 32u) >> (2u * pair + second);
    return levels4<0u>(low_halves(v) | (fifth & 0x01010101u) << 4) * s.x - s.y;
}
