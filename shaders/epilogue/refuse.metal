// Epilogue: a run that cannot be right says so.
//
// refused points to the words error and error_argument of the step. One thread
// calls refuse, or several with the same arguments. refuse_large refuses finite values
// that round to no finite half.
inline void refuse(device atomic_uint *refused, uint error, uint argument)
{
    atomic_store_explicit(&refused[1], argument, memory_order_relaxed);
    atomic_store_explicit(&refused[0], error, memory_order_relaxed);
}

inline bool beyond_halves(float v) { return fabs(v) >= 65520.0f && fabs(v) < INFINITY; }

inline void refuse_large(float v, device atomic_uint *refused, uint error)
{
    if (beyond_halves(v)) refuse(refused, error, 0u);
}

inline void refuse_large(float4 v, device atomic_uint *refused, uint error)
{
    if (beyond_halves(v.x) || beyond_halves(v.y) || beyond_halves(v.z) || beyond_halves(v.w)) refuse(refused, error, 0u);
}
