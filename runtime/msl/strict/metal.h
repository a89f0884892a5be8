// Metal's names for clang's "C++ for OpenCL", which knows address spaces: a text
// that passes here uses each space as it is declared, casts and converts as MSL
// allows, and calls what Metal's library has. Nothing here runs.
#pragma OPENCL EXTENSION cl_khr_fp16 : enable
#define device __global
#define threadgroup __local
#define constant __constant
#define thread __private
#define kernel

#define FOUNDRY_VECTOR(T, U2, U3, U4)                                                              \
    inline T##2 foundry_##T##2(T x) { return (T##2)(x); }                                          \
    inline T##2 foundry_##T##2(T x, T y) { return (T##2)(x, y); }                                  \
    inline T##3 foundry_##T##3(T x) { return (T##3)(x); }                                          \
    inline T##3 foundry_##T##3(T x, T y, T z) { return (T##3)(x, y, z); }                          \
    inline T##4 foundry_##T##4(T x) { return (T##4)(x); }                                          \
    inline T##4 foundry_##T##4(T x, T y, T z, T w) { return (T##4)(x, y, z, w); }                  \
    void foundry_##T##4(T x, T y); /* or both would become vectors of two */                       \
    inline T##4 foundry_##T##4(T##2 a, T##2 b) { return (T##4)(a, b); }                            \
    inline T##4 foundry_##T##4(T##3 a, T w) { return (T##4)(a, w); }

// Conversions between vectors of equal length; a scalar argument is exact or
// ambiguous, as in MSL.
#define FOUNDRY_CONVERT(T, F)                                                        \
    inline T##2 foundry_##T##2(F##2 v) { return convert_##T##2(v); }                 \
    inline T##3 foundry_##T##3(F##3 v) { return convert_##T##3(v); }                 \
    inline T##4 foundry_##T##4(F##4 v) { return convert_##T##4(v); }

#define FOUNDRY_SAME(T)                                      \
    inline T##2 foundry_##T##2(T##2 v) { return v; }         \
    inline T##3 foundry_##T##3(T##3 v) { return v; }         \
    inline T##4 foundry_##T##4(T##4 v) { return v; }

#define FOUNDRY_ALL(M) M(float) M(half) M(int) M(uint) M(short) M(ushort) M(char) M(uchar)
#define FOUNDRY_DECLARE(T) FOUNDRY_VECTOR(T, , , ) FOUNDRY_SAME(T)
FOUNDRY_ALL(FOUNDRY_DECLARE)
#define FOUNDRY_FROM(T, A, B, C, D, E, F, G) \
    FOUNDRY_CONVERT(T, A) FOUNDRY_CONVERT(T, B) FOUNDRY_CONVERT(T, C) FOUNDRY_CONVERT(T, D) FOUNDRY_CONVERT(T, E) FOUNDRY_CONVERT(T, F) FOUNDRY_CONVERT(T, G)
FOUNDRY_FROM(float, half, int, uint, short, ushort, char, uchar)
FOUNDRY_FROM(half, float, int, uint, short, ushort, char, uchar)
FOUNDRY_FROM(int, float, half, uint, short, ushort, char, uchar)
FOUNDRY_FROM(uint, float, half, int, short, ushort, char, uchar)
FOUNDRY_FROM(short, float, half, int, uint, ushort, char, uchar)
FOUNDRY_FROM(ushort, float, half, int, uint, short, char, uchar)
FOUNDRY_FROM(char, float, half, int, uint, short, ushort, uchar)
FOUNDRY_FROM(uchar, float, half, int, uint, short, ushort, char)

