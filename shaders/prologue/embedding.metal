// Prologue: a token id, checked against the vocabulary before it is an address.
//
// refused points to the words error and error_argument of the step. An id
// outside 0 .. rows - 1 leaves its number there (report is true in one thread for
// each id), and the caller reads nothing.
inline bool embedding_known(int id, uint rows, bool report, device atomic_uint *refused)
{
    if (id >= 0 && uint(id) < rows) return true;
    if (report) {
        atomic_store_explicit(&refused[1], uint(id), memory_order_relaxed);
        atomic_store_explicit(&refused[0], 1u, memory_order_relaxed);
    }
    return false;
}
