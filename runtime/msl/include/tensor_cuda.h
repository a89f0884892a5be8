// metal::tensor and mpp::tensor_ops::matmul2d on an NVIDIA GPU, as far as
// shaders/common/matrix.metal uses them: a static block of halves in threadgroup memory
// times another, with float sums that a threadgroup's threads hold together, by wgmma
// (wgmma_cuda.h).
#define FOUNDRY_MATRIX_STAGE 1
#define FOUNDRY_MATRIX_SPREAD 1
namespace metal {

template <class I, size_t... E> struct extents {};
struct tensor_inline {};
template <size_t N> struct execution_simdgroups {};

template <class T, class Extents, class Kind> struct tensor;
template <class T, class I, size_t Columns, size_t Rows> struct tensor<T, extents<I, Columns, Rows>, tensor_inline> {
    static constexpr size_t columns = Columns, rows = Rows;
    T* at;
    FOUNDRY_SIMD tensor(T* p, extents<I, Columns, Rows>) : at(p) {}
};

template <uint DEPTH> FOUNDRY_SIMD constexpr uint matrix_at(uint row, uint k) { return foundry_stage<DEPTH>::at(row, k >> 3) + (k & 7); }

// wgmma reads threadgroup memory through a proxy of its own. Writes are ordered for it where
// they were made; the barrier behind orders the threads.
FOUNDRY_SIMD void matrix_staged() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

template <class C> FOUNDRY_SIMD void matrix_done(C& sum) {
    foundry_wgmma_wait();
    sum.settle();
}

// A simdgroup has sixteen rows of each strip of 64; where none of them is wanted, it has
// nothing to do. Pairs of a thread's sums are neighbours.
template <class C> FOUNDRY_SIMD void matrix_spread(C& sum, uint begin, uint rows, float* to, uint stride) {
    _Pragma("unroll")
    for (uint strip = 0; strip < C::strips; strip++) {
        const uint top = sum.first_row() + strip * 64 + threadIdx.x % 128 / 32 * 16;
        if (top >= begin + rows || top + 16 <= begin) continue;
        _Pragma("unroll")
        for (uint i = strip * C::each; i < (strip + 1) * C::each; i += 2) {
            const auto at = sum.get_multidimensional_index(i);
            const uint row = at[1] - begin;
            if (row < rows) *(float2*)(to + row * stride + at[0]) = float2(sum[i], sum[i + 1]);
        }
    }
}

}  // namespace metal

