// Prologue: weights of q4_k, blocks of 256: halves d and m, 12 bytes of scales
// (prologue/kblocks.metal), 128 bytes; byte i of a run of 32 holds weight i of two
// runs; d * scale * q - m * minimum. The contract is that of
// prologue/dequant_f16.metal, the chunk that of prologue/blocks.metal.
struct weight_q4_k {
    enum : uint { WIDTH = 8 };
    struct Raw { float2 first, second; ushort a, b; };
    static Raw fetch(device const uchar *row, uint c)
    {
        device const uchar *block = row + (c >> 5) * 144u;
        const uint run = (c & 31u) >> 3;
        const float d = float(((device const half *)block)[0]), m = float(((device const half *)block)[1]);
        device const ushort *q = (device const ushort *)(block + 16u) + (c & 31u) * 2u;
        Raw r;
        r.first = scale_min(block + 4u, 2u * run, d, m);
        r.second = scale_min(block + 4u, 2u * run + 1u, d, m);
        r.a = q[0];
        r.b = q[1];
        return r;
    }
    static void expand(Raw r, thread float *w)
    {
        nibbles(r.a, r.b, w);
        FOUNDRY_UNROLL
        for (uint i = 0u; i < 4u; i++) {
            w[i] = r.first.x * w[i] - r.first.y;
            w[i + 4u] = r.second.x * w[i + 4u] - r.second.y;
        }
    }
    static uint position(uint c, uint q) { return 64u * (c >> 3) + 4u * (c & 7u) + 32u * q; }
    static uint chunk(uint k) { return ((k >> 6) << 3) + ((k & 31u) >> 2); }
};

inline float4 dequant4_q4_k(device const uchar *row, uint column) { return take4<weight_q4_k>(row, column); }
