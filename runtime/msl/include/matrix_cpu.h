// simdgroup_matrix on the CPU. An operation is the same in all lanes, so lane 0
// makes it, on the whole matrix. Stores become visible to the others at a barrier,
// as they do on a GPU. A lane that asks for its elements gets them as Apple's GPUs
// deal them out (shaders/common/tile.metal); to deal a matrix out, and to collect it
// for the next operation on the whole, all lanes meet.
namespace metal {

template <class T, int Columns, int Rows> struct simdgroup_matrix {
    static_assert(Columns == 8 && Rows == 8, "simdgroup matrices are 8x8");
    mutable T v[64];        // in lane 0 the matrix, unless it is dealt out
    mutable vec<T, 2> own;  // the lane's elements, where it is
    mutable bool dealt = false;
    simdgroup_matrix() {}
    explicit inline simdgroup_matrix(T x);  // x on the diagonal
    inline vec<T, 2>& thread_elements(FOUNDRY_AT);
    inline void collect(const char* file, int line) const;
};
typedef simdgroup_matrix<float, 8, 8> simdgroup_float8x8;
typedef simdgroup_matrix<half, 8, 8> simdgroup_half8x8;

#ifdef FOUNDRY_CHECKED
#define FOUNDRY_IN_LANE_0                                                                   \
    foundry_arrive(0u, FOUNDRY_OP_MATRIX, [](uint*, foundry_simdgroup*) {}, file, line);    \
    if (foundry_self()->lane == 0)
#else
#define FOUNDRY_IN_LANE_0 if (foundry_self()->lane == 0)
#endif

static FOUNDRY_INLINE uint foundry_matrix_at(uint lane) {
    const uint row = ((lane >> 2) & 4u) + ((lane >> 1) & 3u), column = ((lane >> 1) & 4u) + 2u * (lane & 1u);
    return 8u * row + column;
}

template <class T, int C, int R> inline vec<T, 2>& simdgroup_matrix<T, C, R>::thread_elements(const char* file, int line) {
    if (dealt) return own;
    foundry_arrive(
        this, FOUNDRY_OP_MATRIX,
        [](simdgroup_matrix** m, foundry_simdgroup* s) {
            for (uint i = 0; i < s->count; i++)
                for (uint e = 0; e < 2; e++) m[i]->own.v[e] = m[0]->v[foundry_matrix_at(i) + e];
        },
        file, line);
    dealt = true;
    return own;
}

template <class T, int C, int R> inline void simdgroup_matrix<T, C, R>::collect(const char* file, int line) const {
    if (!dealt) return;
    foundry_arrive(
        this, FOUNDRY_OP_MATRIX,
        [](const simdgroup_matrix** m, foundry_simdgroup* s) {
            for (uint i = 0; i < s->count; i++)
                for (uint e = 0; e < 2; e++) m[0]->v[foundry_matrix_at(i) + e] = m[i]->own.v[e];
        },
        file, line);
    dealt = false;
}

// The work, on 64 elements in rows of 8. Out of line: kernels hold many.
#define FOUNDRY_OUTLINE static __attribute__((noinline))

template <class T> FOUNDRY_OUTLINE void foundry_matrix_fill(T* m, T x) {
    for (int i = 0; i < 64; i++) m[i] = x;
}

template <class T> FOUNDRY_OUTLINE void foundry_matrix_load(T* m, const T* from, ulong stride, bool transpose) {
    if (transpose) {
        for (int r = 0; r < 8; r++)
            for (int c = 0; c < 8; c++) m[c * 8 + r] = from[r * stride + c];
    } else {
        for (int r = 0; r < 8; r++)
            for (int c = 0; c < 8; c++) m[r * 8 + c] = from[r * stride + c];
    }
}

template <class T> FOUNDRY_OUTLINE void foundry_matrix_store(const T* m, T* to, ulong stride, bool transpose) {
    for (int r = 0; r < 8; r++)
        for (int c = 0; c < 8; c++) to[r * stride + c] = transpose ? m[c * 8 + r] : m[r * 8 + c];
}

typedef float foundry_row __attribute__((vector_size(32)));

template <class T> static FOUNDRY_INLINE foundry_row foundry_matrix_row(const T* p) {
    foundry_row r;
    if constexpr (is_same_v<T, float>) {
        __builtin_memcpy(&r, p, sizeof r);
    } else {
        foundry_convert<float, T, 4>::run((float*)&r, p);
        foundry_convert<float, T, 4>::run((float*)&r + 4, p + 4);
    }
    return r;
}

// Products and sums in float, added by column of a.
template <class D, class A, class B, class C> FOUNDRY_OUTLINE void foundry_matrix_multiply(D* d, const A* a, const B* b, const C* c) {
    foundry_row rows[8];
    for (int k = 0; k < 8; k++) rows[k] = foundry_matrix_row(b + 8 * k);
    for (int r = 0; r < 8; r++) {
        foundry_row sum = foundry_matrix_row(c + 8 * r);
        for (int k = 0; k < 8; k++) sum += float(a[8 * r + k]) * rows[k];
        if constexpr (is_same_v<D, float>) {
            __builtin_memcpy(d + 8 * r, &sum, sizeof sum);
        } else {
            for (int k = 0; k < 8; k++) d[8 * r + k] = D(sum[k]);
        }
    }
}

template <class T, int C, int R> inline simdgroup_matrix<T, C, R>::simdgroup_matrix(T x) {
    if (foundry_self()->lane != 0) return;
    foundry_matrix_fill(v, T(0));
    for (int i = 0; i < 8; i++) v[9 * i] = x;
}

template <class T, int C, int R> inline simdgroup_matrix<T, C, R> make_filled_simdgroup_matrix(identity_t<T> x) {
    simdgroup_matrix<T, C, R> m;
    if (foundry_self()->lane == 0) foundry_matrix_fill(m.v, x);
    return m;
}

template <class T>
inline void simdgroup_load(simdgroup_matrix<T, 8, 8>& m, const T* from, ulong stride = 8, ulong2 origin = ulong2(0ul),
                           bool transpose = false, FOUNDRY_AT) {
    m.dealt = false;
    FOUNDRY_IN_LANE_0 foundry_matrix_load(m.v, from + origin.y * stride + origin.x, stride, transpose);
}

template <class T>
inline void simdgroup_store(const simdgroup_matrix<T, 8, 8>& m, T* to, ulong stride = 8, ulong2 origin = ulong2(0ul),
                            bool transpose = false, FOUNDRY_AT) {
    m.collect(file, line);
    FOUNDRY_IN_LANE_0 foundry_matrix_store(m.v, to + origin.y * stride + origin.x, stride, transpose);
}

// d = a b + c.
template <class D, class A, class B, class C>
inline void simdgroup_multiply_accumulate(simdgroup_matrix<D, 8, 8>& d, const simdgroup_matrix<A, 8, 8>& a,
                                          const simdgroup_matrix<B, 8, 8>& b, const simdgroup_matrix<C, 8, 8>& c, FOUNDRY_AT) {
    a.collect(file, line);
    b.collect(file, line);
    c.collect(file, line);
    d.dealt = false;
    FOUNDRY_IN_LANE_0 foundry_matrix_multiply(d.v, a.v, b.v, c.v);
}
template <class D, class A, class B>
inline void simdgroup_multiply(simdgroup_matrix<D, 8, 8>& d, const simdgroup_matrix<A, 8, 8>& a, const simdgroup_matrix<B, 8, 8>& b, FOUNDRY_AT) {
    simdgroup_multiply_accumulate(d, a, b, simdgroup_matrix<D, 8, 8>(D(0)), file, line);
}

}  // namespace metal
