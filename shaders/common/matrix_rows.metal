// Matrix units, for a right operand whose rows are summed over: matrix_rows_run adds the
// product of ROWS rows on the left, DEPTH elements each, and DEPTH rows on the right,
// COLUMNS elements each, to sum. All else is as in common/matrix.metal; element c of row k
// on the right stands at matrix_at<COLUMNS>(k, c).
template <uint ROWS, uint COLUMNS, uint DEPTH, uint SIMDGROUPS>
using matrix_rows_product = mpp::tensor_ops::matmul2d<mpp::tensor_ops::matmul2d_descriptor(static_cast<int>(ROWS), static_cast<int>(COLUMNS), static_cast<int>(DEPTH), false, false, false,
                                                          mpp::tensor_ops::matmul2d_descriptor::mode::multiply_accumulate), execution_simdgroups<SIMDGROUPS>>;

template <uint ROWS, uint COLUMNS, uint DEPTH, uint SIMDGROUPS>
using matrix_rows_sums = typename matrix_rows_product<ROWS, COLUMNS, DEPTH, SIMDGROUPS>::template
    cooperative_tensor_destination_t<matrix_operand<ROWS, DEPTH>, matrix_operand<DEPTH, COLUMNS>, float, int>;

template <uint ROWS, uint COLUMNS, uint DEPTH, uint SIMDGROUPS>
inline matrix_rows_sums<ROWS, COLUMNS, DEPTH, SIMDGROUPS> matrix_rows_begin()
{
    matrix_rows_product<ROWS, COLUMNS, DEPTH, SIMDGROUPS> product;
    return product.template get_destination_cooperative_tensor<matrix_operand<ROWS, DEPTH>, matrix_operand<DEPTH, COLUMNS>, float>();
}

template <uint ROWS, uint COLUMNS, uint DEPTH, uint SIMDGROUPS, typename S>
inline void matrix_rows_run(threadgroup half *left, threadgroup half *right, thread S &sum)
{
    matrix_operand<ROWS, DEPTH> l(left, extents<int, DEPTH, ROWS>());
    matrix_operand<DEPTH, COLUMNS> r(right, extents<int, COLUMNS, DEPTH>());
    matrix_rows_product<ROWS, COLUMNS, DEPTH, SIMDGROUPS> product;
    product.run(l, r, sum);
}

// Multiplies each row of the sums with its element of by.
template <typename S>
inline void matrix_scale_rows(thread S &sum, threadgroup const float *by)
{
    FOUNDRY_UNROLL_TILES
    for (ushort i = 0; i < sum.get_capacity(); i++)
        if (sum.is_valid_element(i)) sum[i] *= by[uint(sum.get_multidimensional_index(i)[1])];
}
