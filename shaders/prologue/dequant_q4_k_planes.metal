// Prologue: weights of q4_k in planes: rows of levels as prologue/planes.metal says, then
// 16 bytes of scales and minima for each 256 as prologue/k_planes.metal says; a weight is
// factor * level - offset. A run of 32 is a group, so a chunk has one factor. The contract
// is that of prologue/blocks.metal.
template <uint COLS, uint CHUNK>
struct weight_q4_k_planes : block_format<weight_q4_k_planes<COLS, CHUNK>> {
    enum : uint { WIDTH = CHUNK, TURNS = 2, OFFSETS = true, RISES = true };
    struct Raw {
        uint halves[CHUNK / 8u];
        uint scale;
        uint packed;
    };
    static Raw fetch(device const uchar *row, uint c)
    {
        const uint run = planes_block<CHUNK>(c);
        const uint4 head = *(device const uint4 *)(row + COLS / 2u + run / 8u * 16u);
        Raw r;
        words_at<CHUNK / 8u>(row + CHUNK / 2u * c, r.halves);
        r.scale = head.x;
        r.packed = k_run_packed(head, run % 8u);
        return r;
    }
    static float4 quad(Raw r, uint q)
    {
        constexpr uint WORDS = CHUNK / 8u;
        return q < WORDS ? small_nibbles4<false>(r.halves[q]) : small_nibbles4<true>(r.halves[q - WORDS]);
    }
    static float2 factors(Raw r, uint) { return k_run_factors(r.scale, r.packed, HIGH_UNIT); }
    static uint position(uint c, uint q) { return planes_position<CHUNK>(c, q); }
    static uint place(uint quad) { return quad; }
};

template <uint COLS>
inline float4 dequant4_q4_k_planes(device const uchar *row, uint k)
{
    const uint run = k / 32u, v = word_at4(row + 16u * run + k % 16u) >> (k % 32u / 16u * 4u);
    const uint4 head = *(device const uint4 *)(row + COLS / 2u + run / 8u * 16u);
    const float2 s = k_run_factors(head.x, k_run_packed(head, run % 8u), 1.0f);
    return levels4<0u>(low_halves(v)) * s.x - s.y;
}
