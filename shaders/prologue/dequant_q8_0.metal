// Prologue: weights of q8_0, blocks of 32 in 34 bytes: f16 scale, 32 signed
// levels; a weight is scale * level. A chunk is eight adjacent weights. The
// contract is that of prologue/blocks.metal.
struct weight_q8_0 : block_format<weight_q8_0> {
    enum : uint { WIDTH = 8, SIGNED = true };
    struct Raw {
        half scale;
        ushort level[4]; // two to each
    };
    static Raw fetch(device const uchar *row, uint c)
    {
        device const uchar *block = row + c / 4u * 34u;
        device const ushort *level = (device const ushort *)(block + 2u) + c % 4u * 4u;
        Raw r;
        r.scale = half_at(block);
        FOUNDRY_UNROLL
        for (uint i = 0u; i < 4u; i++) r.level[i] = level[i];
        return r;
    }
    static uint levels(Raw r, uint q) { return uint(r.level[2u * q]) | uint(r.level[2u * q + 1u]) << 16; }
    static float2 factors(Raw r, uint) { return float2(float(r.scale), 0.0f); }
    static uint position(uint c, uint q) { return 8u * c + 4u * q; }
};

inline float4 dequant4_q8_0(device const uchar *row, uint k)
{
    device const uchar *block = row + k / 32u * 34u;
    return signed_levels4(word_at2(block + 2u + k % 32u)) * float(half_at(block));
}
