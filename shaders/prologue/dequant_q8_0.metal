// Prologue: weights of q8_0, blocks of 32 in 34 bytes: f16 scale, 32 signed
// levels; a weight is scale * level. A chunk is eight adjacent weights. The
// contract is that of prologue/blocks.metal.
inline float low_level(ushort v) { return float(int(short(v << 8)) >> 8); }
inline float high_level(ushort v) { return float(int(short(v)) >> 8); }

struct weight_q8_0 {
    enum : uint { WIDTH = 8 };
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
    static void expand(Raw r, thread float *w)
    {
        const float scale = float(r.scale);
        FOUNDRY_UNROLL
        for (uint i = 0u; i < 4u; i++) {
            w[2u * i] = low_level(r.level[i]) * scale;
            w[2u * i + 1u] = high_level(r.level[i]) * scale;
        }
    }
    static uint position(uint c, uint q) { return 8u * c + 4u * q; }
};

inline float4 dequant4_q8_0(device const uchar *row, uint k)
{
    device const uchar *block = row + k / 32u * 34u;
    device const ushort *level = (device const ushort *)(block + 2u + k % 32u);
    return float4(low_level(level[0]), high_level(level[0]), low_level(level[1]), high_level(level[1])) * float(half_at(block));
}
