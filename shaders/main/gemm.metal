// Main: a block of rows against a block of weight rows, by a threadgroup: how both come
// to their stages (common/tile.metal, common/matrix.metal).
//
// The threadgroup walks over K in blocks of DEPTH: a block of the left operand and
// one of the weights come into stages of halves, and are multiplied there. Products of
// halves are exact in float, sums are float. Element k of a stage's row stands at
// gemm_at<DEPTH>(row, k), which the file before this one has.
//
// gemm_weights brings COLUMNS rows of weights in format W to a stage, by THREADS
// threads: start fetches block b for the thread's chunks, land expands it and multiplies
// it by fit[i], a power of two that brings chunk i to where halves reach, or all of the
// thread's by one, where FITS is 1. Element 4 j of a stage's row is weight
// gemm_column<W, DEPTH>(b, j), and so it is in the left operand's stage: formats
// whose chunks hold weights that lie apart have an order of their own.
// Chunks behind the row's end repeat the last one and meet zeros of the left
// operand. row[i]: first byte of the weights of stage row gemm_row(i, thread_index).
// gemm_halves is the same for f16, eight to a chunk, which need no expanding.
// A stage's row has a block's weights in the order of their columns, as far as the eights
// of chunks allow: W::TURNS is how many chunks of 16 take eight adjacent weights of a run
// in turn, and eight of another; 1 where chunks stand in their own order, as all others do.
// gemm_eight is the place of eight e of a row's chunk, gemm_column the weight at quad j.
// Copies into threadgroup memory are fast only where neighbours stay neighbours.
template <typename W, uint WIDTH>
struct gemm_run { enum : uint { TURNS = 1u }; };

template <typename W>
struct gemm_run<W, 16u> { enum : uint { TURNS = W::TURNS }; };

template <typename W, uint DEPTH>
struct gemm_order {
    enum : uint {
        EIGHTS = W::WIDTH < 16u ? 1u : W::WIDTH / 8u, CHUNKS = DEPTH / W::WIDTH, TURNS = gemm_run<W, W::WIDTH>::TURNS,
        IN_RUN = CHUNKS < TURNS ? CHUNKS : TURNS
    };
};

template <typename W, uint DEPTH>
inline uint gemm_eight(uint chunk, uint e)
{
    constexpr uint R = gemm_order<W, DEPTH>::IN_RUN, E = gemm_order<W, DEPTH>::EIGHTS;
    return chunk / R * R * E + e * R + chunk % R;
}

template <typename W, uint DEPTH>
inline uint gemm_column(uint b, uint j)
{
    constexpr uint R = gemm_order<W, DEPTH>::IN_RUN, E = gemm_order<W, DEPTH>::EIGHTS;
    if (W::WIDTH < 8u) return W::position(b * (DEPTH / W::WIDTH) + j, 0u);
    const uint r = j / 2u, chunk = r / (R * E) * R + r % R, e = r / R % E;
    return W::position(b * (DEPTH / W::WIDTH) + chunk, 2u * e + j % 2u);
}

// Eight in one store: rows lie so that eight lanes' sixteen bytes meet all banks once.
inline void gemm_put8(threadgroup half *to, thread const float *w)
{
    *(threadgroup uint4 *)to = uint4(as_type<uint>(half2(float2(w[0], w[1]))), as_type<uint>(half2(float2(w[2], w[3]))),
                                     as_type<uint>(half2(float2(w[4], w[5]))), as_type<uint>(half2(float2(w[6], w[7]))));
}

template <typename W, uint COLUMNS, uint DEPTH, uint THREADS, uint K, uint FITS>
struct gemm_weights {
    enum : uint { CHUNKS = DEPTH / W::WIDTH, MINE = (COLUMNS * CHUNKS + THREADS - 1u) / THREADS, ALL = K / W::WIDTH };
    typename W::Raw raw[MINE];

    void start(device const uchar *const thread *row, uint b, uint thread_index)
    {
        FOUNDRY_UNROLL
        for (uint i = 0u; i < MINE; i++) {
            const uint c = b * CHUNKS + (thread_index + i * THREADS) % CHUNKS;
            raw[i] = W::fetch(row[i], ALL % CHUNKS == 0u ? c : min(c, ALL - 1u));
        }
    }

