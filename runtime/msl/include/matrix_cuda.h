// simdgroup_matrix on an NVIDIA GPU, its elements dealt to lanes as on Apple's (see
// shaders/common/tile.metal). Products go by shuffles: right, not fast. Kernels that
// multiply in earnest use the tile of shaders/, which has tensor cores behind it here.
namespace metal {

FOUNDRY_SIMD uint foundry_matrix_row() { return ((foundry_lane() >> 2) & 4) + ((foundry_lane() >> 1) & 3); }
FOUNDRY_SIMD uint foundry_matrix_column() { return ((foundry_lane() >> 1) & 4) + 2 * (foundry_lane() & 1); }
FOUNDRY_SIMD ushort foundry_matrix_lane(uint row, uint column) {
    return ushort((row & 4) << 2 | (column & 4) << 1 | (row & 3) << 1 | (column & 2) >> 1);
}

template <class T, int Columns, int Rows> struct simdgroup_matrix {
    static_assert(Columns == 8 && Rows == 8, "simdgroup matrices are 8x8");
    vec<T, 2> v;
    simdgroup_matrix() = default;
    FOUNDRY_INLINE vec<T, 2>& thread_elements() { return v; }
    // A diagonal matrix.
    explicit FOUNDRY_SIMD simdgroup_matrix(T x) {
        const uint row = foundry_matrix_row(), column = foundry_matrix_column();
        v[0] = row == column ? x : T(0);
        v[1] = row == column + 1 ? x : T(0);
    }
};
typedef simdgroup_matrix<float, 8, 8> simdgroup_float8x8;
typedef simdgroup_matrix<half, 8, 8> simdgroup_half8x8;

template <class T, int C, int R> FOUNDRY_SIMD simdgroup_matrix<T, C, R> make_filled_simdgroup_matrix(identity_t<T> x) {
    simdgroup_matrix<T, C, R> m;
    m.v[0] = m.v[1] = x;
    return m;
}

template <class T>
FOUNDRY_SIMD void simdgroup_load(simdgroup_matrix<T, 8, 8>& m, const T* from, ulong stride = 8, ulong2 origin = ulong2(0ul), bool transpose = false) {
    from += origin.y * stride + origin.x;
    const uint row = foundry_matrix_row(), column = foundry_matrix_column();
    for (uint i = 0; i < 2; i++) m.v[i] = transpose ? from[(column + i) * stride + row] : from[row * stride + column + i];
}

template <class T>
FOUNDRY_SIMD void simdgroup_store(const simdgroup_matrix<T, 8, 8>& m, T* to, ulong stride = 8, ulong2 origin = ulong2(0ul), bool transpose = false) {
    to += origin.y * stride + origin.x;
    const uint row = foundry_matrix_row(), column = foundry_matrix_column();
    for (uint i = 0; i < 2; i++) to[transpose ? (column + i) * stride + row : row * stride + column + i] = m.v[i];
}

// d = a b + c, products and sums in float, added by column of a.
template <class D, class A, class B, class C>
FOUNDRY_SIMD void simdgroup_multiply_accumulate(simdgroup_matrix<D, 8, 8>& d, const simdgroup_matrix<A, 8, 8>& a,
                                                const simdgroup_matrix<B, 8, 8>& b, const simdgroup_matrix<C, 8, 8>& c) {
    const uint row = foundry_matrix_row(), column = foundry_matrix_column();
    float sum0 = float(c.v[0]), sum1 = float(c.v[1]);
    for (uint k = 0; k < 8; k++) {
        const ushort from = foundry_matrix_lane(row, k), down = foundry_matrix_lane(k, column);
        const float a0 = simd_shuffle(float(a.v[0]), from), a1 = simd_shuffle(float(a.v[1]), from);
        const float x = k % 2 ? a1 : a0;
        sum0 += x * simd_shuffle(float(b.v[0]), down);
        sum1 += x * simd_shuffle(float(b.v[1]), down);
    }
    d.v[0] = D(sum0);
    d.v[1] = D(sum1);
}
template <class D, class A, class B>
FOUNDRY_SIMD void simdgroup_multiply(simdgroup_matrix<D, 8, 8>& d, const simdgroup_matrix<A, 8, 8>& a, const simdgroup_matrix<B, 8, 8>& b) {
    simdgroup_multiply_accumulate(d, a, b, make_filled_simdgroup_matrix<D, 8, 8>(D(0)));
}

}  // namespace metal
