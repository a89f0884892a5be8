// Tiles: blocks of 16 x 16 elements that a simdgroup holds in its lanes together.
//
// tile_left (16 rows, 16 deep) and tile_right (16 deep, 16 columns) hold half,
// tile_sum (16 rows, 16 columns) holds float; sums are float. Every lane of the
// simdgroup makes each call. An executor with matrix instructions of its own
// defines FOUNDRY_TILE and these names in its header; on Metal a tile is four 8x8
// simdgroup matrices.
//
// A stage is an operand in threadgroup memory, rows of DEPTH halves (a multiple of
// 16) in the order that tiles load best: element k of a row stands at
// tile_at<DEPTH>(row, k), and aligned groups of eight stay adjacent. Rows 16 i to
// 16 i + 15 are strip i and stand at i * tile_strip<DEPTH>(). Threadgroup bytes of
// a strip: 32 * DEPTH, or 32 * (DEPTH + 8) where DEPTH / 8 is no power of two.
//
// tile_spread shows a lane its elements of N tiles that stand beside each other, 8
// of each: element 8 n + i is row tile_row(lane, tile_slot(i)), column 16 n +
// tile_column(lane, i). A lane sees TILE_SLOTS rows, together with the lanes that
// tile_row_max and tile_row_sum reduce over. tile_gather makes N left operands of
// such elements, tile_scale multiplies rows by a factor a slot. All of it happens in
// registers; which elements a lane has is known to these functions alone.
#ifndef FOUNDRY_TILE
enum : uint { TILE_SLOTS = 2 };

struct tile_left { simdgroup_half8x8 m[4]; };
struct tile_right { simdgroup_half8x8 m[4]; };
struct tile_sum { simdgroup_float8x8 m[4]; };

// Stages are 8x8 blocks of 128 bytes, those of eight rows side by side.
template <uint DEPTH>
inline uint tile_at(uint row, uint k)
{
    return ((row >> 3) * (DEPTH / 8u) + (k >> 3)) * 64u + (row & 7u) * 8u + (k & 7u);
}

template <uint DEPTH>
inline constexpr uint tile_strip() { return 16u * DEPTH; }

inline void tile_clear(thread tile_sum &t)
{
    FOUNDRY_UNROLL_TILES
    for (uint i = 0u; i < 4u; i++) t.m[i] = simdgroup_float8x8(0.0f);
}

// Columns k to k + 15 of a strip.
template <uint DEPTH>
inline void tile_load(thread tile_left &t, threadgroup const half *strip, uint k)
{
    FOUNDRY_UNROLL_TILES
    for (uint i = 0u; i < 4u; i++) simdgroup_load(t.m[i], strip + ((i >> 1) * (DEPTH / 8u) + (k >> 3) + (i & 1u)) * 64u, 8);
}

// The same as a right operand: the strip's rows are its columns.
template <uint DEPTH>
inline void tile_load(thread tile_right &t, threadgroup const half *strip, uint k)
{
    FOUNDRY_UNROLL_TILES
    for (uint i = 0u; i < 4u; i++)
        simdgroup_load(t.m[i], strip + ((i & 1u) * (DEPTH / 8u) + (k >> 3) + (i >> 1)) * 64u, 8, ulong2(0), true);
}

// A right operand whose rows are the strip's rows: columns n to n + 15.
template <uint DEPTH>
inline void tile_load_rows(thread tile_right &t, threadgroup const half *strip, uint n)
{
    FOUNDRY_UNROLL_TILES
    for (uint i = 0u; i < 4u; i++) simdgroup_load(t.m[i], strip + ((i >> 1) * (DEPTH / 8u) + (n >> 3) + (i & 1u)) * 64u, 8);
}

inline void tile_multiply_accumulate(thread tile_sum &t, thread const tile_left &a, thread const tile_right &b)
{
    FOUNDRY_UNROLL_TILES
    for (uint i = 0u; i < 4u; i++) {
        simdgroup_multiply_accumulate(t.m[i], a.m[i & 2u], b.m[i & 1u], t.m[i]);
        simdgroup_multiply_accumulate(t.m[i], a.m[(i & 2u) + 1u], b.m[2u + (i & 1u)], t.m[i]);
    }
}

inline void tile_store(thread const tile_sum &t, threadgroup float *to, uint stride)
{
    FOUNDRY_UNROLL_TILES
    for (uint i = 0u; i < 4u; i++) simdgroup_store(t.m[i], to + (i >> 1) * 8u * stride + (i & 1u) * 8u, stride);
}

// Element i of a lane is element i % 2 of those that it has of matrix i / 2. Which
// these are Metal's specification leaves open; MLX relies on the same for the Macs it
// runs on (mlx/backend/metal/kernels/steel/attn/mma.h, BaseMMAFrag::get_coord), and
// the device suite asks each device.
inline uint tile_slot(uint i) { return i >> 2; }
inline uint tile_row(uint lane, uint slot) { return ((lane >> 2) & 4u) + ((lane >> 1) & 3u) + 8u * slot; }
inline uint tile_column(uint lane, uint i) { return ((lane >> 1) & 4u) + 2u * (lane & 1u) + (i & 1u) + 8u * ((i >> 1) & 1u); }

// Lanes that differ in the bits 0 and 3 share rows.
inline float tile_row_max(float v)
{
    v = max(v, simd_shuffle_xor(v, ushort(1)));
    return max(v, simd_shuffle_xor(v, ushort(8)));
}
inline float tile_row_sum(float v)
{
    v += simd_shuffle_xor(v, ushort(1));
    return v + simd_shuffle_xor(v, ushort(8));
}

template <uint N>
inline void tile_spread(thread tile_sum *t, thread float *v)
{
    FOUNDRY_UNROLL_TILES
    for (uint i = 0u; i < 8u * N; i++) v[i] = t[i >> 3].m[(i >> 1) & 3u].thread_elements()[i & 1u];
}

// A sum and a left operand deal out their elements alike.
template <uint N>
inline void tile_gather(thread const float *v, thread tile_left *t)
{
    FOUNDRY_UNROLL_TILES
    for (uint i = 0u; i < 8u * N; i++) t[i >> 3].m[(i >> 1) & 3u].thread_elements()[i & 1u] = half(v[i]);
}

template <uint N>
inline void tile_scale(thread tile_sum *t, thread const float *factor)
{
    FOUNDRY_UNROLL_TILES
    for (uint i = 0u; i < 8u * N; i++) t[i >> 3].m[(i >> 1) & 3u].thread_elements()[i & 1u] *= factor[tile_slot(i & 7u)];
}
#endif
