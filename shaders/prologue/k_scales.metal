// Prologue: the scales and minima of q4_k and q5_k, 6 bits each, for a pair of
// runs of 32 weights.
//
// head: the block's first 16 bytes, f16 scale and f16 minimum in x, 12 bytes of
// packed numbers in y, z and w. Runs 0 to 3 lie whole in the low six bits of y
// (scales) and z (minima); runs 4 to 7 have four bits in w and the other two in
// the bits that are left in y and z. k_packed returns, for runs 2 * pair and
// 2 * pair + 1, the scales in bytes 0 and 1 and the minima in bytes 2 and 3: the
// pair's halves of y, z and w, then for whole and split runs the same shift and
// masks with other numbers, which depend on the pair alone.
//
// FOUNDRY_HALVES_AT is halfword i of a, and that of b above it; an executor whose
// machine permutes bytes defines it as that.
#ifndef FOUNDRY_HALVES_AT
#define FOUNDRY_HALVES_AT(a, b, i) ((((a) >> (16u * (i))) & 0xffffu) | ((b) >> (16u * (i))) << 16)
#endif
inline uint k_packed(uint4 head, uint pair)
{
    const uint whole = FOUNDRY_HALVES_AT(head.y, head.z, pair & 1u), low = FOUNDRY_HALVES_AT(head.w, head.w >> 4, pair & 1u);
    const uint masks = pair < 2u ? 0x3f3f3f3fu : 0x30303030u;
    return ((whole >> (pair < 2u ? 0u : 2u)) & masks) | (low & ~masks & 0x0f0f0f0fu);
}

// The factor, divided by a unit, and the offset of the first (run 0) or second run
// of a pair; both are exact, products of 11 and 6 bits.
inline float2 k_factors(uint scale, uint packed, uint run, float unit)
{
    const float2 s = float2(as_type<half2>(scale)) * float2(1.0f / (BYTE_UNIT * unit), 1.0f / BYTE_UNIT);
    const float4 p = small_levels4(packed);
    return run == 0u ? float2(s.x * p.x, s.y * p.z) : float2(s.x * p.y, s.y * p.w);
}

// Where quad q of chunk c stands, of WORDS quads from each run of a pair.
template <uint WORDS>
inline uint k_position(uint c, uint q)
{
    return 64u * (c / (8u / WORDS)) + 4u * WORDS * (c % (8u / WORDS)) + 32u * (q / WORDS) + 4u * (q % WORDS);
}

// The place among chunks of 32 weights, eight quads each, of quad `quad` of a row.
inline uint k_place(uint quad)
{
    return (quad & ~15u) + (quad / 4u % 2u) * 8u + (quad / 8u % 2u) * 4u + quad % 4u;
}
