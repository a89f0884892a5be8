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
#define FOUNDRY_LEVELS4(v, BIAS) foundry_levels4<BIAS>(v)

}  // namespace metal