namespace mpp { namespace tensor_ops {

// As Apple's, whose template parameter is the descriptor itself; here it is its fields in a number.
struct matmul2d_descriptor {
    enum class mode { multiply, multiply_accumulate };
    unsigned long packed;
    constexpr matmul2d_descriptor(int m, int n, int k, bool transpose_left, bool transpose_right, bool relaxed_precision, mode how)
        : packed((unsigned long)m | (unsigned long)n << 16 | (unsigned long)k << 32 | (unsigned long)transpose_left << 48 |
                 (unsigned long)transpose_right << 49 | (unsigned long)relaxed_precision << 50 | (unsigned long)(how == mode::multiply_accumulate) << 51) {}
    constexpr operator unsigned long() const { return packed; }
};

// Sums of M x N in the registers of G warpgroups: each has M / G rows, or where those are
// fewer than an instruction's 64, N / G columns.
template <int M, int N, int G> struct foundry_sums {
    static constexpr int down = M / 64 >= G ? G : 1, rows = M / down, columns = N * down / G;
    static_assert(M % (64 * down) == 0, "wgmma: a warpgroup has 64 rows or a multiple");
    static_assert(N % (G / down) == 0 && columns % 32 == 0, "wgmma: a warpgroup has 32 columns or a multiple");
    static constexpr int each = columns / 2, strips = rows / 64, capacity = strips * each;
    static_assert(capacity <= 128, "wgmma: a thread has registers for 128 sums");
    float v[capacity];

    static FOUNDRY_SIMD unsigned first_row() { return down == 1 ? 0 : threadIdx.x / 128 * rows; }
    static FOUNDRY_SIMD unsigned first_column() { return down == G ? 0 : threadIdx.x / 128 * columns; }

    static FOUNDRY_SIMD constexpr unsigned short get_capacity() { return capacity; }
    static FOUNDRY_SIMD constexpr bool is_valid_element(unsigned short) { return true; }
    FOUNDRY_SIMD float& operator[](unsigned short i) { return v[i]; }
    FOUNDRY_SIMD const float& operator[](unsigned short i) const { return v[i]; }

    // A thread's sums of an instruction: two neighbours, two of eight rows below, and so on
    // for each eight columns (PTX ISA, "Register Fragments for wgmma.mma_async.m64nNk16").
    struct coordinates {
        int at[2];
        FOUNDRY_SIMD int operator[](int i) const { return at[i]; }
    };
    FOUNDRY_SIMD coordinates get_multidimensional_index(unsigned short i) const {
        const int t = threadIdx.x % 128, e = i % each, strip = i / each;
        return {{int(first_column()) + e / 4 * 8 + t % 4 * 2 + e % 2, int(first_row()) + strip * 64 + t / 32 * 16 + e / 2 % 2 * 8 + t % 32 / 4}};
    }

    // No use of the sums is moved before this place.
    FOUNDRY_SIMD void settle() {
        _Pragma("unroll")
        for (int i = 0; i < capacity; i++) asm volatile("" : "+f"(v[i]) : : "memory");
    }
};

template <unsigned long D, class Scope> struct matmul2d;
template <unsigned long D, metal::size_t S> struct matmul2d<D, metal::execution_simdgroups<S>> {
    static constexpr int M = D & 0xffff, N = D >> 16 & 0xffff, K = D >> 32 & 0xffff;
    static constexpr bool transposed = D >> 49 & 1;  // the right operand: rows of its columns
    static_assert((D >> 48 & ~2ul) == 8, "wgmma: left operands with k innermost, sums that are added to");
    static_assert(S % 4 == 0, "wgmma: a warpgroup has four simdgroups");
    typedef foundry_sums<M, N, S / 4> sums;

    template <class L, class R, class T, class I = int> using cooperative_tensor_destination_t = sums;

    template <class L, class R, class T> FOUNDRY_SIMD sums get_destination_cooperative_tensor() const {
        static_assert(metal::is_same_v<T, float>, "wgmma: sums are float");
        return sums();
    }

    // Starts the products of a block; matrix_done waits for them.
    template <class L, class R> FOUNDRY_SIMD void run(L& left, R& right, sums& d) const {
        static_assert(L::columns == K && L::rows == M && R::columns == (transposed ? K : N) && R::rows == (transposed ? N : K), "the operands are the descriptor's block");
        const metal::half *const a = left.at, *const b = right.at;
        const metal::ulong from_a = metal::foundry_operand<K>(a) + metal::foundry_rows_on<K>(d.first_row());
        metal::ulong from_b;
        if constexpr (transposed) from_b = metal::foundry_operand<K>(b) + metal::foundry_rows_on<K>(d.first_column());
        else from_b = metal::foundry_operand<N>(b);
        static_assert(transposed || N == 64 && sums::columns == 64, "wgmma: rows that are summed over have 64 elements, all of a warpgroup");
        d.settle();
        metal::foundry_wgmma_fence();
        _Pragma("unroll")
        for (int k = 0; k < K; k += 16) {
            _Pragma("unroll")
            for (int i = 0; i < sums::strips; i++)
                if constexpr (transposed)
                    metal::foundry_wgmma<sums::columns>::run(d.v + i * sums::each, from_a + metal::foundry_rows_on<K>(64 * i) + metal::foundry_columns_on(k),
                                                             from_b + metal::foundry_columns_on(k));
                else metal::foundry_wgmma_rows(d.v + i * sums::each, from_a + metal::foundry_rows_on<K>(64 * i) + metal::foundry_columns_on(k), from_b + metal::foundry_rows_on<N>(k));
        }
        metal::foundry_wgmma_commit();
    }
};

} }  // namespace mpp::tensor_ops
