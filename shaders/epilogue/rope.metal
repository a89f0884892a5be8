// Epilogue: rotary position embedding of a pair (low, high), the elements i and i
// + head_dim/2 of a head, for float and float4.
//
// The angle position * inv_freq reaches 32,767 radians, where one float product
// is off by 1e-3. The product is kept as two floats (the second by fma), whole
// turns are taken off with 2 pi in two floats, and cos and sin see at most pi: the
// angle is right to 3e-7 at every position below 2^24.
inline void rope_turn(uint position, float inv_freq, thread float &c, thread float &s)
{
    const float p = float(position);
    const float high = p * inv_freq, low = fma(p, inv_freq, -high);
    const float turns = rint(high * 0.15915494f);
    const float angle = fma(turns, 1.7484556e-7f, fma(turns, -6.2831855f, high)) + low;
    c = cos(angle);
    s = sin(angle);
}

inline void rope_turn(uint position, float4 inv_freq, thread float4 &c, thread float4 &s)
{
    float a[4], b[4];
    rope_turn(position, inv_freq.x, a[0], b[0]);
    rope_turn(position, inv_freq.y, a[1], b[1]);
    rope_turn(position, inv_freq.z, a[2], b[2]);
    rope_turn(position, inv_freq.w, a[3], b[3]);
    c = float4(a[0], a[1], a[2], a[3]);
    s = float4(b[0], b[1], b[2], b[3]);
}
