// Prologue: weights of q4_1, blocks of 32: halves d and m, 16 bytes as in q4_0;
// d * q + m. The contract is that of prologue/dequant_f16.metal, the chunk that of
// prologue/blocks.metal.
struct weight_q4_1 {
    enum : uint { WIDTH = 8 };
    struct Raw { half d, m; ushort a, b; };
    static Raw fetch(device const uchar *row, uint c)
    {
        device const uchar *block = row + (c >> 2) * 20u;
        device const ushort *q = (device const ushort *)(block + 4u) + (c & 3u) * 2u;
        Raw r;
        r.d = ((device const half *)block)[0];
        r.m = ((device const half *)block)[1];
        r.a = q[0];
        r.b = q[1];
        return r;
    }
    static void expand(Raw r, thread float *w)
    {
        const float d = float(r.d), m = float(r.m);
        nibbles(r.a, r.b, w);
        FOUNDRY_UNROLL
        for (uint i = 0u; i < 8u; i++) w[i] = d * w[i] + m;
    }
    static uint position(uint c, uint q) { return 32u * (c >> 2) + 4u * (c & 3u) + 16u * q; }
    static uint chunk(uint k) { return ((k >> 5) << 2) + ((k & 15u) >> 2); }
};

inline float4 dequant4_q4_1(device const uchar *row, uint column) { return take4<weight_q4_1>(row, column); }
