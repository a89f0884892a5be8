// The platform g++ or clang on a CPU: half is stored in the compiler's own type,
// mathematics is libm's.
#if defined(__aarch64__)
typedef __fp16 foundry_half_bits;
#elif defined(__FLT16_MANT_DIG__)
typedef _Float16 foundry_half_bits;
#else
#error "the compiler has no _Float16: take g++ 12, clang 15 or newer"
#endif

#define FOUNDRY_LIBM(f) __builtin_##f
#define FOUNDRY_POPCOUNT(x) __builtin_popcount(x)
#define FOUNDRY_CLZ(x) __builtin_clz(x)
#define FOUNDRY_CONSTEXPR_HALF constexpr
#define FOUNDRY_CPU 1
#define FOUNDRY_UNROLL_TILES
#if defined(FOUNDRY_ROLLED)  // compiles in half the time
#define FOUNDRY_UNROLL
#elif defined(__clang__)
#define FOUNDRY_UNROLL _Pragma("unroll")
#else
#define FOUNDRY_UNROLL _Pragma("GCC unroll 64")
#endif

constexpr foundry_half_bits foundry_to_half(float f) { return (foundry_half_bits)f; }
constexpr float foundry_to_float(foundry_half_bits h) { return (float)h; }

// An exponent, but for those far beyond what a float can be a power of: a power of the
// bound is 0 or infinity as theirs are.
static inline double foundry_bounded(double t) {
    constexpr double most = 160;
    return t < -most ? -most : t > most ? most : t;
}

// 2^t to about 1e-10, so that the float made of it is the nearest one almost
// always. Inline, as softmax takes many in a row, and alike on every system.
static inline double foundry_exp2(double t) {
    t = foundry_bounded(t);
    const double shifted = t + 0x1.8p52;              // rounds t to an integer in the low bits
    const double r = t - (shifted - 0x1.8p52);
    long bits;
    __builtin_memcpy(&bits, &shifted, sizeof bits);
    const long exponent = (bits + 1023) << 52;
    double scale;
    __builtin_memcpy(&scale, &exponent, sizeof scale);
    // The powers of ln 2 over the factorials, in pairs.
    const double r2 = r * r, r4 = r2 * r2;
    const double low = (1.0 + r * 0x1.62e42fefa39efp-1) + r2 * (0x1.ebfbdff82c58ep-3 + r * 0x1.c6b08d704a0c0p-5);
    const double high = (0x1.3b2ab6fba4e77p-7 + r * 0x1.5d87fe78a6731p-10) + r2 * (0x1.430912f86c787p-13 + r * 0x1.ffcbfc588b0c6p-17);
    return (low + r4 * (high + r4 * 0x1.62c0223a5c823p-20)) * scale;
}

// fast::exp2 of Metal, which may be off by 3 + floor(|2x|) units in the last place and makes
// 0 of what is subnormal (Metal Shading Language Specification 4, 8.1 and table 8.2). So it
// is here, by half of that and more at the worst: how far, and which way, hangs on the bits
// of x. A result lies between 2^24 and 2^23 of its units.
static inline float foundry_fast_exp2(float x) {
    unsigned bits;
    __builtin_memcpy(&bits, &x, sizeof bits);
    const double drawn = (double)(int)((bits * 2654435761u ^ bits >> 15) * 2246822519u) * 0x1p-31;
    const double t = foundry_bounded(x);
    const double most = 2 + __builtin_floor(__builtin_fabs(t + t));
    const float y = (float)(foundry_exp2(t) * (1.0 + drawn * most * 0x1p-24));
    return x < -126.0f ? 0.0f : y;
}
#define FOUNDRY_FAST_EXP2(x) foundry_fast_exp2(x)
#define FOUNDRY_EXP(x) (float)foundry_exp2((double)(x) * 1.4426950408889634)
#define FOUNDRY_EXP2(x) (float)foundry_exp2(x)

namespace metal {
inline unsigned foundry_atomic_load(unsigned* p) { return __atomic_load_n(p, __ATOMIC_RELAXED); }
inline void foundry_atomic_store(unsigned* p, unsigned x) { __atomic_store_n(p, x, __ATOMIC_RELAXED); }
inline unsigned foundry_atomic_exchange(unsigned* p, unsigned x) { return __atomic_exchange_n(p, x, __ATOMIC_RELAXED); }
inline bool foundry_atomic_compare_exchange(unsigned* p, unsigned* expected, unsigned desired) {
    return __atomic_compare_exchange_n(p, expected, desired, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}
}  // namespace metal
