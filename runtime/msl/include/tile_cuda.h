// The tile of shaders/common/tile.metal on an NVIDIA GPU (sm_80 and newer): its
// products are m16n8k16 of the tensor cores, its loads ldmatrix, its flights
// cp.async. The contract stands in that file.
#define FOUNDRY_TILE 1
namespace metal {

constexpr uint TILE_SLOTS = 2;

struct tile_left { uint r[4]; };   // as mma.m16n8k16 wants A
struct tile_right { uint r[4]; };  // B of columns 0-7, then of columns 8-15
struct tile_sum { float v[8]; };   // C of columns 0-7, then of columns 8-15

FOUNDRY_SIMD uint foundry_shared(const void* p) { return uint(__cvta_generic_to_shared(p)); }

// Rows of C chunks of 16 bytes. Eight rows at one chunk, which is what ldmatrix
// reads, must meet eight different sixteenths of the banks: chunks change places
// by the row where C is a power of two, otherwise rows are an odd number apart.
template <uint DEPTH> struct foundry_stage {
    static constexpr uint C = DEPTH / 8;
    static constexpr bool swapped = (C & (C - 1)) == 0;
    static constexpr uint stride = swapped ? DEPTH : DEPTH + 8;
    static constexpr uint shift = C >= 8 ? 0 : C == 4 ? 1 : 2;
    static constexpr uint mask = (C < 8 ? C : 8) - 1;
    static FOUNDRY_SIMD constexpr uint at(uint row, uint chunk) {
        return row * stride + (swapped ? chunk ^ ((row >> shift) & mask) : chunk) * 8;
    }
};

template <uint DEPTH> FOUNDRY_SIMD uint tile_at(uint row, uint k) { return foundry_stage<DEPTH>::at(row, k >> 3) + (k & 7); }
template <uint DEPTH> FOUNDRY_SIMD constexpr uint tile_strip() { return 16 * foundry_stage<DEPTH>::stride; }

FOUNDRY_SIMD void tile_clear(tile_sum& t) {
    for (int i = 0; i < 8; i++) t.v[i] = 0.0f;
}

FOUNDRY_SIMD void foundry_matrices(uint* r, const half* p) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(foundry_shared(p)) : "memory");
}
FOUNDRY_SIMD void foundry_matrices_transposed(uint* r, const half* p) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(foundry_shared(p)) : "memory");
}

// Lane l gives the address of row l % 8 of matrix l / 8.
template <uint DEPTH> FOUNDRY_SIMD void tile_load(tile_left& t, const half* strip, uint k) {
    const uint l = foundry_lane();
    foundry_matrices(t.r, strip + foundry_stage<DEPTH>::at(l & 15, (k >> 3) + (l >> 4)));
}
template <uint DEPTH> FOUNDRY_SIMD void tile_load(tile_right& t, const half* strip, uint k) {
    const uint l = foundry_lane();
    foundry_matrices(t.r, strip + foundry_stage<DEPTH>::at((l & 7) + ((l >> 4) << 3), (k >> 3) + ((l >> 3) & 1)));
}
template <uint DEPTH> FOUNDRY_SIMD void tile_load_rows(tile_right& t, const half* strip, uint n) {
    const uint l = foundry_lane();
    foundry_matrices_transposed(t.r, strip + foundry_stage<DEPTH>::at(l & 15, (n >> 3) + (l >> 4)));
}

FOUNDRY_SIMD void foundry_multiply(float* c, const uint* a, const uint* b) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3]) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
FOUNDRY_SIMD void tile_multiply_accumulate(tile_sum& t, const tile_left& a, const tile_right& b) {
    foundry_multiply(t.v, a.r, b.r);
    foundry_multiply(t.v + 4, a.r, b.r + 2);
}

FOUNDRY_SIMD uint tile_slot(uint i) { return (i >> 1) & 1; }
FOUNDRY_SIMD uint tile_row(uint lane, uint slot) { return (lane >> 2) + 8 * slot; }
FOUNDRY_SIMD uint tile_column(uint lane, uint i) { return 2 * (lane & 3) + (i & 1) + 8 * (i >> 2); }

FOUNDRY_SIMD void tile_store(const tile_sum& t, float* to, uint stride) {
    const uint l = foundry_lane();
    for (uint i = 0; i < 8; i += 2) *(float2*)(to + tile_row(l, tile_slot(i)) * stride + tile_column(l, i)) = float2(t.v[i], t.v[i + 1]);
}

struct tile_flight {
    FOUNDRY_SIMD void start(const uchar* from, half* to) {
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" : : "r"(foundry_shared(to)), "l"(from) : "memory");
    }
    // A line that is asked for brings its neighbour to the L2 cache.
    FOUNDRY_SIMD void start_row(const uchar* from, half* to) {
        asm volatile("cp.async.cg.shared.global.L2::256B [%0], [%1], 16;" : : "r"(foundry_shared(to)), "l"(from) : "memory");
    }
    FOUNDRY_SIMD void land(half*) {}
};
FOUNDRY_SIMD void tile_launched() { asm volatile("cp.async.commit_group;" : : : "memory"); }
template <uint N> FOUNDRY_SIMD void tile_wait() { asm volatile("cp.async.wait_group %0;" : : "n"(N) : "memory"); }

FOUNDRY_SIMD float tile_row_max(float v) {
    v = max(v, simd_shuffle_xor(v, ushort(1)));
    return max(v, simd_shuffle_xor(v, ushort(2)));
}
FOUNDRY_SIMD float tile_row_sum(float v) {
    v += simd_shuffle_xor(v, ushort(1));
    return v + simd_shuffle_xor(v, ushort(2));
}

template <uint N> FOUNDRY_SIMD void tile_spread(const tile_sum* t, float* v) {
    for (uint i = 0; i < 8 * N; i++) v[i] = t[i / 8].v[i % 8];
}

FOUNDRY_SIMD uint foundry_pack(float low, float high) {
    uint r;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
    return r;
}

// A sum's elements lie where a left operand wants them.
template <uint N> FOUNDRY_SIMD void tile_gather(const float* v, tile_left* t) {
    for (uint n = 0; n < N; n++)
        for (uint i = 0; i < 4; i++) t[n].r[i] = foundry_pack(v[8 * n + 2 * i], v[8 * n + 2 * i + 1]);
}

template <uint N> FOUNDRY_SIMD void tile_scale(tile_sum* t, const float* factor) {
    for (uint i = 0; i < 8 * N; i++) t[i / 8].v[i % 8] *= factor[tile_slot(i % 8)];
}

// Four floats as halves, by two instructions.
template <> struct foundry_convert<half, float, 4> {
    static FOUNDRY_SIMD void run(half* to, const float* from) {
        const uint r[2] = {foundry_pack(from[0], from[1]), foundry_pack(from[2], from[3])};
        __builtin_memcpy((void*)to, r, 8);
    }
};

}  // namespace metal
