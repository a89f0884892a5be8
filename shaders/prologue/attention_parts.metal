// Prologue: attention that was computed in parts of the cache, merged as it is
// read.
//
// Of one head and row, values holds PARTS weighted sums, D floats apart, each under
// the maximum of its part; states holds that maximum, times log2(e), and the part's sum of weights.
// Only the first `used` parts, at least one, have keys; the others left nothing.
// merged1 and merged4 return one element, or four adjacent ones, of the result; no
// threadgroup memory.
template <uint PARTS>
inline float part_weights(device const float *states, uint used, thread float *weight)
{
    float top[PARTS], sum[PARTS], peak = -INFINITY;
    FOUNDRY_UNROLL
    for (uint i = 0u; i < PARTS; i++) {
        top[i] = i < used ? states[2u * i] : -INFINITY;
        sum[i] = i < used ? states[2u * i + 1u] : 0.0f;
        peak = max(peak, top[i]);
    }
    float total = 0.0f;
    FOUNDRY_UNROLL
    for (uint i = 0u; i < PARTS; i++) {
        weight[i] = exp2(top[i] - peak);
        total += weight[i] * sum[i];
    }
    return total;
}

template <uint PARTS, uint D>
inline float merged1(device const float *values, device const float *states, uint used)
{
    float weight[PARTS], sum = 0.0f;
    const float total = part_weights<PARTS>(states, used, weight);
    FOUNDRY_UNROLL
    for (uint i = 0u; i < PARTS; i++) {
        if (i < used) sum = fma(weight[i], values[i * D], sum);
    }
    return sum / total;
}

template <uint PARTS, uint D>
inline float4 merged4(device const float *values, device const float *states, uint used)
{
    float weight[PARTS];
    float4 sum = float4(0.0f);
    const float total = part_weights<PARTS>(states, used, weight);
    FOUNDRY_UNROLL
    for (uint i = 0u; i < PARTS; i++) {
        if (i < used) sum += weight[i] * *(device const float4 *)(values + i * D);
    }
    return sum / total;
}
