// Prologue: weights of q4_k, blocks of 256 in 144 bytes: scales and minima as
// prologue/k_scales.metal says, then 128 bytes; the low halves of each 32 of them
// are a run of 32 levels, the high halves the next run; a weight is factor *
// level - offset. A chunk is the halves of 16 or 8 bytes. The contract is that of
// prologue/blocks.metal.
template <uint WORDS>
struct weight_q4_k : block_format<weight_q4_k<WORDS>> {
    enum : uint { WIDTH = 8u * WORDS, TURNS = 4, GROUPS = 2, OFFSETS = true };
    struct Raw {
        uint halves[WORDS];
        uint scale;
        uint packed;
    };
    static Raw fetch(device const uchar *row, uint c)
    {
        device const uchar *block = row + c / (32u / WORDS) * 144u;
        const uint4 head = *(device const uint4 *)block;
        Raw r;
        words_at<WORDS>(block + 16u + c % (32u / WORDS) * 4u * WORDS, r.halves);
        r.scale = head.x;
        r.packed = k_packed(head, c % (32u / WORDS) / (8u / WORDS));
        return r;
    }
    static float4 quad(Raw r, uint q) { return q < WORDS ? small_nibbles4<false>(r.halves[q]) : small_nibbles4<true>(r.halves[q - WORDS]); }
    static float2 factors(Raw r, uint g) { return k_factors(r.scale, r.packed, g, g == 0u ? LOW_UNIT : HIGH_UNIT); }
    static uint position(uint c, uint q) { return k_position<WORDS>(c, q); }
    static uint place(uint quad) { return k_place(quad); }
};
typedef weight_q4_k<4u> weight_q4_k_32;
typedef weight_q4_k<2u> weight_q4_k_16;

inline float4 dequant4_q4_k(device const uchar *row, uint k)
{
    device const uchar *block = row + k / 256u * 144u;
    const uint pair = k % 256u / 64u, second = k % 64u / 32u;
    const uint4 head = *(device const uint4 *)block;
    const float2 s = k_factors(head.x, k_packed(head, pair), second, 1.0f);
    const uint v = word_at4(block + 16u + 32u * pair + k % 32u) >> (4u * second);
    return levels4<0u>(low_halves(v)) * s.x - s.y;
}
