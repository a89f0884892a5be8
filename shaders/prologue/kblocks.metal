// Prologue: the scales of q4_k and q5_k.
//
// Twelve bytes pack a 6-bit scale and a 6-bit minimum for each of eight runs of
// 32 weights: runs 0 to 3 lie in the low six bits of bytes 0-3 and 4-7; runs 4 to
// 7 have their low four bits in bytes 8-11 and the top two where the first runs
// left them free. scale_min gives (d * scale, m * minimum) of run j.
inline float2 scale_min(device const uchar *packed, uint j, float d, float m)
{
    if (j < 4u) return float2(d * float(packed[j] & 63u), m * float(packed[j + 4u] & 63u));
    const uint both = packed[j + 4u];
    const uint s = (both & 15u) | ((uint(packed[j - 4u]) >> 6) << 4);
    const uint o = (both >> 4) | ((uint(packed[j]) >> 6) << 4);
    return float2(d * float(s), m * float(o));
}
