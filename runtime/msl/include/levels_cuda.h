// What shaders/prologue/blocks.metal asks of an executor, on an NVIDIA GPU.
namespace metal {

// Four bytes as floats, less bias: a byte permute puts two bytes under the exponent
// of 1024 as halves, where they count by ones; the difference of halves is exact,
// and so is each conversion to float. Two permutes, two sums and four conversions
// take the place of four permutes and four sums of floats; permutes run at half the
// rate of the others.
template <uint BIAS> FOUNDRY_INLINE float4 foundry_levels4(uint v) {
    const uint less = 0xe400e400u + BIAS * 0x00010001u;
    uint low = __byte_perm(v, 0x64646464u, 0x4140), high = __byte_perm(v, 0x64646464u, 0x4342);
    asm("add.rn.f16x2 %0, %0, %1;" : "+r"(low) : "r"(less));
    asm("add.rn.f16x2 %0, %0, %1;" : "+r"(high) : "r"(less));
    return float4(float(as_type<half2>(low).x), float(as_type<half2>(low).y), float(as_type<half2>(high).x), float(as_type<half2>(high).y));
}
// The low or high halves of four bytes: under the exponent of 1024 a low half counts by
// ones, under that of 64 a high half does. A mask takes those of bytes 0 and 2, and of
// bytes 1 and 3 when the word is shifted, which both halves share: with its exponent, one
// operation for two levels.
template <uint BIAS, bool HIGH> FOUNDRY_INLINE float4 foundry_nibbles4(uint v) {
    const uint mask = HIGH ? 0x00f000f0u : 0x000f000fu, raise = HIGH ? 0x54005400u : 0x64006400u;
    const uint less = HIGH ? 0xd400d400u + BIAS * 0x00100010u : 0xe400e400u + BIAS * 0x00010001u;
    uint even, odd;
    asm("lop3.b32 %0, %1, %2, %3, 0xEA;" : "=r"(even) : "r"(v), "r"(mask), "r"(raise));
    asm("lop3.b32 %0, %1, %2, %3, 0xEA;" : "=r"(odd) : "r"(v >> 8), "r"(mask), "r"(raise));
    asm("add.rn.f16x2 %0, %0, %1;" : "+r"(even) : "r"(less));
    asm("add.rn.f16x2 %0, %0, %1;" : "+r"(odd) : "r"(less));
    return float4(float(as_type<half2>(even).x), float(as_type<half2>(odd).x), float(as_type<half2>(even).y), float(as_type<half2>(odd).y));
}
// Four of a word's eight nibbles in their order: masks with exponents take nibbles 0 and 4, 1
// and 5, and of the word shifted by a byte 2 and 6, 3 and 7, which the other four share.
template <bool SECOND> FOUNDRY_INLINE float4 foundry_nibbles_in_order4(uint v) {
    uint n[4];
    for (int i = 0; i < 4; i++) {
        const uint mask = i % 2 ? 0x00f000f0u : 0x000f000fu, raise = i % 2 ? 0x54005400u : 0x64006400u, less = i % 2 ? 0xd400d400u : 0xe400e400u;
        asm("lop3.b32 %0, %1, %2, %3, 0xEA;" : "=r"(n[i]) : "r"(i < 2 ? v : v >> 8), "r"(mask), "r"(raise));
        asm("add.rn.f16x2 %0, %0, %1;" : "+r"(n[i]) : "r"(less));
    }
    float4 f;
    for (int i = 0; i < 4; i++) f[i] = SECOND ? float(as_type<half2>(n[i]).y) : float(as_type<half2>(n[i]).x);
    return f;
}
#define FOUNDRY_NIBBLES_IN_ORDER4(v, SECOND) foundry_nibbles_in_order4<SECOND>(v)
#define FOUNDRY_NIBBLES4(v, BIAS, HIGH) foundry_nibbles4<BIAS, HIGH>(v)

// Levels without an exponent: the bits of a half below 2^-14, whose last place is 2^-24, count
// as they lie, and the conversion to float is exact. So a mask alone takes two levels, and
// nothing is subtracted.
namespace foundry_small {
constexpr float BYTE_UNIT = 0x1p-24f, LOW_UNIT = 0x1p-24f, HIGH_UNIT = 0x1p-20f;
FOUNDRY_INLINE float4 of_halves(uint even, uint odd) {
    return float4(float(as_type<half2>(even).x), float(as_type<half2>(odd).x), float(as_type<half2>(even).y), float(as_type<half2>(odd).y));
}
FOUNDRY_INLINE float4 small_levels4(uint v) {
    const uint low = __byte_perm(v, 0u, 0x4140), high = __byte_perm(v, 0u, 0x4342);
    return float4(float(as_type<half2>(low).x), float(as_type<half2>(low).y), float(as_type<half2>(high).x), float(as_type<half2>(high).y));
}
template <bool HIGH> FOUNDRY_INLINE float4 small_nibbles4(uint v) {
    const uint mask = HIGH ? 0x00f000f0u : 0x000f000fu;
    return of_halves(v & mask, (v >> 8) & mask);
}
// A fifth bit lies right above its four: bit 4 of the same byte above a low half; above a
// high half bit 0 of the next byte, which for the last one is the first.
template <bool HIGH> FOUNDRY_INLINE float4 small_placed_fives4(uint v, uint fifth) {
    const uint mask = HIGH ? 0x01f001f0u : 0x001f001fu, halves = HIGH ? 0xf0f0f0f0u : 0x0f0f0f0fu;
    uint five;
    asm("lop3.b32 %0, %1, %2, %3, 0xB8;" : "=r"(five) : "r"(fifth), "r"(halves), "r"(v));
    return of_halves(five & mask, __funnelshift_r(five, five, 8) & mask);
}
template <bool HIGH> FOUNDRY_INLINE float4 small_fives4(uint v, uint fifth) {
    return small_placed_fives4<HIGH>(v, HIGH ? __funnelshift_l(fifth, fifth, 3) : fifth);
}
FOUNDRY_INLINE float2 small_pair(uint v) { return float2(float(as_type<half2>(v).x), float(as_type<half2>(v).y)); }
}  // namespace foundry_small
#define FOUNDRY_SMALL metal::foundry_small

#define FOUNDRY_BYTE_TWICE(a, b, i) __byte_perm(a, b, (i) * 0x0101u)
#define FOUNDRY_HALVES_AT(a, b, i) __byte_perm(a, b, (i) ? 0x7632u : 0x5410u)
#define FOUNDRY_LEVELS4(v, BIAS) foundry_levels4<BIAS>(v)

}  // namespace metal
