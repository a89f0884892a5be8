// Ranges: powers of two that bring values to where halves reach.
//
// range_down(bound) takes what is at most bound to less than 2^15; range_up of that
// takes it back. Both are exact, so that only what halves cannot resolve is rounded. A
// bound of zero, and one that is no number, leave values as they are. range_size is
// what an element adds to a bound that is found by looking: infinities and NaN pass
// through halves as they are.
inline float range_down(float bound)
{
    const int e = bound > 0.0f ? clamp(int(as_type<uint>(bound) >> 23) - 141, -100, 100) : 0;
    return as_type<float>(uint(127 - e) << 23);
}

inline float range_up(float down) { return as_type<float>((254u << 23) - as_type<uint>(down)); }

inline float range_size(float v) { return fabs(v) < INFINITY ? fabs(v) : 0.0f; }
inline float range_size(float4 v) { return max(max(range_size(v.x), range_size(v.y)), max(range_size(v.z), range_size(v.w))); }
