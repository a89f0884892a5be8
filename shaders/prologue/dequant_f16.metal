// Prologue: weights of f16, read 8, 4 or 1 to a lane.
//
// A weight format has: WIDTH, the weights of one chunk; Raw, a chunk as loaded;
// fetch(row, c), chunk c of a row; expand(raw, w), its WIDTH floats; position(c,
// q), the index in the row of the first of the four weights w[4q..4q+3] (of the
// only one where WIDTH is 1); TURNS, where that may be 16, how many chunks of two runs take
// eight weights of each in turn, else 1; GROUPS, 0 where weights are floats; formats of
// levels and factors have more, which prologue/blocks.metal says. A row holds a
// multiple of WIDTH weights and starts at a multiple of a chunk's bytes.
struct weight_f16_8 {
    enum : uint { WIDTH = 8, GROUPS = 0 };
    typedef uint4 Raw;
    static Raw fetch(device const uchar *row, uint c) { return ((device const uint4 *)row)[c]; }
    static void expand(Raw r, thread float *w)
    {
        const float2 a = float2(as_type<half2>(r.x)), b = float2(as_type<half2>(r.y));
        const float2 c = float2(as_type<half2>(r.z)), d = float2(as_type<half2>(r.w));
        w[0] = a.x; w[1] = a.y; w[2] = b.x; w[3] = b.y;
        w[4] = c.x; w[5] = c.y; w[6] = d.x; w[7] = d.y;
    }
    static uint position(uint c, uint q) { return 8u * c + 4u * q; }
};

struct weight_f16_4 {
    enum : uint { WIDTH = 4, GROUPS = 0 };
    typedef half4 Raw;
    static Raw fetch(device const uchar *row, uint c) { return ((device const half4 *)row)[c]; }
    static void expand(Raw r, thread float *w)
    {
        const float4 v = float4(r);
        w[0] = v.x; w[1] = v.y; w[2] = v.z; w[3] = v.w;
    }
    static uint position(uint c, uint) { return 4u * c; }
};

struct weight_f16_1 {
    enum : uint { WIDTH = 1, GROUPS = 0 };
    typedef half Raw;
    static Raw fetch(device const uchar *row, uint c) { return ((device const half *)row)[c]; }
    static void expand(Raw r, thread float *w) { w[0] = float(r); }
    static uint position(uint c, uint) { return c; }
};
