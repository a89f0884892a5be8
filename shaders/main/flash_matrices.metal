// Main: a block of ROWS queries of one head against all keys that they see, by matrix units
// (common/matrix.metal, common/matrix_rows.metal), in one pass.
//
// All simdgroups walk over the keys KEYS at a time. Scores of a block go to threadgroup
// memory by their coordinates; LANES lanes share a row, keep its running maximum and sum,
// and leave the block's weights as halves, the left operand of the product with the values,
// and what the earlier sums of the row are multiplied with. While keys are multiplied the
// values are on their way, and while the values are, the next keys. Heads are cut into parts
// of FLASH_DEPTH elements: an operand of products each, and a tensor of the result.
//
// Inputs: k and v at key 0 of the head, rows k_stride and v_stride halves apart, eight halves
// from each row's start aligned; last, the count of keys that the block's last row sees;
// begin, the first of a block before which no row sees any; of the lane's row visible, those
// that it sees, at least 1, of which it sees the last width, and factor, what takes scores of
// halves to scaled scores, times log2(e). Output: acc, the weighted values, and sum, the
// lane's share of its row's sum of weights. Threadgroup memory: stage, which begins with the
// queries, and the places behind it that flash_places counts.
enum : uint { FLASH_DEPTH = 64 };

// Where the arrays of a block lie in stage, in halves.
template <uint D, uint ROWS, uint KEYS, uint LANES>
struct flash_places {
    enum : uint {
        KEY = ROWS * D,
        VALUE = KEY + KEYS * D,
        WEIGHT = VALUE + KEYS * D,
        SCORE = WEIGHT + ROWS * KEYS,
        STRIDE = KEYS + 2u * LANES, // floats of a row of scores: lanes that read together meet all banks
        SHRINK = SCORE + 2u * ROWS * STRIDE,
    };
};

// Where element d of row r of an operand of whole heads stands, in parts of rows rows.
inline uint flash_at(uint rows, uint r, uint d) { return d / FLASH_DEPTH * rows * FLASH_DEPTH + matrix_at<FLASH_DEPTH>(r, d % FLASH_DEPTH); }

template <uint D, uint KEYS, uint THREADS>
struct flash_matrix_rows {
    enum : uint { CHUNKS = D / 8u, MINE = KEYS * CHUNKS / THREADS }; // THREADS divides: a head's part has eight chunks
    tile_flight flight[MINE];

    void start(device const half *rows, uint stride, uint begin, uint last, threadgroup half *stage, uint thread_index)
    {
        FOUNDRY_UNROLL
        for (uint i = 0u; i < MINE; i++) {
            const uint index = thread_index + i * THREADS, at = 8u * (index % CHUNKS);
            device const half *row = rows + min(begin + index / CHUNKS, last - 1u) * stride;
            flight[i].start((device const uchar *)(row + at), stage + flash_at(KEYS, index / CHUNKS, at));
        }
        tile_launched();
    }

    void land(threadgroup half *stage, uint thread_index)
    {
        FOUNDRY_UNROLL
        for (uint i = 0u; i < MINE; i++) {
            const uint index = thread_index + i * THREADS;
            flight[i].land(stage + flash_at(KEYS, index / CHUNKS, 8u * (index % CHUNKS)));
        }
    }
};

template <uint LANES>
inline float flash_row_max(float v)
{
    for (ushort d = 1; d < LANES; d *= 2) v = max(v, simd_shuffle_xor(v, d));
    return v;
}
template <uint LANES>
inline float flash_row_sum(float v)
{
    for (ushort d = 1; d < LANES; d *= 2) v += simd_shuffle_xor(v, d);
    return v;
}

// The weights of a block: scores become exp2(score - maximum). Returns what the row's earlier
// sums are multiplied with.
template <uint KEYS, uint LANES>
inline float flash_weigh(threadgroup const float *scores, threadgroup half *weights, uint row, uint part,
                         uint base, uint visible, uint width, float factor, thread float &top, thread float &sum)
{
    constexpr uint PAIRS = KEYS / 2u / LANES;
    float2 s[PAIRS];
    float peak = top;
    FOUNDRY_UNROLL
    for (uint j = 0u; j < PAIRS; j++) {
        const uint at = 2u * (part + LANES * j), key = base + at;
        s[j] = *(threadgroup const float2 *)(scores + at) * factor;
        if (key >= visible || key + width < visible) s[j].x = -INFINITY;
        if (key + 1u >= visible || key + 1u + width < visible) s[j].y = -INFINITY;
        peak = max(peak, max(s[j].x, s[j].y));
    }
    peak = flash_row_max<LANES>(peak);
    const float shrink = exp2(top - peak);
    top = peak;
    sum *= shrink;
    FOUNDRY_UNROLL
    for (uint j = 0u; j < PAIRS; j++) {
        const float2 w = exp2(s[j] - peak);
        sum += w.x + w.y;
        *(threadgroup half2 *)(weights + matrix_at<KEYS>(row, 2u * (part + LANES * j))) = half2(w);
    }
    return shrink;
}

