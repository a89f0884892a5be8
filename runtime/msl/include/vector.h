// Vectors of 2, 3 and 4 elements: a union of the elements as an array, by name,
// and as swizzles. Every operation is a hidden friend that is no template, so
// scalars widen and swizzles convert as in the Metal language. FOUNDRY_VECTOR_FUNCTIONS,
// defined before this header, are those functions of each element that kernels name.
namespace metal {

template <class T, int N> struct vec;

template <class X> struct foundry_width { static constexpr int value = 1; static constexpr bool vector = false; };
template <class T, int N> struct foundry_width<vec<T, N>> { static constexpr int value = N; static constexpr bool vector = true; };

// foundry_widen converts N elements; platforms specialise the pairs that pay.
template <class T, class U, int N> struct foundry_convert {
    static inline void run(T* to, const U* from) {
        to[0] = T(from[0]);
        to[1] = T(from[1]);
        if constexpr (N > 2) to[2] = T(from[2]);
        if constexpr (N > 3) to[3] = T(from[3]);
    }
};

// A swizzle is a view of elements I... of the vector whose union it lies in. V is
// the vector type it reads as; as a template argument it brings V's friends in.
// FOUNDRY_SWIZZLES2 to 4, defined before this header, are those that kernels name.
template <class V, class T, int N, int... I> struct foundry_swizzle {
    T v[N];
    operator V() const { return V(v[I]...); }
    foundry_swizzle& operator=(const V r) {  // a copy: it may be the same vector
        int k = 0;
        ((v[I] = r.v[k++]), ...);
        return *this;
    }
    foundry_swizzle& operator=(const foundry_swizzle& r) { return *this = V(r); }
    foundry_swizzle(const foundry_swizzle&) = default;
    foundry_swizzle() = default;
    foundry_swizzle& operator+=(const V& r) { return *this = V(*this) + r; }
    foundry_swizzle& operator-=(const V& r) { return *this = V(*this) - r; }
    foundry_swizzle& operator*=(const V& r) { return *this = V(*this) * r; }
    foundry_swizzle& operator/=(const V& r) { return *this = V(*this) / r; }
};
template <class V, class T, int N, int... I> struct foundry_width<foundry_swizzle<V, T, N, I...>> : foundry_width<V> {};

// The bits of a swizzle are those of what it reads as.
template <class To, class V, class T, int N, int... I> inline To as_type(const foundry_swizzle<V, T, N, I...>& s) { return as_type<To>(V(s)); }

// FOUNDRY_LANES repeats a statement for each element index i of N.
#define FOUNDRY_LANES(N, ...)                       \
    {                                               \
        { constexpr int i = 0; __VA_ARGS__; }       \
        { constexpr int i = 1; __VA_ARGS__; }       \
        if constexpr (N > 2) { constexpr int i = 2; __VA_ARGS__; } \
        if constexpr (N > 3) { constexpr int i = 3; __VA_ARGS__; } \
    }

#define FOUNDRY_FRIEND1(R, name, expr) \
    friend inline R name(vec a) { R r; FOUNDRY_LANES(Size, r.v[i] = expr) return r; }
#define FOUNDRY_FRIEND2(R, name, expr) \
    friend inline R name(vec a, vec b) { R r; FOUNDRY_LANES(Size, r.v[i] = expr) return r; }
#define FOUNDRY_FRIEND3(R, name, expr) \
    friend inline R name(vec a, vec b, vec c) { R r; FOUNDRY_LANES(Size, r.v[i] = expr) return r; }
#define FOUNDRY_MATH1(name) FOUNDRY_FRIEND1(vec, name, metal::name(a.v[i]))
#define FOUNDRY_MATH2(name) FOUNDRY_FRIEND2(vec, name, metal::name(a.v[i], b.v[i]))
#define FOUNDRY_MATH3(name) FOUNDRY_FRIEND3(vec, name, metal::name(a.v[i], b.v[i], c.v[i]))
#define FOUNDRY_ASSIGN(op) \
    template <class A> vec& operator op##=(const A& b) { return *this = *this op vec(b); }

// With checks, a vector's address is looked at where the whole is read or written.
#ifdef FOUNDRY_CHECKED
#define FOUNDRY_ALIGNED(p, align, write) foundry_aligned(p, align, write);
#else
#define FOUNDRY_ALIGNED(p, align, write)
#endif

// Copies go by element where an element fills a register, or else whole: what
// compilers then keep in registers is as it will be used.
// What a conversion reads: the vector where it lies, or a copy made whole first.
#ifndef FOUNDRY_WHOLE
#define FOUNDRY_WHOLE(U, N, name, o) const vec<U, N>& name = o;
#endif
#ifndef FOUNDRY_VECTOR_COPY
#define FOUNDRY_VECTOR_COPY(N)                                   \
    if constexpr (sizeof(T) >= 4) FOUNDRY_LANES(N, v[i] = o.v[i]) \
    else __builtin_memcpy((void*)v, (const void*)o.v, sizeof v);
#endif

#define FOUNDRY_VECTOR_MEMBERS(N)                                                                        \
    static constexpr int Size = N;                                                                       \
    vec() = default;                                                                                     \
    inline vec(const vec& o) {                                                                           \
        FOUNDRY_ALIGNED(&o, alignof(vec), false)                                                         \
        FOUNDRY_VECTOR_COPY(N)                                                                           \
    }                                                                                                    \
    inline vec& operator=(const vec& o) {                                                                \
        FOUNDRY_ALIGNED(&o, alignof(vec), false)                                                         \
        FOUNDRY_ALIGNED(this, alignof(vec), true)                                                        \
        FOUNDRY_VECTOR_COPY(N)                                                                           \
        return *this;                                                                                    \
    }                                                                                                    \
    template <class U> explicit inline vec(const vec<U, N>& o) {                                       \
        FOUNDRY_ALIGNED(&o, (alignof(vec<U, N>)), false)                                                 \
        FOUNDRY_WHOLE(U, N, from, o)                                                                     \
        foundry_convert<T, U, N>::run(v, from.v);                                                        \
    }                                                                                                    \
    template <class V, class U, int M, int... I, class = enable_if_t<sizeof...(I) == N && !is_same_v<V, vec>>> \
    explicit inline vec(const foundry_swizzle<V, U, M, I...>& o) : vec(V(o)) {}                          \
    /* vectors and scalars that fill the elements exactly */                                             \
    template <class A, class B, class... C,                                                              \
              class = enable_if_t<(foundry_width<A>::value + (foundry_width<B>::value + ... + foundry_width<C>::value)) == N && \
                                  (foundry_width<A>::vector || (foundry_width<B>::vector || ... || foundry_width<C>::vector))>> \
    inline vec(const A& a, const B& b, const C&... c) {                                                  \
        T* p = v;                                                                                        \
        foundry_put(p, a);                                                                               \
        foundry_put(p, b);                                                                               \
        (foundry_put(p, c), ...);                                                                        \
    }                                                                                                    \
    constexpr T& operator[](int i) { return v[i]; }                                                      \
    constexpr const T& operator[](int i) const { return v[i]; }                                          \
    FOUNDRY_ASSIGN(+) FOUNDRY_ASSIGN(-) FOUNDRY_ASSIGN(*) FOUNDRY_ASSIGN(/) FOUNDRY_ASSIGN(%)            \
    FOUNDRY_ASSIGN(&) FOUNDRY_ASSIGN(|) FOUNDRY_ASSIGN(^) FOUNDRY_ASSIGN(<<) FOUNDRY_ASSIGN(>>)          \
    typedef vec<bool, N> Mask;                                                                           \
    FOUNDRY_FRIEND1(vec, operator-, T(-a.v[i])) FOUNDRY_FRIEND1(vec, operator+, a.v[i])                  \
    FOUNDRY_FRIEND1(vec, operator~, T(~a.v[i])) FOUNDRY_FRIEND1(Mask, operator!, !a.v[i])                \
    FOUNDRY_FRIEND2(vec, operator+, T(a.v[i] + b.v[i])) FOUNDRY_FRIEND2(vec, operator-, T(a.v[i] - b.v[i])) \
    FOUNDRY_FRIEND2(vec, operator*, T(a.v[i] * b.v[i])) FOUNDRY_FRIEND2(vec, operator/, T(a.v[i] / b.v[i])) \
    FOUNDRY_FRIEND2(vec, operator%, T(a.v[i] % b.v[i])) FOUNDRY_FRIEND2(vec, operator&, T(a.v[i] & b.v[i])) \
    FOUNDRY_FRIEND2(vec, operator|, T(a.v[i] | b.v[i])) FOUNDRY_FRIEND2(vec, operator^, T(a.v[i] ^ b.v[i])) \
    FOUNDRY_FRIEND2(vec, operator<<, T(a.v[i] << b.v[i])) FOUNDRY_FRIEND2(vec, operator>>, T(a.v[i] >> b.v[i])) \
    FOUNDRY_FRIEND2(Mask, operator<, a.v[i] < b.v[i]) FOUNDRY_FRIEND2(Mask, operator>, a.v[i] > b.v[i])  \
    FOUNDRY_FRIEND2(Mask, operator<=, a.v[i] <= b.v[i]) FOUNDRY_FRIEND2(Mask, operator>=, a.v[i] >= b.v[i]) \
    FOUNDRY_FRIEND2(Mask, operator==, a.v[i] == b.v[i]) FOUNDRY_FRIEND2(Mask, operator!=, a.v[i] != b.v[i]) \
    FOUNDRY_FRIEND2(Mask, operator&&, a.v[i] && b.v[i]) FOUNDRY_FRIEND2(Mask, operator||, a.v[i] || b.v[i]) \
    FOUNDRY_VECTOR_FUNCTIONS                                                                             \
    FOUNDRY_FRIEND1(Mask, isnan, metal::isnan(a.v[i])) FOUNDRY_FRIEND1(Mask, isinf, metal::isinf(a.v[i])) \
    FOUNDRY_FRIEND1(Mask, isfinite, metal::isfinite(a.v[i]))                                             \
    friend inline vec select(vec a, vec b, Mask c) {                                                     \
        vec r;                                                                                           \
        FOUNDRY_LANES(N, r.v[i] = c.v[i] ? b.v[i] : a.v[i])                                              \
        return r;                                                                                        \
    }                                                                                                    \
    friend inline T dot(vec a, vec b) { /* left to right */                                              \
        T s = T(-0.0f); /* to which any number adds up to itself */                                      \
        FOUNDRY_LANES(N, s = T(s + T(a.v[i] * b.v[i])))                                                  \
        return s;                                                                                        \
    }                                                                                                    \
    friend inline T length_squared(vec a) { return dot(a, a); }                                          \
    friend inline T length(vec a) { return metal::sqrt(dot(a, a)); }                                     \
    friend inline T distance(vec a, vec b) { return length(a - b); }                                     \
    friend inline vec normalize(vec a) { return a * vec(metal::rsqrt(dot(a, a))); }                      \
    friend inline bool all(vec a) {                                                                      \
        bool r = true;                                                                                   \
        FOUNDRY_LANES(N, r = r && a.v[i])                                                                \
        return r;                                                                                        \
    }                                                                                                    \
    friend inline bool any(vec a) {                                                                      \
        bool r = false;                                                                                  \
        FOUNDRY_LANES(N, r = r || a.v[i])                                                                \
        return r;                                                                                        \
    }

template <class T, class A> inline void foundry_put(T*& p, const A& a) {
    if constexpr (foundry_width<A>::vector) {
        const vec<T, foundry_width<A>::value> w(a);
        for (int k = 0; k < foundry_width<A>::value; k++) *p++ = w.v[k];
    } else {
        *p++ = T(a);
    }
}

// One element given to all: any scalar, implicitly.
#define FOUNDRY_SPLAT(...)                                                     \
    template <class A, class = enable_if_t<is_scalar_v<A>>>                    \
    constexpr vec(A s) : v{__VA_ARGS__} {}

template <class T> struct alignas(2 * sizeof(T)) vec<T, 2> {
    union {
        T v[2];
        struct { T x, y; };
        struct { T r, g; };
        FOUNDRY_SWIZZLES2
    };
    constexpr vec(T a, T b) : v{a, b} {}
    FOUNDRY_SPLAT(T(s), T(s))
    FOUNDRY_VECTOR_MEMBERS(2)
};

template <class T> struct alignas(4 * sizeof(T)) vec<T, 3> {
    union {
        T v[3];
        struct { T x, y, z; };
        struct { T r, g, b; };
        FOUNDRY_SWIZZLES3
    };
    constexpr vec(T a, T b, T c) : v{a, b, c} {}
    FOUNDRY_SPLAT(T(s), T(s), T(s))
    FOUNDRY_VECTOR_MEMBERS(3)
};

template <class T> struct alignas(4 * sizeof(T)) vec<T, 4> {
    union {
        T v[4];
        struct { T x, y, z, w; };
        struct { T r, g, b, a; };
        FOUNDRY_SWIZZLES4
    };
    constexpr vec(T a, T b, T c, T d) : v{a, b, c, d} {}
    FOUNDRY_SPLAT(T(s), T(s), T(s), T(s))
    FOUNDRY_VECTOR_MEMBERS(4)
};

// Elements without the vector's alignment: loads and stores of any address.
template <class T, int N> struct packed_vec {
    T v[N];
    packed_vec() = default;
    inline packed_vec(const vec<T, N>& o) { FOUNDRY_LANES(N, v[i] = o.v[i]) }
    inline operator vec<T, N>() const {
        vec<T, N> r;
        FOUNDRY_LANES(N, r.v[i] = v[i])
        return r;
    }
    constexpr T& operator[](int i) { return v[i]; }
    constexpr const T& operator[](int i) const { return v[i]; }
};
template <class T, int N> struct foundry_width<packed_vec<T, N>> : foundry_width<vec<T, N>> {};

#define FOUNDRY_VECTOR_NAMES(T)                                    \
    typedef vec<T, 2> T##2;                                        \
    typedef vec<T, 3> T##3;                                        \
    typedef vec<T, 4> T##4;                                        \
    typedef packed_vec<T, 2> packed_##T##2;                        \
    typedef packed_vec<T, 3> packed_##T##3;                        \
    typedef packed_vec<T, 4> packed_##T##4;
FOUNDRY_VECTOR_NAMES(bool)
FOUNDRY_VECTOR_NAMES(char)
FOUNDRY_VECTOR_NAMES(uchar)
FOUNDRY_VECTOR_NAMES(short)
FOUNDRY_VECTOR_NAMES(ushort)
FOUNDRY_VECTOR_NAMES(int)
FOUNDRY_VECTOR_NAMES(uint)
FOUNDRY_VECTOR_NAMES(long)
FOUNDRY_VECTOR_NAMES(ulong)
FOUNDRY_VECTOR_NAMES(half)
FOUNDRY_VECTOR_NAMES(float)
typedef vec<bfloat, 2> bfloat2;
typedef vec<bfloat, 4> bfloat4;

inline float3 cross(float3 a, float3 b) {
    return float3(a.y * b.z - a.z * b.y, a.z * b.x - a.x * b.z, a.x * b.y - a.y * b.x);
}

}  // namespace metal
