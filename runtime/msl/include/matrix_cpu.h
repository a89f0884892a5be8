// simdgroup_matrix on the CPU. An operation is the same in all lanes, so lane 0
// makes it, on the whole matrix; what another lane holds is never read. Stores
// become visible to the others at a barrier, as they do on a GPU.
namespace metal {

template <class T, int Columns, int Rows> struct simdgroup_matrix {
    static_assert(Columns == 8 && Rows == 8, "simdgroup matrices are 8x8");
    T v[64];
    simdgroup_matrix() = default;
    // A diagonal matrix.
    explicit inline simdgroup_matrix(T x) {
        for (int i = 0; i < 64; i++) v[i] = i % 9 == 0 ? x : T(0);
    }
};
typedef simdgroup_matrix<float, 8, 8> simdgroup_float8x8;
typedef simdgroup_matrix<half, 8, 8> simdgroup_half8x8;

#ifdef FOUNDRY_CHECKED
#define FOUNDRY_MATRIX_ENTER                                                                \
    foundry_arrive(0u, FOUNDRY_OP_MATRIX, [](uint*, foundry_simdgroup*) {}, file, line);    \
    if (foundry_self()->lane != 0) return;
#else
#define FOUNDRY_MATRIX_ENTER \
    if (foundry_self()->lane != 0) return;
#endif

template <class T, int C, int R> inline simdgroup_matrix<T, C, R> make_filled_simdgroup_matrix(identity_t<T> x) {
    simdgroup_matrix<T, C, R> m;
    for (int i = 0; i < 64; i++) m.v[i] = x;
    return m;
}

template <class T>
inline void simdgroup_load(simdgroup_matrix<T, 8, 8>& m, const T* from, ulong stride = 8, ulong2 origin = ulong2(0ul),
                           bool transpose = false, FOUNDRY_AT) {
    FOUNDRY_MATRIX_ENTER
    from += origin.y * stride + origin.x;
    if (transpose) {
        for (int r = 0; r < 8; r++)
            for (int c = 0; c < 8; c++) m.v[c * 8 + r] = from[r * stride + c];
    } else {
        for (int r = 0; r < 8; r++)
            for (int c = 0; c < 8; c++) m.v[r * 8 + c] = from[r * stride + c];
    }
}

template <class T>
inline void simdgroup_store(const simdgroup_matrix<T, 8, 8>& m, T* to, ulong stride = 8, ulong2 origin = ulong2(0ul),
                            bool transpose = false, FOUNDRY_AT) {
    FOUNDRY_MATRIX_ENTER
    to += origin.y * stride + origin.x;
    for (int r = 0; r < 8; r++)
        for (int c = 0; c < 8; c++) to[r * stride + c] = transpose ? m.v[c * 8 + r] : m.v[r * 8 + c];
}

typedef float foundry_row __attribute__((vector_size(32)));

template <class T> static FOUNDRY_INLINE foundry_row foundry_matrix_row(const T* p) {
    foundry_row r;
    if constexpr (is_same_v<T, float>) {
        __builtin_memcpy(&r, p, 32);
    } else {
        foundry_convert<float, T, 4>::run((float*)&r, p);
        foundry_convert<float, T, 4>::run((float*)&r + 4, p + 4);
    }
    return r;
}

// d = a b + c, products and sums in float, added by column of a.
template <class D, class A, class B, class C>
inline void simdgroup_multiply_accumulate(simdgroup_matrix<D, 8, 8>& d, const simdgroup_matrix<A, 8, 8>& a,
                                          const simdgroup_matrix<B, 8, 8>& b, const simdgroup_matrix<C, 8, 8>& c, FOUNDRY_AT) {
    FOUNDRY_MATRIX_ENTER
    foundry_row rows[8];
    for (int k = 0; k < 8; k++) rows[k] = foundry_matrix_row(b.v + 8 * k);
    for (int r = 0; r < 8; r++) {
        foundry_row sum = foundry_matrix_row(c.v + 8 * r);
        for (int k = 0; k < 8; k++) sum += float(a.v[8 * r + k]) * rows[k];
        if constexpr (is_same_v<D, float>) {
            __builtin_memcpy(d.v + 8 * r, &sum, 32);
        } else {
            for (int k = 0; k < 8; k++) d.v[8 * r + k] = D(sum[k]);
        }
    }
}
template <class D, class A, class B>
inline void simdgroup_multiply(simdgroup_matrix<D, 8, 8>& d, const simdgroup_matrix<A, 8, 8>& a, const simdgroup_matrix<B, 8, 8>& b, FOUNDRY_AT) {
    simdgroup_multiply_accumulate(d, a, b, simdgroup_matrix<D, 8, 8>(D(0)), file, line);
}

}  // namespace metal
