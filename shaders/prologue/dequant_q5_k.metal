// Prologue: weights of q5_k, blocks of 256: as q4_k, with 32 bytes between scales
// and halves; bit j of byte i is the fifth bit of weight i of run j. The contract
// is that of prologue/dequant_f16.metal, the chunk that of prologue/blocks.metal.
struct weight_q5_k {
    enum : uint { WIDTH = 8 };
    struct Raw { float2 first, second; ushort a, b, c, d; uint run; };
    static Raw fetch(device const uchar *row, uint c)
    {
        device const uchar *block = row + (c >> 5) * 176u;
        const uint run = (c & 31u) >> 3;
        const float d = float(((device const half *)block)[0]), m = float(((device const half *)block)[1]);
        device const ushort *top = (device const ushort *)(block + 16u) + (c & 7u) * 2u;
        device const ushort *q = (device const ushort *)(block + 48u) + (c & 31u) * 2u;
        Raw r;
        r.first = scale_min(block + 4u, 2u * run, d, m);
        r.second = scale_min(block + 4u, 2u * run + 1u, d, m);
        r.a = q[0];
        r.b = q[1];
        r.c = top[0];
        r.d = top[1];
        r.run = run;
        return r;
    }
    static void expand(Raw r, thread float *w)
    {
        nibbles(r.a, r.b, w);
        const uint top[4] = {uint(r.c) & 255u, uint(r.c) >> 8, uint(r.d) & 255u, uint(r.d) >> 8};
        FOUNDRY_UNROLL
        for (uint i = 0u; i < 4u; i++) {
            const uint bits = top[i] >> (2u * r.run);
            w[i] = r.first.x * (w[i] + float((bits & 1u) << 4)) - r.first.y;
            w[i + 4u] = r.second.x * (w[i + 4u] + float(((bits >> 1) & 1u) << 4)) - r.second.y;
        }
    }
    static uint position(uint c, uint q) { return 64u * (c >> 3) + 4u * (c & 7u) + 32u * q; }
    static uint chunk(uint k) { return ((k >> 6) << 3) + ((k & 31u) >> 2); }
};

inline float4 dequant4_q5_k(device const uchar *row, uint column) { return take4<weight_q5_k>(row, column); }
