// Scalar types of the Metal language. The text of a kernel stands in a namespace
// nested in `metal`, so these names hide what a platform may declare globally.
namespace metal {

typedef unsigned char uchar;
typedef unsigned short ushort;
typedef unsigned int uint;
typedef unsigned long ulong;
typedef signed char int8_t;
typedef unsigned char uint8_t;
typedef short int16_t;
typedef unsigned short uint16_t;
typedef int int32_t;
typedef unsigned int uint32_t;
typedef long int64_t;
typedef unsigned long uint64_t;
typedef decltype(sizeof(0)) size_t;
typedef decltype((char*)0 - (char*)0) ptrdiff_t;

// A small part of type_traits; no standard header is at hand.
template <bool B, class T = void> struct enable_if {};
template <class T> struct enable_if<true, T> { typedef T type; };
template <bool B, class T = void> using enable_if_t = typename enable_if<B, T>::type;
template <class A, class B> constexpr bool is_same_v = false;
template <class A> constexpr bool is_same_v<A, A> = true;
template <class T> struct type_identity { typedef T type; };
template <class T> using identity_t = typename type_identity<T>::type;

template <class T> struct foundry_is_integer { static constexpr bool value = false; };
template <> struct foundry_is_integer<bool> { static constexpr bool value = true; };
template <> struct foundry_is_integer<char> { static constexpr bool value = true; };
template <> struct foundry_is_integer<signed char> { static constexpr bool value = true; };
template <> struct foundry_is_integer<unsigned char> { static constexpr bool value = true; };
template <> struct foundry_is_integer<short> { static constexpr bool value = true; };
template <> struct foundry_is_integer<unsigned short> { static constexpr bool value = true; };
template <> struct foundry_is_integer<int> { static constexpr bool value = true; };
template <> struct foundry_is_integer<unsigned int> { static constexpr bool value = true; };
template <> struct foundry_is_integer<long> { static constexpr bool value = true; };
template <> struct foundry_is_integer<unsigned long> { static constexpr bool value = true; };
template <> struct foundry_is_integer<long long> { static constexpr bool value = true; };
template <> struct foundry_is_integer<unsigned long long> { static constexpr bool value = true; };
template <class T> constexpr bool is_integer_v = foundry_is_integer<T>::value;

// What the platform's own arithmetic knows: everything but half and bfloat.
template <class T> constexpr bool is_native_v = is_integer_v<T> || is_same_v<T, float>;

// half: storage of 16 bits, arithmetic in float, rounded after each operation.
// Rounding a float result of + - * / and sqrt of halves gives the same as one
// correctly rounded half operation, as 24 >= 2 * 11 + 2.
struct half {
    foundry_half_bits bits;

    half() = default;
    FOUNDRY_CONSTEXPR_HALF half(float f) : bits(foundry_to_half(f)) {}
    template <class A, class = enable_if_t<is_integer_v<A>>>
    FOUNDRY_CONSTEXPR_HALF half(A a) : bits(foundry_to_half(float(a))) {}
    FOUNDRY_CONSTEXPR_HALF operator float() const { return foundry_to_float(bits); }

    template <class A> half& operator+=(A a) { return *this = half(float(*this) + float(half(a))); }
    template <class A> half& operator-=(A a) { return *this = half(float(*this) - float(half(a))); }
    template <class A> half& operator*=(A a) { return *this = half(float(*this) * float(half(a))); }
    template <class A> half& operator/=(A a) { return *this = half(float(*this) / float(half(a))); }
    half& operator++() { return *this += 1; }
    half& operator--() { return *this -= 1; }
};

// half with half or an integer is half; half with float is float.
#define FOUNDRY_HALF_OPERATOR(op)                                                                       \
    inline half operator op(half a, half b) { return half(float(a) op float(b)); }                      \
    inline float operator op(half a, float b) { return float(a) op b; }                                 \
    inline float operator op(float a, half b) { return a op float(b); }                                 \
    template <class A> inline enable_if_t<is_integer_v<A>, half> operator op(half a, A b) { return a op half(b); } \
    template <class A> inline enable_if_t<is_integer_v<A>, half> operator op(A a, half b) { return half(a) op b; }
FOUNDRY_HALF_OPERATOR(+)
FOUNDRY_HALF_OPERATOR(-)
FOUNDRY_HALF_OPERATOR(*)
FOUNDRY_HALF_OPERATOR(/)
#undef FOUNDRY_HALF_OPERATOR
inline half operator-(half a) { return half(-float(a)); }
inline half operator+(half a) { return a; }

#define FOUNDRY_HALF_COMPARISON(op)                                                                     \
    inline bool operator op(half a, half b) { return float(a) op float(b); }                            \
    template <class A> inline enable_if_t<is_native_v<A>, bool> operator op(half a, A b) { return float(a) op float(b); } \
    template <class A> inline enable_if_t<is_native_v<A>, bool> operator op(A a, half b) { return float(a) op float(b); }
FOUNDRY_HALF_COMPARISON(<)
FOUNDRY_HALF_COMPARISON(>)
FOUNDRY_HALF_COMPARISON(<=)
FOUNDRY_HALF_COMPARISON(>=)
FOUNDRY_HALF_COMPARISON(==)
FOUNDRY_HALF_COMPARISON(!=)
#undef FOUNDRY_HALF_COMPARISON

// bfloat: storage only. Arithmetic goes through float, spelled out.
struct bfloat {
    ushort bits;

