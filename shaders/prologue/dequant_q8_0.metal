// Prologue: weights of q8_0, blocks of 32: a half d, 32 signed bytes q; d * q.
// The contract is that of prologue/dequant_f16.metal, the chunk that of
// prologue/blocks.metal: eight adjacent weights.
struct weight_q8_0 {
    enum : uint { WIDTH = 8 };
    struct Raw { half d; ushort q[4]; };
    static Raw fetch(device const uchar *row, uint c)
    {
        device const uchar *block = row + (c >> 2) * 34u;
        device const ushort *q = (device const ushort *)(block + 2u) + (c & 3u) * 4u;
        Raw r;
        r.d = *(device const half *)block;
        FOUNDRY_UNROLL
        for (uint i = 0u; i < 4u; i++) r.q[i] = q[i];
        return r;
    }
    static void expand(Raw r, thread float *w)
    {
        const float d = float(r.d);
        FOUNDRY_UNROLL
        for (uint i = 0u; i < 4u; i++) {
            w[2u * i] = d * low_char(r.q[i]);
            w[2u * i + 1u] = d * high_char(r.q[i]);
        }
    }
    static uint position(uint c, uint q) { return 8u * c + 4u * q; }
    static uint chunk(uint k) { return k >> 3; }
};

inline float4 dequant4_q8_0(device const uchar *row, uint column) { return take4<weight_q8_0>(row, column); }
