// Main, a part of gemm: products of blocks in tiles (common/tile.metal), M x N of them a
// simdgroup. gemm_block adds the products of a block to acc[m * N + n]; left and right are
// the stages' strips of the simdgroup's first tile.
template <uint DEPTH>
inline uint gemm_at(uint row, uint k) { return tile_at<DEPTH>(row, k); }

template <uint DEPTH, uint M, uint N>
inline void gemm_block(threadgroup const half *left, threadgroup const half *right, thread tile_sum *acc)
{
    FOUNDRY_UNROLL_TILES
    for (uint k = 0u; k < DEPTH; k += 16u) {
        tile_left a[M];
        FOUNDRY_UNROLL_TILES
        for (uint m = 0u; m < M; m++) tile_load<DEPTH>(a[m], left + m * tile_strip<DEPTH>(), k);
        FOUNDRY_UNROLL_TILES
        for (uint n = 0u; n < N; n++) {
            tile_right b;
            tile_load<DEPTH>(b, right + n * tile_strip<DEPTH>(), k);
            FOUNDRY_UNROLL_TILES
            for (uint m = 0u; m < M; m++) tile_multiply_accumulate(acc[m * N + n], a[m], b);
        }
    }
}
