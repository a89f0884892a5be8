// Main: a token of a row of logits, by a random number. What all its kernels share.
//
// settings: temperature, top-k, top-p, min-p, repetition penalty; a temperature of 0
// means the largest score. Scores are ordered by keys, uints of the same order.
// Weights, exp((score - best) / temperature), are summed in fixed point of 39 bits:
// so sums are the same in whatever order threads add, and within 2^-22 of the exact
// ones for up to 64 parts of 4,096 scores.
//
// A cut is a key and how many tokens of just that score are kept, lowest ids first;
// all larger scores are kept. Top-k and top-p are cuts, found by radix: the upper
// 11 bits of the key, the next 11, the last 10, each level a histogram that many
// threadgroups add to.
constant uint SAMPLE_PART = 4096u;   // scores a threadgroup
constant uint SAMPLE_THREADS = 256u; // threads of it
constant uint SAMPLE_BINS = 2048u;

// Words of a row's progress through the levels.
constant uint SAMPLE_K1 = 0u;   // bin, tokens still wanted, weight above (low, high)
constant uint SAMPLE_K2 = 4u;   // the same, two bins deep
constant uint SAMPLE_K3 = 8u;   // key and ties of top-k, weight kept (low, high)
constant uint SAMPLE_P1 = 12u;  // bin, 0, weight above (low, high)
constant uint SAMPLE_P2 = 16u;  // the same, two bins deep
constant uint SAMPLE_GOAL = 20u; // weight that top-p wants (low, high)
constant uint SAMPLE_CUT = 24u; // key and ties
constant uint SAMPLE_WORDS = 32u;

inline bool sample_draws(device const float *settings) { return settings[0] > 0.0f; }
inline bool sample_by_count(device const float *settings, uint vocabulary) { return settings[1] >= 1.0f && settings[1] < float(vocabulary); }
inline bool sample_by_weight(device const float *settings) { return settings[2] > 0.0f && settings[2] < 1.0f; }
inline bool sample_penalises(device const float *settings) { return settings[4] > 0.0f && settings[4] != 1.0f; }

inline uint sample_key(float score)
{
    const uint bits = as_type<uint>(score);
    return (bits & 0x80000000u) != 0u ? ~bits : bits | 0x80000000u;
}

inline float sample_score(uint key)
{
    return as_type<float>((key & 0x80000000u) != 0u ? key & 0x7fffffffu : ~key);
}

inline float sample_ratio(float score, float best, device const float *settings) { return exp((score - best) / settings[0]); }

// A ratio as its upper 19 bits (x) and the 20 below them (y).
inline uint2 sample_halves(float ratio)
{
    const float high = floor(ratio * 524288.0f);
    return uint2(uint(high), uint((ratio * 524288.0f - high) * 1048576.0f));
}

inline ulong sample_fixed(uint high, uint low) { return (ulong(high) << 20) + ulong(low); }

inline ulong sample_fixed(float ratio)
{
    const uint2 w = sample_halves(ratio);
    return sample_fixed(w.x, w.y);
}

inline ulong sample_load(device const uint *words) { return (ulong(words[1]) << 32) + ulong(words[0]); }

inline void sample_store(device uint *words, ulong v)
{
    words[0] = uint(v);
    words[1] = uint(v >> 32);
}

// The product of a and b / 2^bits, rounded down, for b < 2^bits <= 2^32; exact says
// that nothing was lost.
inline ulong sample_scale(ulong a, uint b, uint bits, thread bool &exact)
{
    const ulong high = (a >> 32) * ulong(b), low = (a & 0xfffffffful) * ulong(b);
    const ulong middle = (high << (32u - bits)) + (low >> bits);
    exact = (low & ((1ul << bits) - 1ul)) == 0ul;
    return middle;
}

// The largest score of a row, of what sample_scores left of each part.
inline float sample_best(device const float *best, uint parts, uint lane)
{
    float v = -INFINITY;
    for (uint i = lane; i < parts; i += 32u) v = max(v, best[i]);
    return simd_max(v);
}

// The sum of v over the lanes of a simdgroup, and over those below this one: of parts
// of 26 bits, since simd_sum takes 32. Integers, so no order of adding differs.
inline ulong sample_sum(ulong v)
{
    return ulong(simd_sum(uint(v) & 0x3ffffffu)) + (ulong(simd_sum(uint(v >> 26) & 0x3ffffffu)) << 26) + (ulong(simd_sum(uint(v >> 52))) << 52);
}

inline ulong sample_below(ulong v)
{
    return ulong(simd_prefix_exclusive_sum(uint(v) & 0x3ffffffu)) + (ulong(simd_prefix_exclusive_sum(uint(v >> 26) & 0x3ffffffu)) << 26) +
           (ulong(simd_prefix_exclusive_sum(uint(v >> 52))) << 52);
}

// The sum of v over the threads below this one, and of all threads in total.
// shared: 8 ulongs. Every thread calls; a barrier stands before the next call.
inline ulong sample_before(ulong v, threadgroup ulong *shared, uint simd, uint lane, thread ulong &total)
{
    const ulong before = sample_below(v);
    if (lane == 31u) shared[simd] = before + v;
    threadgroup_barrier(mem_flags::mem_threadgroup);
    const ulong of = lane < SAMPLE_THREADS / 32u ? shared[lane] : 0ul; // the simdgroup with the lane's number
    total = sample_sum(of);
    return before + sample_sum(lane < simd ? of : 0ul);
}
