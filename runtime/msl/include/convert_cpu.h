// Conversions of vectors that one instruction makes where the CPU has it.
namespace metal {

#if defined(__F16C__)
typedef float foundry_f4 __attribute__((vector_size(16)));
typedef short foundry_s8 __attribute__((vector_size(16)));
typedef long long foundry_l2 __attribute__((vector_size(16)));

template <> struct foundry_convert<float, half, 4> {
    static FOUNDRY_INLINE void run(float* to, const half* from) {
        long long bits;
        __builtin_memcpy(&bits, from, sizeof bits);
        const foundry_l2 wide = {bits};
        const foundry_f4 r = __builtin_ia32_vcvtph2ps((foundry_s8)wide);
        __builtin_memcpy(to, &r, sizeof r);
    }
};
template <> struct foundry_convert<half, float, 4> {
    static FOUNDRY_INLINE void run(half* to, const float* from) {
        foundry_f4 x;
        __builtin_memcpy(&x, from, sizeof x);
        const long long r = ((foundry_l2)__builtin_ia32_vcvtps2ph(x, 0))[0];
        __builtin_memcpy((void*)to, &r, sizeof r);
    }
};
#endif

}  // namespace metal
