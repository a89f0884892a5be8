// Epilogue: a run that cannot be right says so.
//
// refused points to the words error and error_argument of the step. One thread
// calls.
inline void refuse(device atomic_uint *refused, uint error, uint argument)
{
    atomic_store_explicit(&refused[1], argument, memory_order_relaxed);
    atomic_store_explicit(&refused[0], error, memory_order_relaxed);
}
