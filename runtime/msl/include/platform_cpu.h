// The platform g++ or clang on a CPU: half is _Float16, mathematics is libm's.
#if !defined(__FLT16_MANT_DIG__)
#error "the compiler has no _Float16: take g++ 12, clang 15 or newer"
#endif

#define FOUNDRY_LIBM(f) __builtin_##f
#define FOUNDRY_POPCOUNT(x) __builtin_popcount(x)
#define FOUNDRY_CLZ(x) __builtin_clz(x)
#define FOUNDRY_CONSTEXPR_HALF constexpr
#define FOUNDRY_CPU 1
#ifdef __clang__
#define FOUNDRY_UNROLL _Pragma("unroll")
#else
#define FOUNDRY_UNROLL _Pragma("GCC unroll 64")
#endif

typedef _Float16 foundry_half_bits;
constexpr foundry_half_bits foundry_to_half(float f) { return (_Float16)f; }
constexpr float foundry_to_float(foundry_half_bits h) { return (float)h; }

namespace metal {
inline unsigned foundry_atomic_load(unsigned* p) { return __atomic_load_n(p, __ATOMIC_RELAXED); }
inline void foundry_atomic_store(unsigned* p, unsigned x) { __atomic_store_n(p, x, __ATOMIC_RELAXED); }
inline unsigned foundry_atomic_exchange(unsigned* p, unsigned x) { return __atomic_exchange_n(p, x, __ATOMIC_RELAXED); }
inline bool foundry_atomic_compare_exchange(unsigned* p, unsigned* expected, unsigned desired) {
    return __atomic_compare_exchange_n(p, expected, desired, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}
}  // namespace metal
