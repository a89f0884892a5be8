// Prologue: weights of bf16, the upper halves of floats, read 8, 4 or 1 to a
// lane. The contract is that of prologue/dequant_f16.metal.
struct weight_bf16_8 {
    enum : uint { WIDTH = 8, GROUPS = 0 };
    typedef uint4 Raw;
    static Raw fetch(device const uchar *row, uint c) { return ((device const uint4 *)row)[c]; }
    static void expand(Raw r, thread float *w)
    {
        w[0] = as_type<float>(r.x << 16); w[1] = as_type<float>(r.x & 0xffff0000u);
        w[2] = as_type<float>(r.y << 16); w[3] = as_type<float>(r.y & 0xffff0000u);
        w[4] = as_type<float>(r.z << 16); w[5] = as_type<float>(r.z & 0xffff0000u);
        w[6] = as_type<float>(r.w << 16); w[7] = as_type<float>(r.w & 0xffff0000u);
    }
    static uint position(uint c, uint q) { return 8u * c + 4u * q; }
};

struct weight_bf16_4 {
    enum : uint { WIDTH = 4, GROUPS = 0 };
    typedef uint2 Raw;
    static Raw fetch(device const uchar *row, uint c) { return ((device const uint2 *)row)[c]; }
    static void expand(Raw r, thread float *w)
    {
        w[0] = as_type<float>(r.x << 16); w[1] = as_type<float>(r.x & 0xffff0000u);
        w[2] = as_type<float>(r.y << 16); w[3] = as_type<float>(r.y & 0xffff0000u);
    }
    static uint position(uint c, uint) { return 4u * c; }
};

struct weight_bf16_1 {
    enum : uint { WIDTH = 1, GROUPS = 0 };
    typedef ushort Raw;
    static Raw fetch(device const uchar *row, uint c) { return ((device const ushort *)row)[c]; }
    static void expand(Raw r, thread float *w) { w[0] = as_type<float>(uint(r) << 16); }
    static uint position(uint c, uint) { return c; }
};
