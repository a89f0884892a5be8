// Main: a block of queries of one head against all keys that they see, in tiles
// (common/tile.metal), in one pass.
//
// Each of SIMDS simdgroups owns 16 rows of queries, D / 16 left operands of halves.
// The threadgroup walks over the keys KEYS at a time; while a block of keys is
// multiplied the values are on their way, and while the values are, the next keys.
// Scores, the running maximum, the sum and the weighted sum are float, in registers; so
// are the weights of a block, as halves for their product with the values.
//
// Inputs: k and v at key 0 of the head, rows k_stride and v_stride halves apart,
// eight halves from each row's start aligned; last, the count of keys that the
// block's last row sees; begin, the first of a block before which no row sees any;
// visible, those that each of the lane's rows sees, at least 1, or a flash_window of
// them; factor, what takes scores of halves to scaled scores, times log2(e): of all rows,
// or one for each of the lane's. Output: acc, the weighted
// values, and sum, the lane's share of each row's sum of weights: the result is acc
// over tile_row_sum(sum). Threadgroup memory: stage, 2 * KEYS / 16 strips of depth D.
template <uint D, uint KEYS, uint THREADS>
struct flash_rows {
    enum : uint { CHUNKS = D / 8u, COUNT = KEYS * CHUNKS, MINE = (COUNT + THREADS - 1u) / THREADS };
    tile_flight flight[MINE];

    void start(device const half *rows, uint stride, uint begin, uint last, threadgroup half *stage, uint thread_index)
    {
        FOUNDRY_UNROLL
        for (uint i = 0u; i < MINE; i++) {
            const uint index = thread_index + i * THREADS, at = 8u * (index % CHUNKS);
            if (flight_ended<COUNT, THREADS>(index)) continue;
            device const half *row = rows + min(begin + index / CHUNKS, last - 1u) * stride;
            flight[i].start((device const uchar *)(row + at), stage + tile_at<D>(index / CHUNKS, at));
        }
        tile_launched();
    }

    void land(threadgroup half *stage, uint thread_index)
    {
        FOUNDRY_UNROLL
        for (uint i = 0u; i < MINE; i++) {
            const uint index = thread_index + i * THREADS;
            if (flight_ended<COUNT, THREADS>(index)) continue;
            flight[i].land(stage + tile_at<D>(index / CHUNKS, 8u * (index % CHUNKS)));
        }
    }
};

// The keys that rows see where each sees no more than the last width of them.
struct flash_window {
    thread const uint *visible;
    uint width;
};

inline bool flash_sees(thread const uint *visible, uint r, uint key) { return key < visible[r]; }
inline bool flash_sees(flash_window w, uint r, uint key) { return key < w.visible[r] && key + w.width >= w.visible[r]; }

inline float flash_factor(float f, uint) { return f; }
inline float flash_factor(thread const float *f, uint r) { return f[r]; }

// The weights of a block: scores become exp2(score - maximum), and shrink what the
// earlier sums are multiplied with, block by block, so that its errors add up: it is exact
// to 4 units in the last place, where a weight may be off by 3 and 2 for each power of two
// below the largest (docs/ranges.md).
template <uint TILES, typename V, typename F>
inline void flash_softmax(thread float *s, uint base, V visible, F factor, uint lane,
                          thread float *top, thread float *sum, thread float *shrink)
{
    float peak[TILE_SLOTS];
    FOUNDRY_UNROLL
    for (uint r = 0u; r < TILE_SLOTS; r++) peak[r] = top[r];
    FOUNDRY_UNROLL
    for (uint i = 0u; i < 8u * TILES; i++) {
        const uint r = tile_slot(i & 7u), key = base + 16u * (i >> 3) + tile_column(lane, i & 7u);
        s[i] = flash_sees(visible, r, key) ? s[i] * flash_factor(factor, r) : -INFINITY;
        peak[r] = max(peak[r], s[i]);
    }
    FOUNDRY_UNROLL
    for (uint r = 0u; r < TILE_SLOTS; r++) {
        peak[r] = tile_row_max(peak[r]);
        shrink[r] = exp2(top[r] - peak[r]);
        top[r] = peak[r];
        sum[r] *= shrink[r];
    }
    FOUNDRY_UNROLL
    for (uint i = 0u; i < 8u * TILES; i++) {
        const uint r = tile_slot(i & 7u);
        s[i] = fast::exp2(s[i] - top[r]);
        sum[r] += s[i];
    }
}

template <uint D, uint KEYS, uint SIMDS, typename V, typename F>
inline void flash_prefill(thread const tile_left *q, device const half *k, uint k_stride, device const half *v, uint v_stride,
                          uint begin, uint last, V visible, F factor, threadgroup half *stage,
                          uint thread_index, uint lane, thread tile_sum *acc, thread float *sum)
{
    constexpr uint TILES = KEYS / 16u, DEEP = D / 16u;
    threadgroup half *values = stage + TILES * tile_strip<D>();
    flash_rows<D, KEYS, SIMDS * 32u> rows;
    float top[TILE_SLOTS];
    for (uint r = 0u; r < TILE_SLOTS; r++) {
        top[r] = -FLT_MAX;
        sum[r] = 0.0f;
    }
    rows.start(k, k_stride, begin, last, stage, thread_index);
    rows.land(stage, thread_index);
    for (uint base = begin; base < last; base += KEYS) {
        tile_wait<0u>();
        threadgroup_barrier(mem_flags::mem_threadgroup);
        rows.start(v, v_stride, base, last, values, thread_index);
        tile_sum scores[TILES];
        FOUNDRY_UNROLL_TILES
        for (uint n = 0u; n < TILES; n++) {
            tile_clear(scores[n]);
            FOUNDRY_UNROLL_TILES
            for (uint d = 0u; d < DEEP; d++) {
                tile_right keys;
                tile_load<D>(keys, stage + n * tile_strip<D>(), 16u * d);
                tile_multiply_accumulate(scores[n], q[d], keys);
            }
        }
        float s[8u * TILES], shrink[TILE_SLOTS];
        tile_spread<TILES>(scores, s);
        flash_softmax<TILES, V, F>(s, base, visible, factor, lane, top, sum, shrink);
        tile_left weights[TILES];
        tile_gather<TILES>(s, weights);
        bool moved = false;
        for (uint r = 0u; r < TILE_SLOTS; r++) moved = moved || shrink[r] != 1.0f;
        if (simd_any(moved)) tile_scale<DEEP>(acc, shrink);
        rows.land(values, thread_index);
        tile_wait<0u>();
        threadgroup_barrier(mem_flags::mem_threadgroup);
        if (base + KEYS < last) rows.start(k, k_stride, base + KEYS, last, stage, thread_index);
        FOUNDRY_UNROLL_TILES
        for (uint n = 0u; n < TILES; n++) {
            FOUNDRY_UNROLL_TILES
            for (uint d = 0u; d < DEEP; d++) {
                tile_right some;
                tile_load_rows<D>(some, values + n * tile_strip<D>(), 16u * d);
                tile_multiply_accumulate(acc[d], weights[n], some);
            }
        }
        if (base + KEYS < last) rows.land(stage, thread_index);
    }
}
