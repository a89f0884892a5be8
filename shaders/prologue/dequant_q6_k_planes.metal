// Prologue: weights of q6_k in planes: rows of low halves as prologue/planes.metal says,
// then the bit pairs, 8 bytes for each 32 weights, two signed scales for each 32, one for
// 16, then an f16 scale for each 256; a weight is scale * small scale * (level - 32). Of
// the pairs of 32 weights, byte j of the first word has those of level j of quads 0, 1, 4
// and 5, from bit 0, 2, 4 and 6 on; the second word those of quads 2, 3, 6 and 7. So
// every load of a chunk is of bytes that no other chunk has, and what it meets of x is
// adjacent, which the blocks' own order, levels 64 apart in a byte, is not. The contract
// is that of prologue/blocks.metal.
template <uint WIDTH>
inline uint q6_k_pairs(thread const uint *top, uint q)
{
    constexpr uint WORDS = WIDTH / 8u;
    const uint pair = q / WORDS * 2u + q % 2u, v = top[q % WORDS / 2u];
    return (pair < 2u ? v << (4u - 2u * pair) : v >> (2u * pair - 4u)) & 0x30303030u;
}

template <uint COLS, uint CHUNK>
struct weight_q6_k_planes : block_format<weight_q6_k_planes<COLS, CHUNK>> {
    enum : uint { WIDTH = CHUNK, TURNS = 2, GROUPS = 2, BIAS = 32 };
    struct Raw {
        uint halves[CHUNK / 8u];
        uint top[CHUNK / 16u];
        ushort small; // the signed scales of the low halves and of the high ones
        half scale;
    };
    static Raw fetch(device const uchar *row, uint c)
    {
        const uint block = planes_block<CHUNK>(c);
        Raw r;
        words_at<CHUNK / 8u>(row + CHUNK / 2u * c, r.halves);
        device const uint *top = (device const uint *)(row + COLS / 2u + CHUNK / 4u * c);
        if (CHUNK == 32u) {
            const uint2 pairs = *(device const uint2 *)top;
            r.top[0] = pairs.x;
            r.top[CHUNK / 16u - 1u] = pairs.y;
        } else {
            r.top[0] = *top;
        }
        r.small = *(device const ushort *)(row + COLS / 2u + COLS / 4u + 2u * block);
        r.scale = half_at(row + COLS / 2u + COLS / 4u + COLS / 16u + block / 8u * 2u);
        return r;
    }
    static uint levels(Raw r, uint q) { return planes_low<CHUNK>(r.halves, q) | q6_k_pairs<CHUNK>(r.top, q); }
    static float2 factors(Raw r, uint g)
    {
        const float4 small = signed_levels4(uint(r.small));
        return float2(float(r.scale) * (g == 0u ? small.x : small.y), 0.0f);
    }
    static uint position(uint c, uint q) { return planes_position<CHUNK>(c, q); }
    static uint place(uint quad) { return quad; }
};

template <uint COLS>
inline float4 dequant4_q6_k_planes(device const uchar *row, uint k)
{
    const uint block = k / 32u, high = k % 32u / 16u, q = k % 32u / 4u;
    const uint low = word_at4(row + 16u * block + k % 16u) >> (4u * high);
    const uint top = word_at4(row + COLS / 2u + 8u * block + q / 2u % 2u * 4u) >> (2u * (q % 2u + 2u * high));
    const char small = as_type<char>(row[COLS / 2u + COLS / 4u + 2u * block + high]);
    const float scale = float(half_at(row + COLS / 2u + COLS / 4u + COLS / 16u + block / 8u * 2u));
    return levels4<32u>(low_halves(low) | (top & 0x03030303u) << 4) * (scale * float(small));
}
