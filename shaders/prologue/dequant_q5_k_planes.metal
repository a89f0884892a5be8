// Prologue: weights of q5_k in planes: rows of levels as prologue/planes.metal says, then a
// word of fifth bits for each 32, then scales and minima as those of q4_k; a weight is
// factor * level - offset. Turned right by w, the word has the fifth bits of the levels in
// the low halves of the run's word w in bit 4 of each byte, and those of its high halves
// in bit 0 of the next byte, the last one's in the first. The contract is that of
// prologue/blocks.metal.
template <uint COLS, uint CHUNK>
struct weight_q5_k_planes : block_format<weight_q5_k_planes<COLS, CHUNK>> {
    enum : uint { WIDTH = CHUNK, TURNS = 2, OFFSETS = true, RISES = true };
    struct Raw {
        uint halves[CHUNK / 8u];
        uint fifth; // turned as far as the chunk's first word
        uint scale;
        uint packed;
    };
    static Raw fetch(device const uchar *row, uint c)
    {
        const uint run = planes_block<CHUNK>(c), turned = CHUNK / 8u * (c % (32u / CHUNK));
        const uint4 head = *(device const uint4 *)(row + COLS / 2u + COLS / 8u + run / 8u * 16u);
        Raw r;
        words_at<CHUNK / 8u>(row + CHUNK / 2u * c, r.halves);
        r.fifth = rotate(word_at4(row + COLS / 2u + 4u * run), 32u - turned);
        r.scale = head.x;
        r.packed = k_run_packed(head, run % 8u);
        return r;
    }
    static float4 quad(Raw r, uint q)
    {
        constexpr uint WORDS = CHUNK / 8u;
        const uint fifth = rotate(r.fifth, 32u - q % WORDS);
        return q < WORDS ? small_placed_fives4<false>(r.halves[q], fifth) : small_placed_fives4<true>(r.halves[q - WORDS], fifth);
    }
    static float2 factors(Raw r, uint) { return k_run_factors(r.scale, r.packed, HIGH_UNIT); }
    static uint position(uint c, uint q) { return planes_position<CHUNK>(c, q); }
    static uint place(uint quad) { return quad; }
};

template <uint COLS>
inline float4 dequant4_q5_k_planes(device const uchar *row, uint k)
{
    const uint run = k / 32u, high = k % 32u / 16u, v = word_at4(row + 16u * run + k % 16u) >> (4u * high);
    const uint fifth = rotate(word_at4(row + COLS / 2u + 4u * run), 32u - k % 16u / 4u - 4u * high);
    const uint4 head = *(device const uint4 *)(row + COLS / 2u + COLS / 8u + run / 8u * 16u);
    const float2 s = k_run_factors(head.x, k_run_packed(head, run % 8u), 1.0f);
    return levels4<0u>(low_halves(v) | (fifth & 0x10101010u)) * s.x - s.y;
}
