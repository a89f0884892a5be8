// Prologue: weights of q4_0, blocks of 32: a half d, 16 bytes whose halves are
// the weights i and i + 16; d * (q - 8). The contract is that of
// prologue/dequant_f16.metal, the chunk that of prologue/blocks.metal.
struct weight_q4_0 {
    enum : uint { WIDTH = 8 };
    struct Raw { half d; ushort a, b; };
    static Raw fetch(device const uchar *row, uint c)
    {
        device const uchar *block = row + (c >> 2) * 18u;
        device const ushort *q = (device const ushort *)(block + 2u) + (c & 3u) * 2u;
        Raw r;
        r.d = *(device const half *)block;
        r.a = q[0];
        r.b = q[1];
        return r;
    }
    static void expand(Raw r, thread float *w)
    {
        const float d = float(r.d);
        nibbles(r.a, r.b, w);
        FOUNDRY_UNROLL
        for (uint i = 0u; i < 8u; i++) w[i] = d * (w[i] - 8.0f);
    }
    static uint position(uint c, uint q) { return 32u * (c >> 2) + 4u * (c & 3u) + 16u * q; }
    static uint chunk(uint k) { return ((k >> 5) << 2) + ((k & 15u) >> 2); }
};

inline float4 dequant4_q4_0(device const uchar *row, uint column) { return take4<weight_q4_0>(row, column); }