// Only with a parenthesis behind it is a vector's name a constructor.
#define float2(...) foundry_float2(__VA_ARGS__)
#define float3(...) foundry_float3(__VA_ARGS__)
#define float4(...) foundry_float4(__VA_ARGS__)
#define half2(...) foundry_half2(__VA_ARGS__)
#define half3(...) foundry_half3(__VA_ARGS__)
#define half4(...) foundry_half4(__VA_ARGS__)
#define int2(...) foundry_int2(__VA_ARGS__)
#define int3(...) foundry_int3(__VA_ARGS__)
#define int4(...) foundry_int4(__VA_ARGS__)
#define uint2(...) foundry_uint2(__VA_ARGS__)
#define uint3(...) foundry_uint3(__VA_ARGS__)
#define uint4(...) foundry_uint4(__VA_ARGS__)
#define short4(...) foundry_short4(__VA_ARGS__)
#define ushort2(...) foundry_ushort2(__VA_ARGS__)
#define ushort4(...) foundry_ushort4(__VA_ARGS__)
#define char2(...) foundry_char2(__VA_ARGS__)
#define char4(...) foundry_char4(__VA_ARGS__)
#define uchar2(...) foundry_uchar2(__VA_ARGS__)
#define uchar4(...) foundry_uchar4(__VA_ARGS__)

template <class T, class F> inline T as_type(F x) { return __builtin_astype(x, T); }

