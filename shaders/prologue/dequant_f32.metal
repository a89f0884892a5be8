// Prologue: weights of f32, read 4 or 1 to a lane. The contract is that of
// prologue/dequant_f16.metal.
struct weight_f32_4 {
    enum : uint { WIDTH = 4, GROUPS = 0 };
    typedef float4 Raw;
    static Raw fetch(device const uchar *row, uint c) { return ((device const float4 *)row)[c]; }
    static void expand(Raw r, thread float *w) { w[0] = r.x; w[1] = r.y; w[2] = r.z; w[3] = r.w; }
    static uint position(uint c, uint) { return 4u * c; }
};

struct weight_f32_1 {
    enum : uint { WIDTH = 1, GROUPS = 0 };
    typedef float Raw;
    static Raw fetch(device const uchar *row, uint c) { return ((device const float *)row)[c]; }
    static void expand(Raw r, thread float *w) { w[0] = r; }
    static uint position(uint c, uint) { return c; }
};
