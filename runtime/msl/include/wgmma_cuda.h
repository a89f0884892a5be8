// wgmma: products of a warpgroup, 128 threads, whose operands lie in threadgroup memory,
// on an NVIDIA GPU of compute capability 9.0, architecture sm_90a (PTX ISA, "Asynchronous
// Warpgroup Level Matrix Multiply-Accumulate Instructions").
namespace metal {

// An operand is rows of DEPTH halves, 64, 32 or 16 of them, that begin at a multiple of
// eight rows' bytes. Chunks of 16 bytes change places as the swizzles of 128, 64 and 32
// bytes want, bits 4 to 6 of an address by bits 7 to 9 of it: the order of foundry_stage.
//
// Its descriptor holds the address and the distance of eight rows in units of 16 bytes,
// and the swizzle, with which the other distance means nothing.
template <uint DEPTH> FOUNDRY_SIMD ulong foundry_operand(const half* p) {
    static_assert(DEPTH == 64 || DEPTH == 32 || DEPTH == 16, "a block is 16, 32 or 64 deep");
    constexpr ulong swizzle = DEPTH == 64 ? 1 : DEPTH == 32 ? 2 : 3, eight = DEPTH;
    return ulong((foundry_shared(p) & 0x3ffffu) >> 4) | 1ul << 16 | eight << 32 | swizzle << 62;
}
// How far descriptors of rows and of columns lie apart.
template <uint DEPTH> constexpr ulong foundry_rows_on(uint rows) { return rows * DEPTH / 8; }
constexpr ulong foundry_columns_on(uint k) { return k / 8; }

FOUNDRY_SIMD void foundry_wgmma_fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
FOUNDRY_SIMD void foundry_wgmma_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
FOUNDRY_SIMD void foundry_wgmma_wait() { asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory"); }

#define FOUNDRY_NAMES_0 "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15"
#define FOUNDRY_NAMES_1 "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define FOUNDRY_NAMES_2 "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47"
#define FOUNDRY_NAMES_3 "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define FOUNDRY_NAMES_4 "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79"
#define FOUNDRY_NAMES_5 "%80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95"
#define FOUNDRY_NAMES_6 "%96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111"
#define FOUNDRY_NAMES_7 "%112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127"
#define FOUNDRY_SUMS4(i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3])
#define FOUNDRY_SUMS16(i) FOUNDRY_SUMS4(i), FOUNDRY_SUMS4(i + 4), FOUNDRY_SUMS4(i + 8), FOUNDRY_SUMS4(i + 12)

// d += a b, 64 rows, COLUMNS columns, 16 deep: a thread's d are COLUMNS / 2 floats.
template <uint COLUMNS> struct foundry_wgmma;
#define FOUNDRY_WGMMA(COLUMNS, NAMES, A, B, ...)                                                                    \
    template <> struct foundry_wgmma<COLUMNS> {                                                                     \
        static FOUNDRY_SIMD void run(float* d, ulong a, ulong b) {                                                  \
            asm volatile("wgmma.mma_async.sync.aligned.m64n" #COLUMNS "k16.f32.f16.f16 {" NAMES "}, " A ", " B      \
                         ", 1, 1, 1, 0, 0;"                                                                         \
                         : __VA_ARGS__ : "l"(a), "l"(b));                                                           \
        }                                                                                                           \
    };
FOUNDRY_WGMMA(32, FOUNDRY_NAMES_0, "%16", "%17",
              FOUNDRY_SUMS16(0))
FOUNDRY_WGMMA(64, FOUNDRY_NAMES_0 ", " FOUNDRY_NAMES_1, "%32", "%33",
              FOUNDRY_SUMS16(0), FOUNDRY_SUMS16(16))
FOUNDRY_WGMMA(96, FOUNDRY_NAMES_0 ", " FOUNDRY_NAMES_1 ", " FOUNDRY_NAMES_2, "%48", "%49",
              FOUNDRY_SUMS16(0), FOUNDRY_SUMS16(16), FOUNDRY_SUMS16(32))
FOUNDRY_WGMMA(128, FOUNDRY_NAMES_0 ", " FOUNDRY_NAMES_1 ", " FOUNDRY_NAMES_2 ", " FOUNDRY_NAMES_3, "%64", "%65",
              FOUNDRY_SUMS16(0), FOUNDRY_SUMS16(16), FOUNDRY_SUMS16(32), FOUNDRY_SUMS16(48))
FOUNDRY_WGMMA(160, FOUNDRY_NAMES_0 ", " FOUNDRY_NAMES_1 ", " FOUNDRY_NAMES_2 ", " FOUNDRY_NAMES_3 ", " FOUNDRY_NAMES_4, "%80", "%81",
              FOUNDRY_SUMS16(0), FOUNDRY_SUMS16(16), FOUNDRY_SUMS16(32), FOUNDRY_SUMS16(48), FOUNDRY_SUMS16(64))
FOUNDRY_WGMMA(192, FOUNDRY_NAMES_0 ", " FOUNDRY_NAMES_1 ", " FOUNDRY_NAMES_2 ", " FOUNDRY_NAMES_3 ", " FOUNDRY_NAMES_4 ", " FOUNDRY_NAMES_5, "%96", "%97",
              FOUNDRY_SUMS16(0), FOUNDRY_SUMS16(16), FOUNDRY_SUMS16(32), FOUNDRY_SUMS16(48), FOUNDRY_SUMS16(64), FOUNDRY_SUMS16(80))
FOUNDRY_WGMMA(224, FOUNDRY_NAMES_0 ", " FOUNDRY_NAMES_1 ", " FOUNDRY_NAMES_2 ", " FOUNDRY_NAMES_3 ", " FOUNDRY_NAMES_4 ", " FOUNDRY_NAMES_5 ", " FOUNDRY_NAMES_6, "%112", "%113",
              FOUNDRY_SUMS16(0), FOUNDRY_SUMS16(16), FOUNDRY_SUMS16(32), FOUNDRY_SUMS16(48), FOUNDRY_SUMS16(64), FOUNDRY_SUMS16(80), FOUNDRY_SUMS16(96))
FOUNDRY_WGMMA(256, FOUNDRY_NAMES_0 ", " FOUNDRY_NAMES_1 ", " FOUNDRY_NAMES_2 ", " FOUNDRY_NAMES_3 ", " FOUNDRY_NAMES_4 ", " FOUNDRY_NAMES_5 ", " FOUNDRY_NAMES_6 ", " FOUNDRY_NAMES_7, "%128", "%129",
              FOUNDRY_SUMS16(0), FOUNDRY_SUMS16(16), FOUNDRY_SUMS16(32), FOUNDRY_SUMS16(48), FOUNDRY_SUMS16(64), FOUNDRY_SUMS16(80), FOUNDRY_SUMS16(96), FOUNDRY_SUMS16(112))
// The same with rows of b that are summed over, 64 elements each: columns are innermost, so
// eight rows are what a swizzle repeats over, and the distance in b's descriptor is theirs.
FOUNDRY_SIMD void foundry_wgmma_rows(float* d, ulong a, ulong b) {
    asm volatile("wgmma.mma_async.sync.aligned.m64n64k16.f32.f16.f16 {" FOUNDRY_NAMES_0 ", " FOUNDRY_NAMES_1 "}, %32, %33, 1, 1, 1, 0, 1;"
                 : FOUNDRY_SUMS16(0), FOUNDRY_SUMS16(16) : "l"(a), "l"(b));
}
#undef FOUNDRY_WGMMA
#undef FOUNDRY_SUMS16
#undef FOUNDRY_SUMS4
#undef FOUNDRY_NAMES_0
#undef FOUNDRY_NAMES_1
#undef FOUNDRY_NAMES_2
#undef FOUNDRY_NAMES_3
#undef FOUNDRY_NAMES_4
#undef FOUNDRY_NAMES_5
#undef FOUNDRY_NAMES_6
#undef FOUNDRY_NAMES_7

}  // namespace metal