namespace metal {

// Where MSL's library differs from OpenCL's, or OpenCL has another name.
template <class T> struct numeric_limits;
template <> struct numeric_limits<float> {
    static float max() { return 3.402823466e+38f; }
    static float lowest() { return -3.402823466e+38f; }
};

// The less exact forms, which are of float alone.
namespace fast {
float exp2(float);
}

enum class mem_flags { mem_none = 0, mem_device = 1, mem_threadgroup = 2 };
void threadgroup_barrier(mem_flags);
void simdgroup_barrier(mem_flags);

#define FOUNDRY_SIMD(T)                            \
    T simd_sum(T);                                 \
    T simd_max(T);                                 \
    T simd_min(T);                                 \
    T simd_prefix_exclusive_sum(T);                \
    T simd_prefix_inclusive_sum(T);                \
    T simd_shuffle(T, ushort);                     \
    T simd_shuffle_xor(T, ushort);                 \
    T simd_shuffle_down(T, ushort);                \
    T simd_shuffle_up(T, ushort);                  \
    T simd_broadcast(T, ushort);                   \
    T simd_broadcast_first(T);
FOUNDRY_SIMD(float)
FOUNDRY_SIMD(half)
FOUNDRY_SIMD(int)
FOUNDRY_SIMD(uint)
FOUNDRY_SIMD(short)
FOUNDRY_SIMD(ushort)
bool simd_any(bool);
bool simd_all(bool);

// OpenCL has atomics of the same names and of another form.
#define memory_order foundry_memory_order
#define memory_order_relaxed foundry_memory_order_relaxed
#define atomic_uint foundry_atomic_uint
#define atomic_int foundry_atomic_int
#define atomic_float foundry_atomic_float
#define atomic_store_explicit foundry_atomic_store_explicit
#define atomic_load_explicit foundry_atomic_load_explicit
#define atomic_exchange_explicit foundry_atomic_exchange_explicit
#define atomic_fetch_add_explicit foundry_atomic_fetch_add_explicit
#define atomic_fetch_max_explicit foundry_atomic_fetch_max_explicit
#define atomic_fetch_min_explicit foundry_atomic_fetch_min_explicit
#define atomic_fetch_or_explicit foundry_atomic_fetch_or_explicit
enum memory_order { memory_order_relaxed };
struct atomic_uint { uint value; };
struct atomic_int { int value; };
struct atomic_float { float value; };
#define FOUNDRY_ATOMIC(A, T, SPACE)                                     \
    void atomic_store_explicit(SPACE A*, T, memory_order);              \
    T atomic_load_explicit(const SPACE A*, memory_order);               \
    T atomic_exchange_explicit(SPACE A*, T, memory_order);              \
    T atomic_fetch_add_explicit(SPACE A*, T, memory_order);             \
    T atomic_fetch_max_explicit(SPACE A*, T, memory_order);             \
    T atomic_fetch_min_explicit(SPACE A*, T, memory_order);             \
    T atomic_fetch_or_explicit(SPACE A*, T, memory_order);
FOUNDRY_ATOMIC(atomic_uint, uint, __global)
FOUNDRY_ATOMIC(atomic_uint, uint, __local)
FOUNDRY_ATOMIC(atomic_int, int, __global)
FOUNDRY_ATOMIC(atomic_int, int, __local)
FOUNDRY_ATOMIC(atomic_float, float, __global)

// Apple's thread_elements is no member of a const matrix.
template <class T> struct foundry_elements;
template <> struct foundry_elements<float> { typedef float2 type; };
template <> struct foundry_elements<half> { typedef half2 type; };
template <class T, int Columns, int Rows> struct simdgroup_matrix {
    typename foundry_elements<T>::type elements;
    simdgroup_matrix() = default;
    __private typename foundry_elements<T>::type& thread_elements() __private;
    explicit simdgroup_matrix(T);
};
typedef simdgroup_matrix<float, 8, 8> simdgroup_float8x8;
typedef simdgroup_matrix<half, 8, 8> simdgroup_half8x8;
template <class T, int C, int R> simdgroup_matrix<T, C, R> make_filled_simdgroup_matrix(T);
#define FOUNDRY_MATRIX(M, T, SPACE)                                                              \
    void simdgroup_load(__private M&, const SPACE T*, ulong = 8, ulong2 = (ulong2)(0), bool = false); \
    void simdgroup_store(M, SPACE T*, ulong = 8, ulong2 = (ulong2)(0), bool = false);
FOUNDRY_MATRIX(simdgroup_float8x8, float, __global)
FOUNDRY_MATRIX(simdgroup_float8x8, float, __local)
FOUNDRY_MATRIX(simdgroup_half8x8, half, __global)
FOUNDRY_MATRIX(simdgroup_half8x8, half, __local)
void simdgroup_multiply_accumulate(__private simdgroup_float8x8&, simdgroup_half8x8, simdgroup_half8x8, simdgroup_float8x8);
void simdgroup_multiply_accumulate(__private simdgroup_float8x8&, simdgroup_float8x8, simdgroup_float8x8, simdgroup_float8x8);

// Metal 4's tensors over threadgroup memory, of elements that are not const.
template <class Index, size_t... Extents> struct extents {};
struct tensor_inline {};
template <class T, class Extents, class Kind> struct tensor;
template <class Index, size_t Columns, size_t Rows> struct tensor<__local half, extents<Index, Columns, Rows>, tensor_inline> {
    tensor(__local half*, extents<Index, Columns, Rows>);
};
template <size_t N> struct execution_simdgroups {
    static_assert(N > 0, "an operation of no simdgroup");
};
struct coordinates {
    int operator[](uint) const;
};
template <class T> struct cooperative_tensor {
    ushort get_capacity() const;
    bool is_valid_element(ushort) const;
    coordinates get_multidimensional_index(ushort) const;
    __private T& operator[](ushort);
};

}  // namespace metal

namespace mpp { namespace tensor_ops {

struct matmul2d_descriptor {
    enum class mode { multiply, multiply_accumulate };
    ulong packed;
    constexpr matmul2d_descriptor(int m, int n, int k, bool, bool, bool, mode) : packed((ulong)m | (ulong)n << 16 | (ulong)k << 32) {}
    // Apple's template parameter is the class; C++17 has no such.
    constexpr operator ulong() const { return packed; }
};

template <ulong Descriptor, class Scope> struct matmul2d {
    static_assert((Descriptor & 15) == 0 && (Descriptor >> 16 & 15) == 0, "rows and columns are multiples of 16");
    template <class Left, class Right, class T, class Index> using cooperative_tensor_destination_t = metal::cooperative_tensor<T>;
    template <class Left, class Right, class T> metal::cooperative_tensor<T> get_destination_cooperative_tensor() const;
    template <class Left, class Right, class T> void run(__private Left&, __private Right&, __private metal::cooperative_tensor<T>&) const;
};

}}  // namespace mpp::tensor_ops
