// Prologue: attention that was computed in parts of the cache, merged as it is
// read.
//
// Of one head and row, values holds PARTS weighted sums, D floats apart, each under
// the maximum of its part; states holds that maximum and the part's sum of weights.
// A part without keys has the sum 0. merged1 and merged4 return one element, or
// four adjacent ones, of the result; no threadgroup memory.
template <uint PARTS>
inline float part_weights(device const float *states, thread float *weight)
{
    float peak = states[0];
    FOUNDRY_UNROLL
    for (uint i = 1u; i < PARTS; i++) peak = max(peak, states[2u * i]);
    float total = 0.0f;
    FOUNDRY_UNROLL
    for (uint i = 0u; i < PARTS; i++) {
        weight[i] = exp(states[2u * i] - peak);
        total += weight[i] * states[2u * i + 1u];
    }
    return total;
}

template <uint PARTS, uint D>
inline float merged1(device const float *values, device const float *states)
{
    float weight[PARTS], sum = 0.0f;
    const float total = part_weights<PARTS>(states, weight);
    FOUNDRY_UNROLL
    for (uint i = 0u; i < PARTS; i++) sum = fma(weight[i], values[i * D], sum);
    return sum / total;
}

template <uint PARTS, uint D>
inline float4 merged4(device const float *values, device const float *states)
{
    float weight[PARTS];
    float4 sum = float4(0.0f);
    const float total = part_weights<PARTS>(states, weight);
    FOUNDRY_UNROLL
    for (uint i = 0u; i < PARTS; i++) sum += weight[i] * *(device const float4 *)(values + i * D);
    return sum / total;
}