// The result of a block, a tensor for each part of the head.
template <uint D, uint ROWS, uint KEYS, uint SIMDS>
struct flash_sums {
    matrix_rows_sums<ROWS, FLASH_DEPTH, KEYS, SIMDS> part[D / FLASH_DEPTH];
};

template <uint D, uint ROWS, uint KEYS, uint SIMDS>
inline flash_sums<D, ROWS, KEYS, SIMDS> flash_begin()
{
    flash_sums<D, ROWS, KEYS, SIMDS> acc;
    FOUNDRY_UNROLL_TILES
    for (uint p = 0u; p < D / FLASH_DEPTH; p++) acc.part[p] = matrix_rows_begin<ROWS, FLASH_DEPTH, KEYS, SIMDS>();
    return acc;
}

template <uint D, uint ROWS, uint KEYS, uint SIMDS>
inline void flash_matrices(device const half *k, uint k_stride, device const half *v, uint v_stride,
                           uint begin, uint last, uint visible, uint width, float factor, threadgroup half *stage,
                           uint thread_index, thread flash_sums<D, ROWS, KEYS, SIMDS> &acc, thread float &sum)
{
    constexpr uint PARTS = D / FLASH_DEPTH, LANES = SIMDS * 32u / ROWS;
    typedef flash_places<D, ROWS, KEYS, LANES> at;
    threadgroup half *keys = stage + at::KEY, *values = stage + at::VALUE, *weights = stage + at::WEIGHT;
    threadgroup float *scores = (threadgroup float *)(stage + at::SCORE), *shrinks = (threadgroup float *)(stage + at::SHRINK);
    const uint row = thread_index / LANES, part = thread_index % LANES;
    flash_matrix_rows<D, KEYS, SIMDS * 32u> rows;
    float top = -FLT_MAX;
    sum = 0.0f;
    rows.start(k, k_stride, begin, last, keys, thread_index);
    rows.land(keys, thread_index);
    for (uint base = begin; base < last; base += KEYS) {
        tile_wait<0u>();
        matrix_staged();
        threadgroup_barrier(mem_flags::mem_threadgroup);
        rows.start(v, v_stride, base, last, values, thread_index);
        matrix_sums<ROWS, KEYS, FLASH_DEPTH, SIMDS> score = matrix_begin<ROWS, KEYS, FLASH_DEPTH, SIMDS>();
        matrix_clear(score);
        FOUNDRY_UNROLL_TILES
        for (uint p = 0u; p < PARTS; p++)
            matrix_run<ROWS, KEYS, FLASH_DEPTH, SIMDS>(stage + p * ROWS * FLASH_DEPTH, keys + p * KEYS * FLASH_DEPTH, score);
        matrix_done(score);
        matrix_spread(score, 0u, ROWS, scores, at::STRIDE);
        threadgroup_barrier(mem_flags::mem_threadgroup);
        const float shrink = flash_weigh<KEYS, LANES>(scores + row * at::STRIDE, weights, row, part, base, visible, width, factor, top, sum);
        if (part == 0u) shrinks[row] = shrink;
        rows.land(values, thread_index);
        tile_wait<0u>();
        matrix_staged();
        threadgroup_barrier(mem_flags::mem_threadgroup);
        FOUNDRY_UNROLL_TILES
        for (uint p = 0u; p < PARTS; p++) matrix_scale_rows(acc.part[p], shrinks);
        FOUNDRY_UNROLL_TILES
        for (uint p = 0u; p < PARTS; p++) matrix_rows_run<ROWS, FLASH_DEPTH, KEYS, SIMDS>(weights, values + p * KEYS * FLASH_DEPTH, acc.part[p]);
        if (base + KEYS < last) rows.start(k, k_stride, base + KEYS, last, keys, thread_index);
        FOUNDRY_UNROLL_TILES
        for (uint p = 0u; p < PARTS; p++) matrix_done(acc.part[p]);
        if (base + KEYS < last) rows.land(keys, thread_index);
    }
    sum = flash_row_sum<LANES>(sum);
    threadgroup_barrier(mem_flags::mem_threadgroup);
}
