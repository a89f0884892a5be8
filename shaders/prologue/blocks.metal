// Prologue: what the block formats share.
//
// A block format is a weight format as prologue/dequant_f16.metal says; beside it
// stands dequant4_NAME(row, k), the weights k .. k + 3 of a row (k a multiple of
// 4), with every product and sum rounded as the format's definition has it; the
// chunks of a product may use fma instead. Blocks are read as stored: a chunk is
// a part of one block that adjacent lanes complete, and words are read in pieces
// that the block's size keeps aligned, two bytes where it is no multiple of four.
inline uint word_at2(device const uchar *p)
{
    device const ushort *h = (device const ushort *)p;
    return uint(h[0]) | uint(h[1]) << 16;
}

inline uint word_at4(device const uchar *p) { return *(device const uint *)p; }
inline half half_at(device const uchar *p) { return *(device const half *)p; }

// Four bytes as floats, less an offset: a byte in the low bits of 2^23's fraction
// adds its value, and the difference is exact. It takes no conversion, which GPUs
// make at a part of the rate.
//
// FOUNDRY_BYTE_UNDER is byte i of v below the upper three bytes of top, whose lowest
// is 0; an executor whose machine permutes bytes defines it as that.
#ifndef FOUNDRY_BYTE_UNDER
#define FOUNDRY_BYTE_UNDER(top, v, i) ((top) | (((v) >> (8u * (i))) & 255u))
#endif
inline float4 levels4(uint v, float offset)
{
    const uint top = 0x4b000000u;
    const float4 raised = float4(as_type<float>(FOUNDRY_BYTE_UNDER(top, v, 0u)), as_type<float>(FOUNDRY_BYTE_UNDER(top, v, 1u)),
                                 as_type<float>(FOUNDRY_BYTE_UNDER(top, v, 2u)), as_type<float>(FOUNDRY_BYTE_UNDER(top, v, 3u)));
    return raised - (8388608.0f + offset);
}

// Four signed bytes as floats.
inline float4 signed_levels4(uint v) { return levels4(v ^ 0x80808080u, 128.0f); }

// The low and the high halves of four bytes, each in a byte.
inline uint low_halves(uint v) { return v & 0x0f0f0f0fu; }
inline uint high_halves(uint v) { return (v >> 4) & 0x0f0f0f0fu; }

// Bits 0 to 3 of v as bit 4 of four bytes: the product puts bit i at i + 7j for
// j = 0 to 3, all different, and the mask keeps those where both are equal.
inline uint fifth_bits(uint v) { return (((v & 15u) * 0x00204081u) & 0x01010101u) << 4; }

inline void put4(thread float *w, float4 v)
{
    w[0] = v.x;
    w[1] = v.y;
    w[2] = v.z;
    w[3] = v.w;
}

// Where the weights of a chunk stand whose levels are the halves of a fourth of a
// block's 16 bytes: four of the block's first 16 weights, and those 16 further on.
inline uint halves_position(uint c, uint q) { return 32u * (c / 4u) + 4u * (c % 4u) + 16u * q; }
