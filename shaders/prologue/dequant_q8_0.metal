// Prologue: weights of q8_0, blocks of 32 in 34 bytes: f16 scale, 32 signed
// levels; a weight is scale * level. A chunk is eight adjacent weights. The
// contract is that of prologue/blocks.metal.
struct weight_q8_0 {
    enum : uint { WIDTH = 8, SCALED = 1 };
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
    static float scale(Raw r) { return float(r.scale); }
    static void levels(Raw r, thread float *w)
    {
        put4(w, signed_levels4(uint(r.level[0]) | uint(r.level[1]) << 16));
        put4(w + 4, signed_levels4(uint(r.level[2]) | uint(r.level[3]) << 16));
    }
    static void expand(Raw r, thread float *w)
    {
        const float s = scale(r);
        levels(r, w);
        FOUNDRY_UNROLL
        for (uint i = 0u; i < 8u; i++) w[i] *= s;
    }
    static uint position(uint c, uint q) { return 8u * c + 4u * q; }
};

inline float4 dequant4_q8_0(device const uchar *row, uint k)
{
    device const uchar *block = row + k / 32u * 34u;
    return signed_levels4(word_at2(block + 2u + k % 32u)) * float(half_at(block));
}
