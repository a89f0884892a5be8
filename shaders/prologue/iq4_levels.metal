// Prologue: the values that the levels of iq4_nl and iq4_xs stand for: -127, -104,
// -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113.
//
// iq4_values returns those of four levels, a level in each byte, as signed bytes.
inline uint iq4_value(uint level)
{
    const uint below = level < 4u ? 0xbfad9881u : 0xf6eaddcfu, above = level < 12u ? 0x26190d01u : 0x71594535u;
    return ((level < 8u ? below : above) >> (level % 4u * 8u)) & 255u;
}

inline uint iq4_values(uint v)
{
    return iq4_value(v & 15u) | iq4_value((v >> 8) & 15u) << 8 | iq4_value((v >> 16) & 15u) << 16 | iq4_value((v >> 24) & 15u) << 24;
}
