// Prologue: weights of q3_k, blocks of 256 in 110 bytes: 32 bytes whose bit j is the
// third bit of weight i of run j of 32, 64 bytes of bit pairs as in q2_k, 12 bytes of
// sixteen 6-bit scales less 32 for 16 weights each, f16 scale. A weight is scale *
// small scale * (level - 4). The small scales' low halves are the low and then the
// high halves of 8 bytes, their upper pairs stand in 4 bytes: pair k of byte j belongs
// to scale 4k + j. A chunk is four weights of each run of a half block. The contract
// is that of prologue/blocks.metal.
struct weight_q3_k : block_format<weight_q3_k> {
    enum : uint { WIDTH = 16, GROUPS = 4, BIAS = 4 };
    struct Raw {
        uint pairs;
        uint third; // of run q in bit q of each byte
        uint small; // a byte a run
        half scale;
    };
    static Raw fetch(device const uchar *row, uint c)
    {
        device const uchar *block = row + c / 16u * 110u;
        const uint part = c % 16u / 8u, i = c % 8u * 4u;
        device const uchar *low = block + 96u + i / 16u, *top = low + 8u;
        Raw r;
        r.pairs = word_at2(block + 32u + 32u * part + i);
        r.third = word_at2(block + i) >> (4u * part);
        const uint halves = uint(low[0]) | uint(low[2]) << 8 | uint(low[4]) << 16 | uint(low[6]) << 24;
        const uint upper = (uint(top[0]) | uint(top[2]) << 8) >> (4u * part);
        r.small = low_halves(halves >> (4u * part)) | ((upper & 0x0303u) | ((upper >> 2) & 0x0303u) << 16) << 4;
        r.scale = half_at(block + 108u);
        return r;
    }
    static uint levels(Raw r, uint q) { return ((r.pairs >> (2u * q)) & 0x03030303u) | ((r.third >> q) & 0x01010101u) << 2; }
    static float2 factors(Raw r, uint g) { return float2(float(r.scale) * levels4<32u>(r.small)[g], 0.0f); }
    static uint position(uint c, uint q) { return 128u * (c / 8u) + 32u * q + 4u * (c % 8u); }
};

inline float4 dequant4_q3_k(device const uchar *row, uint k)
{
    device const uchar *block = row + k / 256u * 110u;
    const uint part = k % 256u / 128u, run = k % 128u / 32u, i = k % 32u, j = 2u * run + i / 16u;
    const uint low = uint(block[96u + j]) >> (4u * part), top = uint(block[104u + j % 4u]) >> (4u * part + 2u * (j / 4u));
    const float small = float(int((low & 15u) | (top & 3u) << 4) - 32);
    const uint pairs = word_at2(block + 32u + 32u * part + i) >> (2u * run), third = word_at2(block + i) >> (4u * part + run);
    return levels4<4u>((pairs & 0x03030303u) | (third & 0x01010101u) << 2) * (float(half_at(block + 108u)) * small);
}