    bfloat() = default;
    explicit bfloat(float f) {
        uint u;
        __builtin_memcpy(&u, &f, sizeof u);
        bits = f != f ? ushort(u >> 16 | 64) : ushort((u + 0x7FFFu + (u >> 16 & 1)) >> 16);
    }
    explicit operator float() const {
        uint u = uint(bits) << 16;
        float f;
        __builtin_memcpy(&f, &u, sizeof f);
        return f;
    }
};

template <class T> constexpr bool is_scalar_v = is_native_v<T> || is_same_v<T, half> || is_same_v<T, bfloat>;

// as_type reinterprets bits; both types have one size.
template <class To, class From> inline To as_type(const From& from) {
    static_assert(sizeof(To) == sizeof(From), "as_type between types of different sizes");
    To to;
    __builtin_memcpy((void*)&to, (const void*)&from, sizeof(To));
    return to;
}

// What a barrier orders.
enum class mem_flags : uint { mem_none = 0, mem_device = 1, mem_threadgroup = 2, mem_texture = 4 };
constexpr mem_flags operator|(mem_flags a, mem_flags b) { return mem_flags(uint(a) | uint(b)); }

template <class T> struct numeric_limits;
template <> struct numeric_limits<float> {
    static constexpr float max() { return 0x1.fffffep127f; }
    static constexpr float lowest() { return -max(); }
    static constexpr float min() { return 0x1p-126f; }
    static constexpr float epsilon() { return 0x1p-23f; }
    static constexpr float infinity() { return __builtin_huge_valf(); }
    static constexpr float quiet_NaN() { return __builtin_nanf(""); }
};
template <> struct numeric_limits<half> {
    static half max() { return half(0x1.ffcp15f); }
    static half lowest() { return half(-0x1.ffcp15f); }
    static half min() { return half(0x1p-14f); }
    static half epsilon() { return half(0x1p-10f); }
    static half infinity() { return half(__builtin_huge_valf()); }
    static half quiet_NaN() { return half(__builtin_nanf("")); }
};
#define FOUNDRY_INTEGER_LIMITS(T, low, high)          \
    template <> struct numeric_limits<T> {            \
        static constexpr T max() { return (T)(high); }  \
        static constexpr T min() { return T(low); }   \
        static constexpr T lowest() { return T(low); } \
    };
FOUNDRY_INTEGER_LIMITS(char, -128, 127)
FOUNDRY_INTEGER_LIMITS(int8_t, -128, 127)
FOUNDRY_INTEGER_LIMITS(uchar, 0, 255)
FOUNDRY_INTEGER_LIMITS(short, -32768, 32767)
FOUNDRY_INTEGER_LIMITS(ushort, 0, 65535)
FOUNDRY_INTEGER_LIMITS(int, -2147483647 - 1, 2147483647)
FOUNDRY_INTEGER_LIMITS(uint, 0, 4294967295u)
FOUNDRY_INTEGER_LIMITS(long, -9223372036854775807L - 1, 9223372036854775807L)
FOUNDRY_INTEGER_LIMITS(ulong, 0, 18446744073709551615UL)
#undef FOUNDRY_INTEGER_LIMITS

// 1.5h
inline FOUNDRY_CONSTEXPR_HALF half operator""h(long double v) { return half(float(v)); }
inline FOUNDRY_CONSTEXPR_HALF half operator""h(unsigned long long v) { return half(float(v)); }

}  // namespace metal

#define INFINITY __builtin_huge_valf()
#define NAN __builtin_nanf("")
#define MAXFLOAT 3.402823466e+38f
#define FLT_MAX 3.402823466e+38f
#define FLT_MIN 1.175494351e-38f
#define FLT_EPSILON 1.1920928955e-07f
#define HALF_MAX metal::half(65504.0f)
#define HALF_MIN metal::half(6.103515625e-05f)
#define HALF_EPSILON metal::half(9.765625e-04f)
#define INT_MAX 2147483647
#define INT_MIN (-2147483647 - 1)
#define UINT_MAX 4294967295u
#define M_E_F 2.71828182845904523536f
#define M_LOG2E_F 1.44269504088896340736f
#define M_LN2_F 0.69314718055994530942f
#define M_PI_F 3.14159265358979323846f
#define M_PI_2_F 1.57079632679489661923f
#define M_1_PI_F 0.31830988618379067154f
#define M_SQRT2_F 1.41421356237309504880f
#define M_SQRT1_2_F 0.70710678118654752440f
