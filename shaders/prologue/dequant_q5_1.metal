// Prologue: weights of q5_1, blocks of 32: halves d and m, fifth bits and bytes as
// in q5_0; d * q + m. The contract is that of prologue/dequant_f16.metal, the chunk
// that of prologue/blocks.metal.
struct weight_q5_1 {
    enum : uint { WIDTH = 8 };
    struct Raw { half d, m; ushort low, high, a, b; };
    static Raw fetch(device const uchar *row, uint c)
    {
        device const uchar *block = row + (c >> 2) * 24u;
        device const ushort *words = (device const ushort *)(block + 4u);
        const uint j = c & 3u;
        Raw r;
        r.d = ((device const half *)block)[0];
        r.m = ((device const half *)block)[1];
        r.low = ushort((words[0] >> (4u * j)) & 15u);
        r.high = ushort((words[1] >> (4u * j)) & 15u);
        r.a = words[2u + 2u * j];
        r.b = words[3u + 2u * j];
        return r;
    }
    static void expand(Raw r, thread float *w)
    {
        const float d = float(r.d), m = float(r.m);
        nibbles(r.a, r.b, w);
        FOUNDRY_UNROLL
        for (uint i = 0u; i < 4u; i++) {
            w[i] = d * (w[i] + float(((uint(r.low) >> i) & 1u) << 4)) + m;
            w[i + 4u] = d * (w[i + 4u] + float(((uint(r.high) >> i) & 1u) << 4)) + m;
        }
    }
    static uint position(uint c, uint q) { return 32u * (c >> 2) + 4u * (c & 3u) + 16u * q; }
    static uint chunk(uint k) { return ((k >> 5) << 2) + ((k & 15u) >> 2); }
};

inline float4 dequant4_q5_1(device const uchar *row, uint column) { return take4<weight_q5_1>(row, column); }
