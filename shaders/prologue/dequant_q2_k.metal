// Prologue: weights of q2_k, blocks of 256 in 84 bytes: 16 bytes of a small scale
// (low half) and a small minimum (high half) for 16 weights each, 64 bytes of bit
// pairs, f16 scale, f16 minimum. Each half block is four runs of 32, whose bit pairs
// stand at bits 0, 2, 4 and 6 of 32 bytes. A weight is scale * small scale * level -
// minimum * small minimum. A chunk is four weights of each run. The contract is that
// of prologue/blocks.metal.
struct weight_q2_k : block_format<weight_q2_k> {
    enum : uint { WIDTH = 16, GROUPS = 4, OFFSETS = true };
    struct Raw {
        uint pairs;
        uint small; // a byte a run
        uint scale; // and minimum
    };
    static Raw fetch(device const uchar *row, uint c)
    {
        device const uchar *block = row + c / 16u * 84u;
        const uint part = c % 16u / 8u, i = c % 8u * 4u;
        device const uchar *small = block + 8u * part + i / 16u;
        Raw r;
        r.pairs = word_at4(block + 16u + 32u * part + i);
        r.small = uint(small[0]) | uint(small[2]) << 8 | uint(small[4]) << 16 | uint(small[6]) << 24;
        r.scale = word_at4(block + 80u);
        return r;
    }
    static uint levels(Raw r, uint q) { return (r.pairs >> (2u * q)) & 0x03030303u; }
    static float2 factors(Raw r, uint g)
    {
        const float2 s = float2(as_type<half2>(r.scale));
        return float2(s.x * levels4<0u>(low_halves(r.small))[g], s.y * levels4<0u>(high_halves(r.small))[g]);
    }
    static uint position(uint c, uint q) { return 128u * (c / 8u) + 32u * q + 4u * (c % 8u); }
};

inline float4 dequant4_q2_k(device const uchar *row, uint k)
{
    device const uchar *block = row + k / 256u * 84u;
    const uint part = k % 256u / 128u, run = k % 128u / 32u, i = k % 32u;
    const uint small = uint(block[8u * part + 2u * run + i / 16u]);
    const float2 s = float2(as_type<half2>(word_at4(block + 80u)));
    const uint pairs = word_at4(block + 16u + 32u * part + i) >> (2u * run);
    return levels4<0u>(pairs & 0x03030303u) * (s.x * float(small & 15u)) - s.y * float(small >> 4);
}
