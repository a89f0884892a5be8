// Prologue: affine weights: blocks of GROUP levels of BITS bits, lowest bits first,
// behind their scale and their bias or zero point; a weight is scale * level + bias,
// or scale * (level - zero) where ZEROS is 1. SCALES reads a block's two numbers. A
// chunk is WIDTH adjacent weights, which are whole words. The contract is that of
// prologue/blocks.metal; levels of eight bits are signed, less 128, which the offset
// has back.
struct affine_f16 {
    enum : uint { BYTES = 4 };
    typedef uint Raw;
    static Raw fetch(device const uchar *p) { return word_at4(p); }
    static float2 pair(Raw r) { return float2(as_type<half2>(r)); }
};

struct affine_bf16 {
    enum : uint { BYTES = 4 };
    typedef uint Raw;
    static Raw fetch(device const uchar *p) { return word_at4(p); }
    static float2 pair(Raw r) { return float2(as_type<float>(r << 16), as_type<float>(r & 0xffff0000u)); }
};

struct affine_f32 {
    enum : uint { BYTES = 8 };
    typedef uint2 Raw;
    static Raw fetch(device const uchar *p) { return uint2(word_at4(p), word_at4(p + 4u)); }
    static float2 pair(Raw r) { return float2(as_type<float>(r.x), as_type<float>(r.y)); }
};

// The four levels at the low end of v, a byte each: first two pairs, sixteen bits
// apart, then each pair's levels, eight bits apart.
template <uint BITS>
inline uint affine_spread(uint v)
{
    constexpr uint PAIR = (1u << (2u * BITS)) - 1u, LEVELS = ((1u << BITS) - 1u) * 0x00010001u;
    const uint pairs = (v & PAIR) | ((v << (16u - 2u * BITS)) & (PAIR << 16));
    return (pairs & LEVELS) | ((pairs << (8u - BITS)) & (LEVELS << 8));
}

// The first or second four of a word's eight levels of four bits, as floats.
// FOUNDRY_NIBBLES_IN_ORDER4 is an executor's shorter way.
template <bool SECOND>
inline float4 affine_nibbles4(uint v)
{
#ifdef FOUNDRY_NIBBLES_IN_ORDER4
    return FOUNDRY_NIBBLES_IN_ORDER4(v, SECOND);
#else
    return levels4<0u>(affine_spread<4u>(SECOND ? v >> 16 : v));
#endif
}

template <uint BITS, uint GROUP, typename SCALES, uint ZEROS, uint WEIGHTS>
struct weight_affine : block_format<weight_affine<BITS, GROUP, SCALES, ZEROS, WEIGHTS>> {
    enum : uint {
        WIDTH = WEIGHTS, SIGNED = BITS == 8u, OFFSETS = true,
        WORDS = WEIGHTS * BITS / 32u, CHUNKS = GROUP / WEIGHTS, BLOCK = SCALES::BYTES + GROUP * BITS / 8u
    };
    struct Raw {
        uint word[WORDS];
        typename SCALES::Raw scales;
    };
    static Raw fetch(device const uchar *row, uint c)
    {
        device const uchar *block = row + c / CHUNKS * BLOCK;
        device const uint *word = (device const uint *)(block + SCALES::BYTES) + c % CHUNKS * WORDS;
        Raw r;
        r.scales = SCALES::fetch(block);
        FOUNDRY_UNROLL
        for (uint i = 0u; i < WORDS; i++) r.word[i] = word[i];
        return r;
    }
    static uint levels(Raw r, uint q)
    {
        const uint bit = 4u * BITS * q, i = bit / 32u, shift = bit % 32u;
        uint v = r.word[i] >> shift;
        if (shift + 4u * BITS > 32u) v |= r.word[min(i + 1u, WORDS - 1u)] << (32u - shift);
        return BITS == 8u ? v ^ 0x80808080u : affine_spread<BITS>(v);
    }
    static float4 quad(Raw r, uint q)
    {
        if (BITS == 4u) return q % 2u == 0u ? affine_nibbles4<false>(r.word[q / 2u]) : affine_nibbles4<true>(r.word[q / 2u]);
        return SIGNED ? signed_levels4(levels(r, q)) : levels4<0u>(levels(r, q));
    }
    static float2 factors(Raw r, uint)
    {
        const float2 p = SCALES::pair(r.scales);
        const float raised = SIGNED ? 128.0f : 0.0f;
        return float2(p.x, ZEROS ? p.x * (p.y - raised) : fma(p.x, -raised, -p.y));
    }
    static uint position(uint c, uint q) { return WIDTH * c + 4u * q; }
    static uint place(uint quad) { return quad; }
};

template <uint BITS, uint GROUP, typename SCALES, uint ZEROS>
inline float4 dequant4_affine(device const uchar *row, uint k)
{
    device const uchar *block = row + k / GROUP * (SCALES::BYTES + GROUP * BITS / 8u);
    const uint bit = k % GROUP * BITS, shift = bit % 32u;
    device const uchar *word = block + SCALES::BYTES + bit / 32u * 4u;
    uint v = word_at4(word) >> shift;
    if (shift + 4u * BITS > 32u) v |= word_at4(word + 4u) << (32u - shift);
    const float4 level = BITS == 8u ? signed_levels4(v ^ 0x80808080u) + 128.0f : levels4<0u>(affine_spread<BITS>(v));
    const float2 p = SCALES::pair(SCALES::fetch(block));
    return ZEROS ? (level - p.y) * p.x : level * p.x + p.y;
}
