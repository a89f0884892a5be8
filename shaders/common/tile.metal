// Tiles: 16x16 pieces of matrices that a simdgroup holds together.
//
// tile_fill, tile_load (rows `stride` elements apart in threadgroup memory),
// tile_load_transposed, tile_store and tile_multiply_accumulate (c += a * b,
// accumulated in float) are called by all lanes of a simdgroup; which lane holds
// what is nobody's business. Operands are half or float, sums are float. On Metal
// a tile is four 8x8 simdgroup matrices; an executor with other matrix units
// defines FOUNDRY_TILE and the same names.
#ifndef FOUNDRY_TILE
template <typename E>
struct tile {
    simdgroup_matrix<E, 8, 8> part[4];
};

inline void tile_fill(thread tile<float> &c, float v)
{
    FOUNDRY_UNROLL
    for (uint i = 0u; i < 4u; i++) c.part[i] = make_filled_simdgroup_matrix<float, 8, 8>(v);
}

template <typename E>
inline void tile_load(thread tile<E> &a, threadgroup const E *p, uint stride)
{
    FOUNDRY_UNROLL
    for (uint i = 0u; i < 4u; i++) simdgroup_load(a.part[i], p + 8u * (i / 2u) * stride + 8u * (i % 2u), stride);
}

template <typename E>
inline void tile_load_transposed(thread tile<E> &b, threadgroup const E *p, uint stride)
{
    FOUNDRY_UNROLL
    for (uint i = 0u; i < 4u; i++) simdgroup_load(b.part[i], p + 8u * (i % 2u) * stride + 8u * (i / 2u), stride, ulong2(0), true);
}

inline void tile_store(thread const tile<float> &c, threadgroup float *p, uint stride)
{
    FOUNDRY_UNROLL
    for (uint i = 0u; i < 4u; i++) simdgroup_store(c.part[i], p + 8u * (i / 2u) * stride + 8u * (i % 2u), stride);
}

template <typename E>
inline void tile_multiply_accumulate(thread tile<float> &c, thread const tile<E> &a, thread const tile<E> &b)
{
    FOUNDRY_UNROLL
    for (uint i = 0u; i < 4u; i++) {
        simdgroup_multiply_accumulate(c.part[i], a.part[i / 2u * 2u], b.part[i % 2u], c.part[i]);
        simdgroup_multiply_accumulate(c.part[i], a.part[i / 2u * 2u + 1u], b.part[2u + i % 2u], c.part[i]);
    }
}
#endif
