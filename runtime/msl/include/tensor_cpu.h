// Metal 4's matrix units on the CPU: the part of metal::tensor and mpp::tensor_ops that
// shaders/common/matrix.metal uses, and the stage of that file.
//
// What Apple leaves to an implementation is laid out to be relied on by nobody. A seed
// (foundry_options.seed) says which elements of the sums are a thread's, and in which
// order; each thread has some that are no elements, NaN, with coordinates of others; eights
// of a stage's rows change places. What Apple asks for is checked: all threads of the
// threadgroup, as many as the operation's simdgroups have, meet in one call with the same
// operands. And matmul2d orders no memory: it takes its operands as they are when the
// first thread arrives, so that a barrier left out shows.
#define FOUNDRY_MATRIX_STAGE 1
namespace metal {

template <class Index, size_t... Extents> struct extents {};
struct tensor_inline {};
template <size_t N> struct execution_simdgroups { static constexpr uint size = N; };

// A view of rows, the innermost extent first.
template <class T, class Extents, class Kind> struct tensor;
template <class T, class Index, size_t Columns, size_t Rows> struct tensor<T, extents<Index, Columns, Rows>, tensor_inline> {
    static constexpr uint columns = Columns, rows = Rows;
    T* data;
    FOUNDRY_INLINE tensor(T* p, extents<Index, Columns, Rows>) : data(p) {}
};

// Eights of a row stand in an order of the row's own.
template <uint DEPTH> FOUNDRY_INLINE uint matrix_at(uint row, uint k) {
    static_assert(DEPTH >= 16 && (DEPTH & (DEPTH - 1)) == 0, "stages have rows of 16, 32, 64 ... elements");
    return row * DEPTH + ((k >> 3 ^ (row + foundry_here()->seed)) & (DEPTH / 8 - 1)) * 8 + (k & 7);
}

// All stores before the barrier are counted: matmul2d wants every thread's word.
static FOUNDRY_INLINE void matrix_staged() { foundry_here()->staged++; }

static FOUNDRY_INLINE void foundry_matrix_misused(const char* what, const char* file, int line) {
    foundry_matrix_mistake(foundry_here(), what, uint(line), file);
}

struct foundry_coordinates {
    int at[2];  // column, row
    FOUNDRY_INLINE int operator[](uint i) const { return at[i]; }
};

// Which of SLOTS places, those of all threads, is element n's: place = step * n + first,
// for a step that has no factor in common with SLOTS.
template <uint SLOTS> struct foundry_deal {
    uint step, first;
    FOUNDRY_INLINE foundry_deal() {
        // Primes above all factors of SLOTS: 1,024 threads of some hundred places.
        constexpr uint primes[] = {10007, 20011, 30011, 40009, 50021, 60013, 70001, 80021};
        const uint seed = foundry_here()->seed;
        step = primes[seed % (sizeof primes / sizeof *primes)] % SLOTS;
        first = seed % SLOTS;
    }
    FOUNDRY_INLINE uint element(uint place) const { return uint((ulong(place) * step + first) % SLOTS); }
};

// The sums of M rows by N columns, a thread's share.
template <uint M, uint N, uint SIMDGROUPS> class foundry_sums {
public:
    static constexpr uint threads = SIMDGROUPS * 32, capacity = M * N / threads + 3, slots = threads * capacity;
    float v[capacity];
    bool running = false;

    foundry_sums() {
        for (float& x : v) x = __builtin_nanf("");
    }
    static constexpr ushort get_capacity() { return capacity; }
    FOUNDRY_INLINE bool is_valid_element(ushort i) const { return element(i) < M * N; }
    FOUNDRY_INLINE foundry_coordinates get_multidimensional_index(ushort i) const {
        const uint n = element(i) % (M * N);
        return {{int(n % N), int(n / N)}};
    }
    FOUNDRY_INLINE float& operator[](ushort i) {
        if (FOUNDRY_UNLIKELY(running)) foundry_matrix_misused("an element of sums whose product nobody has waited for (matrix_done)", __builtin_FILE(), __builtin_LINE());
        if (FOUNDRY_UNLIKELY(i >= capacity)) foundry_matrix_misused("an element of sums beyond their capacity", __builtin_FILE(), __builtin_LINE());
        return v[i];
    }

private:
    foundry_deal<slots> deal;
    FOUNDRY_INLINE uint element(ushort i) const { return deal.element(foundry_self()->thread * capacity + i); }
};

template <class S> FOUNDRY_INLINE void matrix_done(S& sum) { sum.running = false; }

// What the threads of a call bring: the operands as the first finds them, and each
// thread's sums.
template <uint M, uint N, uint K, uint THREADS> struct foundry_product {
    const half *left, *right;
    float* sums[THREADS];
    half a[M * K], b[K * N];  // b by column of a
};

// An operand of the second kind: rows that are summed over.
template <uint K, uint COLUMNS> static FOUNDRY_INLINE void foundry_take_rows(half* to, const half* stage) {
    for (uint k = 0; k < K; k++)
        for (uint n = 0; n < COLUMNS; n++) to[k * COLUMNS + n] = stage[matrix_at<COLUMNS>(k, n)];
}

template <uint ROWS, uint K> static FOUNDRY_INLINE void foundry_take(half* to, const half* stage, uint down, uint across) {
    for (uint row = 0; row < ROWS; row++)
        for (uint k = 0; k < K; k++) to[row * down + k * across] = stage[matrix_at<K>(row, k)];
}

// Products and sums in float, added by column of a; not checked, since it goes over the
// stacks of all threads.
template <uint M, uint N, uint K, uint THREADS, uint CAPACITY>
FOUNDRY_OUTLINE __attribute__((no_sanitize_thread)) void foundry_multiply_blocks(foundry_product<M, N, K, THREADS>* p) {
    constexpr uint SLOTS = THREADS * CAPACITY, AT_ONCE = 8;
    const foundry_deal<SLOTS> deal;
    // The place of element n is n's times the inverse of the step.
    uint inverse = 0;
    for (ulong at = deal.first; at != (deal.first + 1) % SLOTS; at = (at + deal.step) % SLOTS) inverse++;
    ulong place = ulong(SLOTS - deal.first) * inverse % SLOTS;
    for (uint row = 0; row < M; row += AT_ONCE) {
        float sum[AT_ONCE * N];
        for (float& x : sum) x = 0;
        for (uint k = 0; k < K; k++) {
            float b[N];
            for (uint n = 0; n < N; n += 4) foundry_convert<float, half, 4>::run(b + n, p->b + k * N + n);
            for (uint r = 0; r < AT_ONCE; r++) {
                const float a = float(p->a[(row + r) * K + k]);
                for (uint n = 0; n < N; n++) sum[r * N + n] += a * b[n];
            }
        }
        for (uint i = 0; i < AT_ONCE * N; i++) {
            p->sums[place / CAPACITY][place % CAPACITY] += sum[i];
            place += inverse;
            if (place >= SLOTS) place -= SLOTS;
        }
    }
}

}  // namespace metal

