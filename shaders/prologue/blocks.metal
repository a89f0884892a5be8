// Prologue: what the block formats share.
//
// A block format is a weight format as prologue/dequant_f16.metal says, whose chunk
// is GROUPS groups of as many quads. levels(raw, q) holds the levels of quad q, a
// byte each: signed where SIGNED is true, else below 128; quad(raw, q), where a format
// has it instead, is levels less BIAS as floats, in some formats times a unit.
// factors(raw, g) is a factor, divided by that unit, and an
// offset of group g. A weight is factor * (level - BIAS) - offset; OFFSETS is false
// where no offset is meant. Where RISES is true the quads of the first half of a group are times
// LOW_UNIT and those of the second times HIGH_UNIT, HALVES_RISE as much, by which the
// factor is divided. Products take the factor and the offset out of the
// inner sum: factor * sum((level - BIAS) * x) - offset * sum(x). Levels are exact,
// so in f32 this adds one rounded product a group to the sum's roundings, and where
// there are offsets they are relative to |factor * level| + |offset|, not to the
// weight.
//
// Beside the format stands dequant4_NAME(row, k), the weights k .. k + 3 of a row
// (k a multiple of 4), with every product and sum rounded as the format's
// definition has it. Blocks are read as stored, in pieces that the block's size
// keeps aligned, two bytes where it is no multiple of four; a chunk is a part of
// one block that adjacent lanes complete.
inline uint word_at2(device const uchar *p)
{
    device const ushort *h = (device const ushort *)p;
    return uint(h[0]) | uint(h[1]) << 16;
}

inline uint word_at4(device const uchar *p) { return *(device const uint *)p; }

// Four words, two, or one, in one load.
template <uint WORDS>
inline void words_at(device const uchar *p, thread uint *v)
{
    if (WORDS == 4u) {
        const uint4 w = *(device const uint4 *)p;
        v[0] = w.x;
        v[1] = w.y;
        v[2] = w.z;
        v[3] = w.w;
    } else if (WORDS == 1u) {
        v[0] = word_at4(p);
    } else {
        const uint2 w = *(device const uint2 *)p;
        v[0] = w.x;
        v[1] = w.y;
    }
}

inline half half_at(device const uchar *p) { return *(device const half *)p; }

// Four bytes as floats, less BIAS: a byte in the low bits of 2^23's fraction adds
// its value, and the difference is exact. It takes no conversion of integers, which
// GPUs make at a part of the rate. An executor that has a shorter way defines
// FOUNDRY_LEVELS4.
template <uint BIAS>
inline float4 levels4(uint v)
{
#ifdef FOUNDRY_LEVELS4
    return FOUNDRY_LEVELS4(v, BIAS);
#else
    const uint top = 0x4b000000u;
    const float4 raised = float4(as_type<float>(top | (v & 255u)), as_type<float>(top | ((v >> 8) & 255u)),
                                 as_type<float>(top | ((v >> 16) & 255u)), as_type<float>(top | (v >> 24)));
    return raised - (8388608.0f + float(BIAS));
#endif
}

// The low halves of four bytes as floats, or the high ones, less BIAS.
// FOUNDRY_NIBBLES4 is an executor's shorter way.
template <uint BIAS, bool HIGH>
inline float4 nibbles4(uint v)
{
#ifdef FOUNDRY_NIBBLES4
    return FOUNDRY_NIBBLES4(v, BIAS, HIGH);
#else
    return levels4<BIAS>((HIGH ? v >> 4 : v) & 0x0f0f0f0fu);
#endif
}

