// Main, a part of gemm: products of blocks by matrix units (common/matrix.metal).
template <uint DEPTH>
inline uint gemm_at(uint row, uint k) { return matrix_at<DEPTH>(row, k); }
