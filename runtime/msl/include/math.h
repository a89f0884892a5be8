// Scalar functions of the Metal language. Those of float are the platform's own,
// half goes through float. There is one accuracy, which fast:: and precise:: name, but for
// fast::exp2.
namespace metal {

#define FOUNDRY_FLOAT1(name, f)                                     \
    inline float name(float x) { return FOUNDRY_LIBM(f)(x); }       \
    inline half name(half x) { return half(name(float(x))); }
FOUNDRY_FLOAT1(log, logf)
FOUNDRY_FLOAT1(log2, log2f)
FOUNDRY_FLOAT1(log10, log10f)
FOUNDRY_FLOAT1(sqrt, sqrtf)
FOUNDRY_FLOAT1(sin, sinf)
FOUNDRY_FLOAT1(cos, cosf)
FOUNDRY_FLOAT1(tan, tanf)
FOUNDRY_FLOAT1(asin, asinf)
FOUNDRY_FLOAT1(acos, acosf)
FOUNDRY_FLOAT1(atan, atanf)
FOUNDRY_FLOAT1(sinh, sinhf)
FOUNDRY_FLOAT1(cosh, coshf)
FOUNDRY_FLOAT1(tanh, tanhf)
FOUNDRY_FLOAT1(floor, floorf)
FOUNDRY_FLOAT1(ceil, ceilf)
FOUNDRY_FLOAT1(trunc, truncf)
FOUNDRY_FLOAT1(round, roundf)
FOUNDRY_FLOAT1(rint, rintf)
FOUNDRY_FLOAT1(fabs, fabsf)
#undef FOUNDRY_FLOAT1

#ifndef FOUNDRY_EXP
#define FOUNDRY_EXP(x) FOUNDRY_LIBM(expf)(x)
#define FOUNDRY_EXP2(x) FOUNDRY_LIBM(exp2f)(x)
#endif
inline float exp(float x) { return FOUNDRY_EXP(x); }
inline half exp(half x) { return half(exp(float(x))); }
inline float exp2(float x) { return FOUNDRY_EXP2(x); }
inline half exp2(half x) { return half(exp2(float(x))); }
inline float exp10(float x) { return FOUNDRY_LIBM(powf)(10.0f, x); }
inline half exp10(half x) { return half(exp10(float(x))); }
#ifndef FOUNDRY_RSQRT
#define FOUNDRY_RSQRT(x) (1.0f / FOUNDRY_LIBM(sqrtf)(x))
#endif
inline float rsqrt(float x) { return FOUNDRY_RSQRT(x); }
inline half rsqrt(half x) { return half(rsqrt(float(x))); }

#define FOUNDRY_FLOAT2(name, f)                                                        \
    inline float name(float x, float y) { return FOUNDRY_LIBM(f)(x, y); }              \
    inline half name(half x, half y) { return half(name(float(x), float(y))); }
FOUNDRY_FLOAT2(pow, powf)
FOUNDRY_FLOAT2(fmod, fmodf)
FOUNDRY_FLOAT2(atan2, atan2f)
FOUNDRY_FLOAT2(copysign, copysignf)
#undef FOUNDRY_FLOAT2

// The number, where the other is none.
inline float fmin(float x, float y) { return x <= y || y != y ? x : y; }
inline float fmax(float x, float y) { return x >= y || y != y ? x : y; }
inline half fmin(half x, half y) { return half(fmin(float(x), float(y))); }
inline half fmax(half x, half y) { return half(fmax(float(x), float(y))); }
inline float powr(float x, float y) { return pow(x, y); }
inline float ldexp(float x, int e) { return FOUNDRY_LIBM(ldexpf)(x, e); }
inline float fma(float a, float b, float c) { return FOUNDRY_LIBM(fmaf)(a, b, c); }
// Exact in float up to the last addition; halves are 11 bits, products 22.
inline half fma(half a, half b, half c) { return half(FOUNDRY_LIBM(fmaf)(float(a), float(b), float(c))); }

inline bool isnan(float x) { return x != x; }
inline bool isnan(half x) { return isnan(float(x)); }
inline bool isinf(float x) { return x == INFINITY || x == -INFINITY; }
inline bool isinf(half x) { return isinf(float(x)); }
inline bool isfinite(float x) { return x - x == 0.0f; }
inline bool isfinite(half x) { return isfinite(float(x)); }
inline bool signbit(float x) { return as_type<int>(x) < 0; }

inline float fract(float x) { return fmin(x - floor(x), 0x1.fffffep-1f); }
inline half fract(half x) { return half(float(x) - floor(float(x))); }
inline float sign(float x) { return x > 0.0f ? 1.0f : x < 0.0f ? -1.0f : isnan(x) ? 0.0f : x; }
inline half sign(half x) { return half(sign(float(x))); }
inline float mix(float a, float b, float t) { return a + (b - a) * t; }
inline half mix(half a, half b, half t) { return a + (b - a) * t; }
inline float step(float edge, float x) { return x < edge ? 0.0f : 1.0f; }
inline half step(half edge, half x) { return x < edge ? half(0.0f) : half(1.0f); }

// Both arguments of one type, as overloads would have it: max(1u, 2) is an error.
// A NaN loses against a number.
template <class T> inline enable_if_t<is_scalar_v<T>, T> min(T a, T b) {
    if constexpr (is_integer_v<T>) return b < a ? b : a;
    else return fmin(a, b);
}
template <class T> inline enable_if_t<is_scalar_v<T>, T> max(T a, T b) {
    if constexpr (is_integer_v<T>) return a < b ? b : a;
    else return fmax(a, b);
}
template <class T> inline enable_if_t<is_scalar_v<T>, T> clamp(T x, T low, T high) { return min(max(x, low), high); }
inline float saturate(float x) { return clamp(x, 0.0f, 1.0f); }
inline half saturate(half x) { return half(saturate(float(x))); }
inline float smoothstep(float a, float b, float x) {
    float t = saturate((x - a) / (b - a));
    return t * t * (3.0f - 2.0f * t);
}
inline half smoothstep(half a, half b, half x) { return half(smoothstep(float(a), float(b), float(x))); }

inline float abs(float x) { return fabs(x); }
inline half abs(half x) { return fabs(x); }
template <class T> inline enable_if_t<is_integer_v<T>, T> abs(T x) {
    return x < T(0) ? T(-x) : x;
}
template <class T> inline enable_if_t<is_integer_v<T>, T> absdiff(T a, T b) { return a > b ? T(a - b) : T(b - a); }

template <class T> inline enable_if_t<is_scalar_v<T>, T> select(T a, T b, bool c) { return c ? b : a; }

template <class T> inline enable_if_t<is_integer_v<T>, T> popcount(T x) {
    ulong u = ulong(x) & ~0UL >> (64 - 8 * sizeof(T));
    T n = 0;
    for (; u; u &= u - 1) n++;
    return n;
}
inline int popcount(int x) { return FOUNDRY_POPCOUNT(uint(x)); }
inline uint popcount(uint x) { return uint(FOUNDRY_POPCOUNT(x)); }
// Of 0 it is the number of bits.
template <class T> inline enable_if_t<is_integer_v<T>, T> clz(T x) {
    constexpr int bits = 8 * sizeof(T);
    int n = 0;
    while (n < bits && !(ulong(x) >> (bits - 1 - n) & 1)) n++;
    return T(n);
}
inline uint clz(uint x) { return x ? uint(FOUNDRY_CLZ(x)) : 32u; }
inline int clz(int x) { return int(clz(uint(x))); }
template <class T> inline enable_if_t<is_integer_v<T>, T> ctz(T x) {
    constexpr int bits = 8 * sizeof(T);
    int n = 0;
    while (n < bits && !(ulong(x) >> n & 1)) n++;
    return T(n);
}
inline uint ctz(uint x) { return x ? 31u - uint(FOUNDRY_CLZ(x & (0u - x))) : 32u; }
inline int ctz(int x) { return int(ctz(uint(x))); }

inline uint mulhi(uint a, uint b) { return uint(ulong(a) * ulong(b) >> 32); }
inline int mulhi(int a, int b) { return int(long(a) * long(b) >> 32); }
template <class T> inline enable_if_t<is_integer_v<T>, T> rotate(T x, T by) {
    constexpr uint bits = 8 * sizeof(T);
    uint n = uint(by) & (bits - 1);
    ulong u = ulong(x) & ~0UL >> (64 - bits);
    return n ? T(u << n | u >> (bits - n)) : x;
}
inline uint rotate(uint x, uint by) {
#if FOUNDRY_CUDA
    return __funnelshift_l(x, x, by);
#else
    return x << (by & 31u) | x >> ((0u - by) & 31u);
#endif
}
inline uint extract_bits(uint x, uint offset, uint bits) { return bits == 0 ? 0 : x >> offset & (0xFFFFFFFFu >> (32 - bits)); }

// The named accuracies; vectors come through the template.
#define FOUNDRY_NAMED1(name) \
    template <class A> inline auto name(const A& a) -> decltype(metal::foundry_call_##name(a)) { return metal::foundry_call_##name(a); }
#define FOUNDRY_CALL1(name) \
    template <class A> inline auto foundry_call_##name(const A& a) -> decltype(name(a)) { return name(a); }
#define FOUNDRY_NAMED(M) M(exp) M(exp10) M(log) M(log2) M(log10) M(sqrt) M(rsqrt) M(sin) M(cos) M(tan) M(tanh)
FOUNDRY_NAMED(FOUNDRY_CALL1)
namespace fast { FOUNDRY_NAMED(FOUNDRY_NAMED1) }
FOUNDRY_CALL1(exp2)
namespace precise { FOUNDRY_NAMED(FOUNDRY_NAMED1) FOUNDRY_NAMED1(exp2) }
namespace fast {
inline float exp2(float x) { return FOUNDRY_FAST_EXP2(x); }
inline float pow(float a, float b) { return metal::pow(a, b); }
inline float divide(float a, float b) { return a / b; }
}
namespace precise {
inline float pow(float a, float b) { return metal::pow(a, b); }
inline float divide(float a, float b) { return a / b; }
}
#undef FOUNDRY_NAMED
#undef FOUNDRY_NAMED1
#undef FOUNDRY_CALL1

}  // namespace metal
