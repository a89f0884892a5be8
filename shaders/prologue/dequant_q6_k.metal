// Prologue: weights of q6_k, blocks of 256: 128 bytes of low halves, 64 bytes of
// bit pairs, 16 signed scales, a half d. In each half of the block the low and high
// halves of byte i of a run are weights i and i + 64, with their top bits in byte
// i % 32 of the pairs; d * scale * (q - 32), a scale for 16 weights. The contract
// is that of prologue/dequant_f16.metal, the chunk that of prologue/blocks.metal.
struct weight_q6_k {
    enum : uint { WIDTH = 8 };
    struct Raw { float first, second; ushort a, b, c, d; uint run; };
    static Raw fetch(device const uchar *row, uint c)
    {
        device const uchar *block = row + (c >> 5) * 210u;
        const uint side = (c & 31u) >> 4, run = (c & 15u) >> 3, i = c & 7u;
        const float d = float(*(device const half *)(block + 208u));
        device const ushort *low = (device const ushort *)block + (c & 31u) * 2u;
        device const ushort *top = (device const ushort *)(block + 128u + 32u * side) + i * 2u;
        device const uchar *scales = block + 192u + 8u * side + 2u * run + (i >> 2);
        Raw r;
        r.first = d * low_char(ushort(scales[0]));
        r.second = d * low_char(ushort(scales[4]));
        r.a = low[0];
        r.b = low[1];
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
            w[i] = r.first * (w[i] + float((bits & 3u) << 4) - 32.0f);
            w[i + 4u] = r.second * (w[i + 4u] + float(((bits >> 4) & 3u) << 4) - 32.0f);
        }
    }
    static uint position(uint c, uint q) { return 128u * (c >> 4) + 32u * ((c & 15u) >> 3) + 4u * (c & 7u) + 64u * q; }
    static uint chunk(uint k) { return ((k >> 7) << 4) + (((k & 63u) >> 5) << 3) + ((k & 31u) >> 2); }
};

inline float4 dequant4_q6_k(device const uchar *row, uint column) { return take4<weight_q6_k>(row, column); }
