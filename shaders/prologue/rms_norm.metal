// Prologue: the scale of rms_norm, 1 / sqrt(mean(x * x) + eps), from the squares
// that threads met while they read the row.
//
// Every thread calls rms_partial with its sum of squares; after the next barrier
// rms_scale gives each thread that asks the scale of the row. partial: SIMDS
// floats of threadgroup memory for each row.
inline void rms_partial(float squares, threadgroup float *partial, uint simd, uint lane)
{
    squares = simd_sum(squares);
    if (lane == 0u) partial[simd] = squares;
}

template <uint SIMDS, uint N>
inline float rms_scale(threadgroup const float *partial, float eps)
{
    float sum = 0.0f;
    for (uint i = 0u; i < SIMDS; i++) sum += partial[i];
    return rsqrt(sum * (1.0f / float(N)) + eps);
}

inline float squares_of(float x) { return x * x; }
inline float squares_of(float4 x) { return x.x * x.x + x.y * x.y + x.z * x.z + x.w * x.w; }
