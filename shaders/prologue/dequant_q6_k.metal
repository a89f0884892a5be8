// Prologue: weights of q6_k, blocks of 256 in 210 bytes: 128 bytes of low halves,
// 64 bytes of bit pairs, 16 signed scales for 16 weights each, f16 scale. Each
// half block is four runs of 32: their low bits are the low halves of 32 bytes,
// of the next 32, and then the high halves of both; their top bits stand at bits
// 0, 2, 4 and 6 of 32 bytes. A weight is scale * small scale * (level - 32). A
// chunk is four weights of each run. The contract is that of
// prologue/blocks.metal.
struct weight_q6_k : block_format<weight_q6_k> {
    enum : uint { WIDTH = 16, GROUPS = 4, BIAS = 32 };
    struct Raw {
        uint low[2]; // low bits of runs 0 (low halves) and 2, of runs 1 and 3
        uint top;
        uint small; // a byte a run
        half scale;
    };
    static Raw fetch(device const uchar *row, uint c)
    {
        device const uchar *block = row + c / 16u * 210u;
        const uint part = c % 16u / 8u, i = c % 8u * 4u;
        device const uchar *small = block + 192u + 8u * part + i / 16u;
        Raw r;
        r.low[0] = word_at2(block + 64u * part + i);
        r.low[1] = word_at2(block + 64u * part + 32u + i);
        r.top = word_at2(block + 128u + 32u * part + i);
        r.small = uint(small[0]) | uint(small[2]) << 8 | uint(small[4]) << 16 | uint(small[6]) << 24;
        r.scale = half_at(block + 208u);
        return r;
    }
    static uint levels(Raw r, uint q)
    {
        const uint low = r.low[q % 2u] >> (q / 2u * 4u);
        return low_halves(low) | ((q < 2u ? r.top << (4u - 2u * q) : r.top >> (2u * q - 4u)) & 0x30303030u);
    }
    static float2 factors(Raw r, uint g)
    {
        const float small = signed_levels4(r.small)[g];
        return float2(float(r.scale) * small, 0.0f);
    }
    static uint position(uint c, uint q) { return 128u * (c / 8u) + 32u * q + 4u * (c % 8u); }
};

inline float4 dequant4_q6_k(device const uchar *row, uint k)
{
    device const uchar *block = row + k / 256u * 210u;
    const uint part = k % 256u / 128u, run = k % 128u / 32u, i = k % 32u;
    const uint low = word_at2(block + 64u * part + 32u * (run % 2u) + i) >> (run / 2u * 4u);
    const uint top = word_at2(block + 128u + 32u * part + i) >> (2u * run);
    const char small = as_type<char>(block[192u + 8u * part + 2u * run + i / 16u]);
    return levels4<32u>(low_halves(low) | (top & 0x03030303u) << 4) * (float(half_at(block + 208u)) * float(small));
}
