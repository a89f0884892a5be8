// Prologue: the scales and minima of q4_k and q5_k in planes, 6 bits each, for a run of
// 32 weights.
//
// head: the block's 16 bytes, f16 scale and f16 minimum in x; byte r of y and z is the
// scale of run r above the low two bits of its minimum, half r of w the minimum's other
// four. k_run_packed returns the scale times four in its low half and the minimum in its
// high one, k_run_factors the run's factor, divided by a unit, and its offset; both are
// exact, products of 11 and 6 bits.
//
// FOUNDRY_BYTE_TWICE is byte i of a, and behind it of b, as bytes 0 and 2; an executor
// whose machine permutes bytes defines it as that, with anything as bytes 1 and 3.
#ifndef FOUNDRY_BYTE_TWICE
#define FOUNDRY_BYTE_TWICE(a, b, i) (((((i) < 4u ? (a) : (b)) >> (8u * ((i) % 4u))) & 0xffu) * 0x00010001u)
#endif
inline uint k_run_packed(uint4 head, uint run)
{
    const uint scale = FOUNDRY_BYTE_TWICE(head.y, head.z, run), minimum = rotate(head.w, 18u + 4u * (8u - run));
    return (scale & 0x000300fcu) | (minimum & 0x003c0000u);
}

inline float2 k_run_factors(uint scale, uint packed, float unit)
{
    const float2 s = float2(as_type<half2>(scale)) * float2(0.25f / (BYTE_UNIT * unit), 1.0f / BYTE_UNIT);
    return s * small_pair(packed);
}