    void land(threadgroup half *stage, const thread float *fit, uint thread_index)
    {
        FOUNDRY_UNROLL
        for (uint i = 0u; i < MINE; i++) {
            const uint index = thread_index + i * THREADS, at = index % CHUNKS;
            float w[W::WIDTH];
            weight_fit<W, W::GROUPS>::expand(raw[i], fit[FITS == 1u ? 0u : i], w);
            if (flight_ended<COLUMNS * CHUNKS, THREADS>(index)) continue;
            if (W::WIDTH < 4u) {
                stage[gemm_at<DEPTH>(index / CHUNKS, at)] = half(w[0]);
                continue;
            }
            FOUNDRY_UNROLL
            for (uint k = 0u; k < W::WIDTH / 4u * 4u; k += 8u) {
                if (W::WIDTH < 8u) gemm_put(stage + gemm_at<DEPTH>(index / CHUNKS, at * W::WIDTH), float4(w[k], w[k + 1u], w[k + 2u], w[k + 3u]));
                else gemm_put8(stage + gemm_at<DEPTH>(index / CHUNKS, 8u * gemm_eight<W, DEPTH>(at, k / 8u)), w + k);
            }
        }
    }
};

template <uint COLUMNS, uint DEPTH, uint THREADS, uint K>
struct gemm_halves {
    enum : uint { CHUNKS = DEPTH / 8u, MINE = (COLUMNS * CHUNKS + THREADS - 1u) / THREADS, ALL = K / 8u };
    tile_flight flight[MINE];

    void start(device const uchar *const thread *row, threadgroup half *stage, uint b, uint thread_index)
    {
        FOUNDRY_UNROLL
        for (uint i = 0u; i < MINE; i++) {
            const uint index = thread_index + i * THREADS, c = b * CHUNKS + index % CHUNKS;
            if (flight_ended<COLUMNS * CHUNKS, THREADS>(index)) continue;
            threadgroup half *to = stage + gemm_at<DEPTH>(index / CHUNKS, 8u * (index % CHUNKS));
            flight[i].start_row(row[i] + 16u * (ALL % CHUNKS == 0u ? c : min(c, ALL - 1u)), to);
        }
    }

    void land(threadgroup half *stage, uint thread_index)
    {
        FOUNDRY_UNROLL
        for (uint i = 0u; i < MINE; i++) {
            const uint index = thread_index + i * THREADS;
            if (flight_ended<COLUMNS * CHUNKS, THREADS>(index)) continue;
            flight[i].land(stage + gemm_at<DEPTH>(index / CHUNKS, 8u * (index % CHUNKS)));
        }
    }
};

// Rows of the left operand that are kept as halves, in the order of weights in format W,
// of which eight at least stand beside each other.
template <typename W, uint ROWS, uint DEPTH, uint THREADS>
struct gemm_rows {
    enum : uint { CHUNKS = DEPTH / 8u, MINE = (ROWS * CHUNKS + THREADS - 1u) / THREADS };
    tile_flight flight[MINE];

    void start(device const uchar *const thread *row, threadgroup half *stage, uint b, uint thread_index)
    {
        FOUNDRY_UNROLL
        for (uint i = 0u; i < MINE; i++) {
            const uint index = thread_index + i * THREADS, c = index % CHUNKS;
            if (flight_ended<ROWS * CHUNKS, THREADS>(index)) continue;
            flight[i].start_row(row[i] + 2u * gemm_column<W, DEPTH>(b, 2u * c), stage + gemm_at<DEPTH>(index / CHUNKS, 8u * c));
        }
    }

    void land(threadgroup half *stage, uint thread_index)
    {
        FOUNDRY_UNROLL
        for (uint i = 0u; i < MINE; i++) {
            const uint index = thread_index + i * THREADS;
            if (flight_ended<ROWS * CHUNKS, THREADS>(index)) continue;
            flight[i].land(stage + gemm_at<DEPTH>(index / CHUNKS, 8u * (index % CHUNKS)));
        }
    }
};

// The stage row of the i-th chunk of weights that a thread brings.
template <uint COLUMNS, uint DEPTH, uint THREADS, uint WIDTH>
inline uint gemm_row(uint i, uint thread_index)
{
    return min((thread_index + i * THREADS) / (DEPTH / WIDTH), COLUMNS - 1u);
}
