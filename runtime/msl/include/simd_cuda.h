// Simdgroups and threadgroups on an NVIDIA GPU: warps and blocks. Threadgroups
// are multiples of 32 threads.
namespace metal {

#define FOUNDRY_SIMD FOUNDRY_INLINE
#define FOUNDRY_COMMA_AT
#define FOUNDRY_PASS_AT

constexpr uint foundry_warp = 0xFFFFFFFFu;

// The value as words of 32 bits, so that every type of up to 8 bytes travels.
template <class T> struct foundry_words {
    static constexpr int count = sizeof(T) > 4 ? 2 : 1;
    uint w[count];
    FOUNDRY_SIMD foundry_words(const T& x) {
        w[0] = 0;
        __builtin_memcpy(w, &x, sizeof(T));
    }
    FOUNDRY_SIMD T value() const {
        T x;
        __builtin_memcpy((void*)&x, w, sizeof(T));
        return x;
    }
};

#define FOUNDRY_SHUFFLE(name, call)                                                            \
    template <class T> FOUNDRY_SIMD enable_if_t<is_scalar_v<T>, T> name(T x, ushort lane) {    \
        foundry_words<T> u(x);                                                                 \
        for (int i = 0; i < foundry_words<T>::count; i++) u.w[i] = call;                       \
        return u.value();                                                                      \
    }
FOUNDRY_SHUFFLE(simd_shuffle, __shfl_sync(foundry_warp, u.w[i], lane))
FOUNDRY_SHUFFLE(simd_broadcast, __shfl_sync(foundry_warp, u.w[i], lane))
FOUNDRY_SHUFFLE(simd_shuffle_xor, __shfl_xor_sync(foundry_warp, u.w[i], lane))
FOUNDRY_SHUFFLE(simd_shuffle_down, __shfl_down_sync(foundry_warp, u.w[i], lane))
FOUNDRY_SHUFFLE(simd_shuffle_up, __shfl_up_sync(foundry_warp, u.w[i], lane))
#undef FOUNDRY_SHUFFLE

// A butterfly: 16 lanes onto 16, then halves of that, as the CPU executor adds.
#define FOUNDRY_REDUCTION(name, expr)                                              \
    template <class T> FOUNDRY_SIMD enable_if_t<is_scalar_v<T>, T> name(T a) {     \
        for (uint o = 16; o > 0; o >>= 1) {                                        \
            const T b = simd_shuffle_xor(a, ushort(o));                            \
            a = T(expr);                                                           \
        }                                                                          \
        return a;                                                                  \
    }
FOUNDRY_REDUCTION(simd_sum, a + b)
FOUNDRY_REDUCTION(simd_product, a * b)
FOUNDRY_REDUCTION(simd_min, min(a, b))
FOUNDRY_REDUCTION(simd_max, max(a, b))
FOUNDRY_REDUCTION(simd_and, a & b)
FOUNDRY_REDUCTION(simd_or, a | b)
FOUNDRY_REDUCTION(simd_xor, a ^ b)
#undef FOUNDRY_REDUCTION

FOUNDRY_SIMD uint foundry_lane() {
    uint lane;
    asm("mov.u32 %0, %%laneid;" : "=r"(lane));
    return lane;
}
template <class T> FOUNDRY_SIMD enable_if_t<is_scalar_v<T>, T> simd_prefix_inclusive_sum(T x) {
    for (uint o = 1; o < 32; o <<= 1) {
        const T below = simd_shuffle_up(x, ushort(o));
        if (foundry_lane() >= o) x = T(below + x);
    }
    return x;
}
template <class T> FOUNDRY_SIMD enable_if_t<is_scalar_v<T>, T> simd_prefix_exclusive_sum(T x) {
    const T sum = simd_shuffle_up(simd_prefix_inclusive_sum(x), ushort(1));
    return foundry_lane() == 0 ? T(0) : sum;
}
template <class T> FOUNDRY_SIMD enable_if_t<is_scalar_v<T>, T> simd_broadcast_first(T x) { return simd_broadcast(x, ushort(0)); }

FOUNDRY_SIMD ulong foundry_votes(bool x) { return __ballot_sync(foundry_warp, x); }
FOUNDRY_SIMD ulong foundry_everyone() { return foundry_warp; }

FOUNDRY_SIMD void simdgroup_barrier(mem_flags) { __syncwarp(); }
FOUNDRY_SIMD void threadgroup_barrier(mem_flags) { __syncthreads(); }

// threadgroup T name[N]; in a kernel's body.
#define FOUNDRY_THREADGROUP_ARRAY(T, name, dims) __shared__ T name dims;

}  // namespace metal