// Levels under a power of two, which an executor may choose: four bytes below 128
// times BYTE_UNIT, the low halves of four bytes times LOW_UNIT, their high halves
// times HIGH_UNIT; with a fifth bit each, bit 4 of four bytes of `fifth` for the low
// ones, bit 5 for the high ones; with a placed one, bit 4 and for the high ones bit 0 of
// the next byte, the last one's in the first; two numbers below 1024, in the halves of a
// word, times BYTE_UNIT. Factors that are divided by the same unit make the
// same weights, bit for bit. FOUNDRY_SMALL is an executor's own namespace of all of it.
#ifdef FOUNDRY_SMALL
using namespace FOUNDRY_SMALL;
#else
constant constexpr float BYTE_UNIT = 1.0f, LOW_UNIT = 1.0f, HIGH_UNIT = 1.0f;
inline float4 small_levels4(uint v) { return levels4<0u>(v); }
template <bool HIGH>
inline float4 small_nibbles4(uint v) { return nibbles4<0u, HIGH>(v); }
template <bool HIGH>
inline float4 small_fives4(uint v, uint fifth)
{
    return levels4<0u>(((HIGH ? v >> 4 : v) & 0x0f0f0f0fu) | ((HIGH ? fifth >> 1 : fifth) & 0x10101010u));
}
template <bool HIGH>
inline float4 small_placed_fives4(uint v, uint fifth)
{
    return levels4<0u>(((HIGH ? v >> 4 : v) & 0x0f0f0f0fu) | ((HIGH ? rotate(fifth, 28u) : fifth) & 0x10101010u));
}
inline float2 small_pair(uint v)
{
    return float2(as_type<float>(0x4b000000u | (v & 0xffffu)), as_type<float>(0x4b000000u | (v >> 16))) - 8388608.0f;
}
#endif
constant constexpr float HALVES_RISE = HIGH_UNIT / LOW_UNIT;

// Four signed bytes as floats.
inline float4 signed_levels4(uint v) { return levels4<128u>(v ^ 0x80808080u); }

inline void put4(thread float *w, float4 v)
{
    w[0] = v.x;
    w[1] = v.y;
    w[2] = v.z;
    w[3] = v.w;
}

// What formats derive from: what the first half of a group has, in the unit of the second;
// quad q of a chunk without factor and offset, which formats of four bits replace; the
// chunk's weights, and these times a power of two.
template <typename W>
struct block_format {
    enum : uint { TURNS = 1, GROUPS = 1, BIAS = 0, SIGNED = false, OFFSETS = false, RISES = false };
    static float risen(float low) { return W::RISES ? low * HALVES_RISE : low; }
    template <typename Raw>
    static float4 quad(Raw r, uint q)
    {
        return W::SIGNED ? signed_levels4(W::levels(r, q)) : levels4<W::BIAS>(W::levels(r, q));
    }
    template <typename Raw>
    static void expand(Raw r, thread float *w) { expand_times(r, 1.0f, w); }
    template <typename Raw>
    static void expand_times(Raw r, float power, thread float *w)
    {
        FOUNDRY_UNROLL
        for (uint q = 0u; q < W::WIDTH / 4u; q++) {
            constexpr uint QUADS = W::WIDTH / 4u / W::GROUPS;
            const float2 f = W::factors(r, q / QUADS) * power;
            const float4 v = W::quad(r, q);
            const float factor = q % QUADS < QUADS / 2u ? risen(f.x) : f.x;
            put4(w + 4u * q, W::OFFSETS ? fma(v, float4(factor), float4(-f.y)) : v * factor);
        }
    }
};

// The low and the high halves of four bytes, each in a byte.
inline uint low_halves(uint v) { return v & 0x0f0f0f0fu; }
inline uint high_halves(uint v) { return (v >> 4) & 0x0f0f0f0fu; }

// Bits 0 to 3 of v as bit 4 of four bytes: the product puts bit i at i + 7j for
// j = 0 to 3, all different, and the mask keeps those where both are equal.
inline uint fifth_bits(uint v) { return (((v & 15u) * 0x00204081u) & 0x01010101u) << 4; }

// Where the weights of a chunk stand whose levels are the halves of a fourth of a
// block's 16 bytes: four of the block's first 16 weights, and those 16 further on.
inline uint halves_position(uint c, uint q) { return 32u * (c / 4u) + 4u * (c % 4u) + 16u * q; }
