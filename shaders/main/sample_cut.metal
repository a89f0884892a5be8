// Main: histograms of the scores of one part, and the search of a bin in one.
//
// A histogram is three rows of SAMPLE_BINS uints: tokens, and their weight as its
// lower 26 bits and the others. Bins are numbers of key bits, so the larger scores
// stand in the larger bins.

// Adds the part's scores whose key begins as prefix says (key >> ABOVE, all where
// ABOVE is 32) to a histogram of the bits from BELOW on. scores is the part.
// gathered: 3 * SAMPLE_BINS words of threadgroup memory. Weights of 0 are left out
// where only weights count.
template <uint ABOVE, uint BELOW>
inline void sample_histogram(device const float *scores, uint prefix, float best, device const float *settings, bool counts, bool weighs,
                             threadgroup atomic_uint *gathered, device atomic_uint *histogram, uint thread_index)
{
    const uint mask = (ABOVE == 32u ? 0xffffffffu : (1u << ABOVE) - 1u) >> BELOW;
    for (uint i = thread_index; i < 3u * SAMPLE_BINS; i += SAMPLE_THREADS) atomic_store_explicit(gathered + i, 0u, memory_order_relaxed);
    threadgroup_barrier(mem_flags::mem_threadgroup);
    for (uint q = thread_index * 4u; q < SAMPLE_PART; q += SAMPLE_THREADS * 4u) {
        const float4 v = *(device const float4 *)(scores + q);
        for (uint j = 0u; j < 4u; j++) {
            const uint key = sample_key(v[j]);
            if (ABOVE != 32u && key >> (ABOVE % 32u) != prefix) continue;
            const uint bin = key >> BELOW & mask;
            if (counts) atomic_fetch_add_explicit(gathered + bin, 1u, memory_order_relaxed);
            if (!weighs) continue;
            const uint2 w = sample_halves(sample_ratio(v[j], best, settings));
            if (w.y != 0u) atomic_fetch_add_explicit(gathered + SAMPLE_BINS + bin, w.y, memory_order_relaxed);
            if (w.x != 0u) atomic_fetch_add_explicit(gathered + 2u * SAMPLE_BINS + bin, w.x, memory_order_relaxed);
        }
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    for (uint bin = thread_index; bin < SAMPLE_BINS; bin += SAMPLE_THREADS) {
        const uint n = atomic_load_explicit(gathered + bin, memory_order_relaxed);
        const ulong w = sample_fixed(atomic_load_explicit(gathered + 2u * SAMPLE_BINS + bin, memory_order_relaxed),
                                     atomic_load_explicit(gathered + SAMPLE_BINS + bin, memory_order_relaxed));
        if (n != 0u) atomic_fetch_add_explicit(histogram + bin, n, memory_order_relaxed);
        if (w == 0ul) continue;
        atomic_fetch_add_explicit(histogram + SAMPLE_BINS + bin, uint(w) & 0x3ffffffu, memory_order_relaxed);
        atomic_fetch_add_explicit(histogram + 2u * SAMPLE_BINS + bin, uint(w >> 26), memory_order_relaxed);
    }
}

// What a search finds: the bin, and what stands above it.
struct SampleFound {
    uint bin;
    uint count;   // tokens above
    ulong weight; // of them
    ulong total;  // weight of the whole histogram
};

// Finds the first bin from above at which the tokens reach count or, by weight, the
// weights reach goal. shared: 16 ulongs. All threads call and get the result; a
// barrier stands before the next call.
inline SampleFound sample_find(device const uint *histogram, bool by_weight, uint count, ulong goal, threadgroup ulong *shared,
                               uint thread_index, uint simd, uint lane)
{
    const uint top = SAMPLE_BINS - 8u * (thread_index + 1u); // the thread's bins are top + 7 down to top
    uint n[8];
    ulong w[8];
    for (uint h = 0u; h < 8u; h += 4u) {
        const uint4 c = *(device const uint4 *)(histogram + top + h);
        const uint4 low = *(device const uint4 *)(histogram + SAMPLE_BINS + top + h);
        const uint4 high = *(device const uint4 *)(histogram + 2u * SAMPLE_BINS + top + h);
        for (uint j = 0u; j < 4u; j++) {
            n[h + j] = c[j];
            w[h + j] = (ulong(high[j]) << 26) + ulong(low[j]);
        }
    }
    uint own = 0u;
    ulong weight = 0ul;
    for (uint j = 0u; j < 8u; j++) {
        own += n[j];
        weight += w[j];
    }
    ulong all;
    SampleFound found;
    uint above = uint(sample_before(ulong(own), shared, simd, lane, all));
    threadgroup_barrier(mem_flags::mem_threadgroup);
    ulong heavier = sample_before(weight, shared, simd, lane, found.total);
    if (thread_index < 3u) shared[8u + thread_index] = 0ul;
    threadgroup_barrier(mem_flags::mem_threadgroup);
    for (uint i = 0u; i < 8u; i++) {
        const uint j = 7u - i;
        const bool here = by_weight ? heavier < goal && goal <= heavier + w[j] : above < count && count <= above + n[j];
        if (here) {
            shared[8] = ulong(top + j);
            shared[9] = ulong(above);
            shared[10] = heavier;
        }
        above += n[j];
        heavier += w[j];
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    found.bin = uint(shared[8]);
    found.count = uint(shared[9]);
    found.weight = shared[10];
    return found;
}

// A histogram of a row, by its number: 0 of all scores, 1 and 2 below top-k's bins,
// 3 and 4 below top-p's.
inline device atomic_uint *sample_row(device atomic_uint *histograms, uint which) { return histograms + which * 3u * SAMPLE_BINS; }

// Finds the bin in histogram which, from what the record from holds (nothing for the
// first bin), and notes it in the record to. Returns the bins so far as a prefix.
inline uint sample_deeper(device atomic_uint *histograms, uint which, device const uint *from, bool by_weight, uint count, ulong goal,
                          device uint *to, bool notes, threadgroup ulong *shared, uint thread_index, uint simd, uint lane)
{
    const bool first = which == 0u;
    const ulong above = first ? 0ul : sample_load(from + 2u);
    const uint wanted = first ? count : from[1];
    const SampleFound f = sample_find((device const uint *)sample_row(histograms, which), by_weight, wanted, goal - above, shared, thread_index, simd, lane);
    const uint prefix = (first ? 0u : from[0] << 11) + f.bin;
    if (notes && thread_index == 0u) {
        to[0] = prefix;
        to[1] = wanted - f.count;
        sample_store(to + 2u, above + f.weight);
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    return prefix;
}

// The five levels. scores is the part, best the row's parts, words and histograms
// are the row's; notes is true in one threadgroup of the row. gathered: 3 * SAMPLE_BINS
// words, shared: 16 ulongs of threadgroup memory.
inline void sample_level_0(device const float *scores, device const float *best, uint parts, device const float *settings, uint vocabulary,
                           device atomic_uint *histograms, threadgroup atomic_uint *gathered, uint thread_index, uint lane)
{
    const bool by_count = sample_by_count(settings, vocabulary), by_weight = sample_by_weight(settings);
    if (!sample_draws(settings) || !(by_count || by_weight)) return;
    sample_histogram<32u, 21u>(scores, 0u, sample_best(best, parts, lane), settings, by_count, by_weight, gathered, sample_row(histograms, 0u), thread_index);
}

inline void sample_level_1(device const float *scores, device const float *best, uint parts, device const float *settings, uint vocabulary,
                           device uint *words, device atomic_uint *histograms, bool notes, threadgroup atomic_uint *gathered,
                           threadgroup ulong *shared, uint thread_index, uint simd, uint lane)
{
    if (!sample_draws(settings) || !sample_by_count(settings, vocabulary)) return;
    const uint prefix = sample_deeper(histograms, 0u, words, false, uint(settings[1]), 0ul, words + SAMPLE_K1, notes, shared, thread_index, simd, lane);
    sample_histogram<21u, 10u>(scores, prefix, sample_best(best, parts, lane), settings, true, sample_by_weight(settings), gathered,
                               sample_row(histograms, 1u), thread_index);
}

inline void sample_level_2(device const float *scores, device const float *best, uint parts, device const float *settings, uint vocabulary,
                           device uint *words, device atomic_uint *histograms, bool notes, threadgroup atomic_uint *gathered,
                           threadgroup ulong *shared, uint thread_index, uint simd, uint lane)
{
    if (!sample_draws(settings) || !sample_by_count(settings, vocabulary)) return;
    const uint prefix = sample_deeper(histograms, 1u, words + SAMPLE_K1, false, 0u, 0ul, words + SAMPLE_K2, notes, shared, thread_index, simd, lane);
    sample_histogram<10u, 0u>(scores, prefix, sample_best(best, parts, lane), settings, true, sample_by_weight(settings), gathered,
                              sample_row(histograms, 2u), thread_index);
}

// Ends the search for top-k, which says what weight top-p wants, and begins top-p's.
inline void sample_level_3(device const float *scores, device const float *best, uint parts, device const float *settings, uint vocabulary,
                           device uint *words, device atomic_uint *histograms, bool notes, threadgroup atomic_uint *gathered,
                           threadgroup ulong *shared, uint thread_index, uint simd, uint lane)
{
    const bool by_count = sample_by_count(settings, vocabulary), by_weight = sample_by_weight(settings);
    if (!sample_draws(settings) || !(by_count || by_weight)) return;
    const float top = sample_best(best, parts, lane);
    const SampleFound f = sample_find((device const uint *)sample_row(histograms, by_count ? 2u : 0u), false, by_count ? words[SAMPLE_K2 + 1u] : 0u, 0ul,
                                      shared, thread_index, simd, lane);
    threadgroup_barrier(mem_flags::mem_threadgroup);
    ulong kept = f.total;
    if (by_count) {
        const uint key = (words[SAMPLE_K2] << 10) + f.bin, ties = words[SAMPLE_K2 + 1u] - f.count;
        kept = sample_load(words + SAMPLE_K2 + 2u) + f.weight + ulong(ties) * sample_fixed(sample_ratio(sample_score(key), top, settings));
        if (notes && thread_index == 0u) {
            words[SAMPLE_CUT] = key;
            words[SAMPLE_CUT + 1u] = ties;
        }
    }
    if (!by_weight) return;
    bool exact;
    ulong goal = sample_scale(kept, uint(settings[2] * 4294967296.0f), 32u, exact);
    goal = max(goal + (exact ? 0ul : 1ul), 1ul);
    if (notes && thread_index == 0u) sample_store(words + SAMPLE_GOAL, goal);
    const uint prefix = sample_deeper(histograms, 0u, words, true, 0u, goal, words + SAMPLE_P1, notes, shared, thread_index, simd, lane);
    sample_histogram<21u, 10u>(scores, prefix, top, settings, false, true, gathered, sample_row(histograms, 3u), thread_index);
}

inline void sample_level_4(device const float *scores, device const float *best, uint parts, device const float *settings,
                           device uint *words, device atomic_uint *histograms, bool notes, threadgroup atomic_uint *gathered,
                           threadgroup ulong *shared, uint thread_index, uint simd, uint lane)
{
    if (!sample_draws(settings) || !sample_by_weight(settings)) return;
    const ulong goal = sample_load(words + SAMPLE_GOAL);
    const uint prefix = sample_deeper(histograms, 3u, words + SAMPLE_P1, true, 0u, goal, words + SAMPLE_P2, notes, shared, thread_index, simd, lane);
    sample_histogram<10u, 0u>(scores, prefix, sample_best(best, parts, lane), settings, false, true, gathered, sample_row(histograms, 4u), thread_index);
}

// The cut that all levels lead to: its key, and how many ties are kept. Key 0 cuts
// nothing. It is noted for the choice.
inline uint2 sample_cut(device uint *words, float best, device const float *settings, uint vocabulary, device const uint *last, bool notes,
                        threadgroup ulong *shared, uint thread_index, uint simd, uint lane)
{
    uint2 cut = uint2(0u, 0u);
    if (sample_by_weight(settings)) {
        const ulong left = sample_load(words + SAMPLE_GOAL) - sample_load(words + SAMPLE_P2 + 2u);
        const SampleFound f = sample_find(last, true, 0u, left, shared, thread_index, simd, lane);
        cut.x = (words[SAMPLE_P2] << 10) + f.bin;
        const ulong each = max(sample_fixed(sample_ratio(sample_score(cut.x), best, settings)), 1ul);
        cut.y = uint((left - f.weight + each - 1ul) / each);
    } else if (sample_by_count(settings, vocabulary)) {
        return uint2(words[SAMPLE_CUT], words[SAMPLE_CUT + 1u]);
    }
    if (notes && thread_index == 0u) {
        words[SAMPLE_CUT] = cut.x;
        words[SAMPLE_CUT + 1u] = cut.y;
    }
    return cut;
}
