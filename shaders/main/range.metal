// Main: the largest of what a weight's threadgroups measured (main/measure.metal).
//
// range_measured returns in every lane the largest of COUNT numbers that stand two
// apart, where a weight's threadgroups left them.
template <uint COUNT>
inline float range_measured(device const float *measured, uint lane)
{
    float most = 0.0f;
    for (uint i = lane; i < COUNT; i += 32u) most = max(most, measured[2u * i]);
    return simd_max(most);
}
