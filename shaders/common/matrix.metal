// Matrix units: products of blocks that all simdgroups of a threadgroup make together, by
// Metal 4's mpp::tensor_ops::matmul2d. Every thread makes each call, in uniform control
// flow.
//
// A stage is an operand in threadgroup memory, rows of DEPTH halves: element k of a row
// stands at matrix_at<DEPTH>(row, k), aligned groups of eight stay adjacent, and a stage
// of ROWS rows takes ROWS * DEPTH halves. Threads that have stored to stages call
// matrix_staged, then meet at a barrier; behind it matrix_run adds the product of ROWS
// rows on the left and COLUMNS rows on the right, element by element of DEPTH, to sum.
// Behind matrix_done, which does no harm where nothing runs, the sums can be read, and
// behind one more barrier the stages be filled again. An executor whose units want stages
// in another order, or work on while the threads do, defines FOUNDRY_MATRIX_STAGE and
// these names, and FOUNDRY_MATRIX_SPREAD where it knows which threads have a row.
//
// Sums are a cooperative tensor: how their elements lie among the threads is the
// executor's own, and not each of a thread's is one. matrix_spread puts rows begin to
// begin + rows - 1 to threadgroup memory, at rows of stride floats.
//
// Facts from MPPTensorOpsMatMul2d.h of Apple's macOS 26.1 SDK: extents and coordinates are
// innermost first, so (column, row); a descriptor's mode is multiply where none is given;
// execution_simdgroups wants all simdgroups of the threadgroup; operands are taken by
// reference, and none of const elements.
#ifndef FOUNDRY_MATRIX_STAGE
template <uint DEPTH>
inline uint matrix_at(uint row, uint k) { return row * DEPTH + k; }

inline void matrix_staged() {}

template <typename S>
inline void matrix_done(thread S &) {}
#endif

template <uint ROWS, uint DEPTH>
using matrix_operand = tensor<threadgroup half, extents<int, DEPTH, ROWS>, tensor_inline>;

template <uint ROWS, uint COLUMNS, uint DEPTH, uint SIMDGROUPS>
using matrix_product = mpp::tensor_ops::matmul2d<mpp::tensor_ops::matmul2d_descriptor(static_cast<int>(ROWS), static_cast<int>(COLUMNS), static_cast<int>(DEPTH), false, true, false,
                                                     mpp::tensor_ops::matmul2d_descriptor::mode::multiply_accumulate), execution_simdgroups<SIMDGROUPS>>;

template <uint ROWS, uint COLUMNS, uint DEPTH, uint SIMDGROUPS>
using matrix_sums = typename matrix_product<ROWS, COLUMNS, DEPTH, SIMDGROUPS>::template
    cooperative_tensor_destination_t<matrix_operand<ROWS, DEPTH>, matrix_operand<COLUMNS, DEPTH>, float, int>;

template <uint ROWS, uint COLUMNS, uint DEPTH, uint SIMDGROUPS>
inline matrix_sums<ROWS, COLUMNS, DEPTH, SIMDGROUPS> matrix_begin()
{
    matrix_product<ROWS, COLUMNS, DEPTH, SIMDGROUPS> product;
    return product.template get_destination_cooperative_tensor<matrix_operand<ROWS, DEPTH>, matrix_operand<COLUMNS, DEPTH>, float>();
}

template <typename S>
inline void matrix_clear(thread S &sum)
{
    FOUNDRY_UNROLL_TILES
    for (ushort i = 0; i < sum.get_capacity(); i++)
        if (sum.is_valid_element(i)) sum[i] = 0.0f;
}

template <uint ROWS, uint COLUMNS, uint DEPTH, uint SIMDGROUPS, typename S>
inline void matrix_run(threadgroup half *left, threadgroup half *right, thread S &sum)
{
    matrix_operand<ROWS, DEPTH> l(left, extents<int, DEPTH, ROWS>());
    matrix_operand<COLUMNS, DEPTH> r(right, extents<int, DEPTH, COLUMNS>());
    matrix_product<ROWS, COLUMNS, DEPTH, SIMDGROUPS> product;
    product.run(l, r, sum);
}

#ifndef FOUNDRY_MATRIX_SPREAD
template <typename S>
inline void matrix_spread(thread S &sum, uint begin, uint rows, threadgroup float *to, uint stride)
{
    FOUNDRY_UNROLL_TILES
    for (ushort i = 0; i < sum.get_capacity(); i++) {
        if (!sum.is_valid_element(i)) continue;
        const auto at = sum.get_multidimensional_index(i);
        const uint row = uint(at[1]) - begin;
        if (row < rows) to[row * stride + uint(at[0])] = sum[i];
    }
}
#endif