namespace mpp { namespace tensor_ops {

struct matmul2d_descriptor {
    enum class mode { multiply, multiply_accumulate };
    int m, n, k;
    bool transpose_left, transpose_right, relaxed_precision;
    mode matmul_mode;
    constexpr matmul2d_descriptor(int m, int n, int k, bool left = false, bool right = false, bool relaxed = false, mode how = mode::multiply)
        : m(m), n(n), k(k), transpose_left(left), transpose_right(right), relaxed_precision(relaxed), matmul_mode(how) {}
    // C++17 has no template parameters of classes, as Apple's is.
    constexpr operator unsigned long() const {
        return (unsigned long)m | (unsigned long)n << 16 | (unsigned long)k << 32 | (unsigned long)transpose_left << 48 |
               (unsigned long)transpose_right << 49 | (unsigned long)(matmul_mode == mode::multiply_accumulate) << 50;
    }
};

template <unsigned long Descriptor, class Scope> class matmul2d {
    static constexpr metal::uint M = Descriptor & 0xFFFF, N = Descriptor >> 16 & 0xFFFF, K = Descriptor >> 32 & 0xFFFF;
    static constexpr metal::uint SIMDGROUPS = Scope::size, THREADS = SIMDGROUPS * 32;
    static constexpr bool TRANSPOSED = Descriptor >> 49 & 1;  // the right operand: rows of its columns
    static_assert((Descriptor >> 48 & ~2ul) == 4, "matmul2d here: left as it is, added to what is there");
    static_assert(M % 16 == 0 && N % 16 == 0 && K % 16 == 0 && K > 0, "matmul2d wants multiples of 16");
    typedef metal::foundry_sums<M, N, SIMDGROUPS> sums;
    typedef metal::foundry_product<M, N, K, THREADS> product;

    // The first thread keeps the operands on its stack until all have arrived.
    static __attribute__((noinline)) void meet(metal::half* left, metal::half* right, float* mine) {
        foundry_group* g = foundry_here();
        product p;
        p.left = left;
        p.right = right;
        metal::foundry_take<M, K>(p.a, left, K, 1);
        if constexpr (TRANSPOSED) metal::foundry_take<N, K>(p.b, right, 1, N);
        else metal::foundry_take_rows<K, N>(p.b, right);
        g->meeting = &p;
        wait(g, &p, mine);
    }

    static FOUNDRY_INLINE void wait(foundry_group* g, product* p, float* mine) {
        foundry_fiber* f = g->current;
        p->sums[f->thread] = mine;
        if (++g->arrived == g->threads) {
            metal::foundry_multiply_blocks<M, N, K, THREADS, sums::capacity>(p);
            g->meeting = nullptr;
            g->staged = FOUNDRY_STAGED_STILL;
            foundry_barrier_ends(g);
            return;
        }
        f->simd->barred |= f->bit;
        foundry_fiber* to = f + 1;
        const unsigned next = f->bit << 1;
        if (FOUNDRY_LIKELY(f->simd->ready & next)) f->simd->ready ^= next;
        else to = foundry_barred(g);
        g->current = to;
        foundry_switch(&f->at, &to->at);
    }

public:
    template <class Left, class Right, class Element, class Index = int> using cooperative_tensor_destination_t = sums;
    template <class Left, class Right, class Element> sums get_destination_cooperative_tensor() const { return sums(); }

    template <class Left, class Right> FOUNDRY_INLINE void run(Left& left, Right& right, sums& sum, FOUNDRY_AT) const {
        static_assert(Left::rows == M && Left::columns == K && Right::rows == (TRANSPOSED ? N : K) && Right::columns == (TRANSPOSED ? K : N), "operands have the descriptor's extents");
        foundry_group* g = foundry_here();
        if (FOUNDRY_UNLIKELY(g->threads != THREADS)) metal::foundry_matrix_misused("other simdgroups than the threadgroup has", file, line);
        const unsigned site = unsigned(line) | FOUNDRY_AT_MATRICES;
        if (g->line != site) {
            if (FOUNDRY_UNLIKELY(g->line)) foundry_barrier_mismatch(g, site, file);
            g->line = site;
            g->file = file;
        }
        sum.running = true;
        product* p = (product*)g->meeting;
        if (!p) {
            if (FOUNDRY_UNLIKELY(g->staged < g->threads)) metal::foundry_matrix_misused("a stage whose stores not every thread has ended (matrix_staged)", file, line);
            meet(left.data, right.data, sum.v);
            return;
        }
        if (FOUNDRY_UNLIKELY(p->left != left.data || p->right != right.data)) metal::foundry_matrix_misused("operands that are not the same for all threads", file, line);
        wait(g, p, sum.v);
    }
};

}}  // namespace mpp::tensor_ops
