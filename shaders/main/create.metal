// Main: tensors made of nothing, four elements a thread.
//
// Elements first to first + 3 of a vector of count floats; first is a multiple of
// four. store_created leaves out what lies beyond the end.
inline void store_created(device float *y, uint first, uint count, float4 v)
{
    if (first + 4u <= count) {
        *(device float4 *)(y + first) = v;
        return;
    }
    for (uint j = 0u; first + j < count; j++) y[first + j] = v[j];
}

inline float4 arange4(int start, uint first)
{
    const int i = start + int(first);
    return float4(float(i), float(i + 1), float(i + 2), float(i + 3));
}

// Philox4x32 with ten rounds (Salmon et al., Parallel random numbers: as easy as
// 1, 2, 3; 2011).
inline uint4 philox(uint4 counter, uint key_low, uint key_high)
{
    for (uint round = 0u; round < 10u; round++) {
        const ulong a = ulong(0xD2511F53u) * ulong(counter.x), b = ulong(0xCD9E8D57u) * ulong(counter.z);
        counter = uint4(uint(b >> 32) ^ counter.y ^ key_low, uint(b), uint(a >> 32) ^ counter.w ^ key_high, uint(a));
        key_low += 0x9E3779B9u;
        key_high += 0xBB67AE85u;
    }
    return counter;
}

// Random numbers in [0, 1), multiples of 2^-24, of words: seed low, seed high,
// counter.
inline float4 random4(device const int *words, uint first)
{
    const uint4 r = philox(uint4(uint(words[2]), first / 4u, 0u, 0u), uint(words[0]), uint(words[1]));
    return float4(float(r.x >> 8), float(r.y >> 8), float(r.z >> 8), float(r.w >> 8)) * 5.9604645e-8f;
}
