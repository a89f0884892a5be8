// The platform NVRTC on an NVIDIA GPU: half is 16 bits that PTX converts,
// mathematics is CUDA's, which NVRTC knows without a header.
#define FOUNDRY_LIBM(f) ::f
#define FOUNDRY_POPCOUNT(x) __popc(x)
#define FOUNDRY_CLZ(x) __clz(int(x))
#define FOUNDRY_CONSTEXPR_HALF
#define FOUNDRY_INLINE __forceinline__
#define FOUNDRY_CUDA 1
#define FOUNDRY_RSQRT(x) ::rsqrtf(x)
// g++'s names for what NVRTC has under others.
#define __builtin_memcpy ::memcpy
#define __builtin_huge_valf() __int_as_float(0x7f800000)
#define __builtin_nanf(s) __int_as_float(0x7fc00000)

// The GPU's own instruction, which makes 0 of what is subnormal.
inline float foundry_fast_exp2(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}
#define FOUNDRY_FAST_EXP2(x) foundry_fast_exp2(x)

typedef unsigned short foundry_half_bits;
inline foundry_half_bits foundry_to_half(float f) {
    foundry_half_bits h;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(h) : "f"(f));
    return h;
}
inline float foundry_to_float(foundry_half_bits h) {
    float f;
    asm("cvt.f32.f16 %0, %1;" : "=f"(f) : "h"(h));
    return f;
}

// The ready point of a kernel: what earlier kernels of the stream wrote may be
// read from here on. A kernel launched without dependence passes at once. The next
// kernel may start when this one's loads before the point are on their way, and not
// compete with them.
#if __CUDA_ARCH__ >= 900
#define FOUNDRY_WAIT() asm volatile("griddepcontrol.wait;" ::: "memory")
#define FOUNDRY_TRIGGER() asm volatile("griddepcontrol.launch_dependents;")
#else
#define FOUNDRY_WAIT()
#define FOUNDRY_TRIGGER()
#endif
#define FOUNDRY_READY() FOUNDRY_TRIGGER(); FOUNDRY_WAIT()

// A vector is copied in one piece: NVRTC makes one load of 16 bytes of it, where
// a copy by element or by memcpy would become loads of elements or bytes.
namespace metal {
template <unsigned Bytes> struct foundry_piece { static constexpr bool whole = false; typedef char type; };
template <> struct foundry_piece<2> { static constexpr bool whole = true; typedef unsigned short type; };
template <> struct foundry_piece<4> { static constexpr bool whole = true; typedef unsigned type; };
template <> struct foundry_piece<8> { static constexpr bool whole = true; typedef ::uint2 type; };
template <> struct foundry_piece<16> { static constexpr bool whole = true; typedef ::uint4 type; };
}  // namespace metal
#define FOUNDRY_WHOLE(U, N, name, o) const vec<U, N> name(o);
#define FOUNDRY_VECTOR_COPY(N)                                                                                      \
    if constexpr (N != 3 && foundry_piece<sizeof(T) * N>::whole) {                                                  \
        typedef typename foundry_piece<sizeof(T) * N>::type Piece;                                                  \
        *(Piece*)v = *(const Piece*)o.v;                                                                            \
    } else {                                                                                                        \
        for (int i = 0; i < N; i++) v[i] = o.v[i];                                                                  \
    }

namespace metal {
inline unsigned foundry_atomic_load(unsigned* p) { return *(volatile unsigned*)p; }
inline void foundry_atomic_store(unsigned* p, unsigned x) { *(volatile unsigned*)p = x; }
inline unsigned foundry_atomic_exchange(unsigned* p, unsigned x) { return atomicExch(p, x); }
inline bool foundry_atomic_compare_exchange(unsigned* p, unsigned* expected, unsigned desired) {
    const unsigned before = atomicCAS(p, *expected, desired);
    const bool ok = before == *expected;
    *expected = before;
    return ok;
}
}  // namespace metal
