// Prologue: the scales and minima of q4_k and q5_k, 6 bits each, for a pair of
// runs of 32 weights.
//
// head: the block's first 16 bytes, f16 scale and f16 minimum in x, 12 bytes of
// packed numbers in y, z and w. Runs 0 to 3 lie whole in the low six bits of y
// (scales) and z (minima); runs 4 to 7 have four bits in w and the other two in
// the bits that are left in y and z. k_packed returns, for runs 2 * pair and
// 2 * pair + 1, the scales in bytes 0 and 1 and the minima in bytes 2 and 3.
inline uint k_packed(uint4 head, uint pair)
{
    const uint shift = 16u * (pair & 1u);
    const uint a = (head.y >> shift) & 0xffffu, b = (head.z >> shift) & 0xffffu, c = (head.w >> shift) & 0xffffu;
    const uint whole = (a & 0x3f3fu) | (b & 0x3f3fu) << 16;
    const uint split = (c & 0x0f0fu) | ((a >> 2) & 0x3030u) | (((c >> 4) & 0x0f0fu) | ((b >> 2) & 0x3030u)) << 16;
    return pair < 2u ? whole : split;
}

// The factor and the offset of a pair's two runs: scale and minimum of the first
// in x and y, of the second in z and w.
inline float4 k_factors(uint scale, uint packed)
{
    const float2 s = float2(as_type<half2>(scale));
    const float4 p = levels4(packed, 0.0f);
    return float4(s.x * p.x, s.y * p.z, s.x * p.y, s.y * p.w);
}
