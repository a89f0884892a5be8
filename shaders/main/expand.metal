// Main: weights in another format as halves in device memory, once for all blocks of rows
// that multiply them.
//
// Rows of K weights in format W, ROW bytes apart, and rows of K halves behind one another. A
// threadgroup of THREADS takes as many chunks from chunk first on: start fetches the
// thread's, land expands it times a power of two and puts it where it belongs among those of
// the threadgroup, and behind a barrier expand_store stores them in the order of memory.
// chunks: how many there are; those beyond are fetched from the last one and not stored.
// Threadgroup memory: THREADS * W::WIDTH halves, ExpansionGap more behind each 32.
inline uint expand_at(uint i) { return i + i / 32u * 4u; }

template <typename W, uint K, uint ROW, uint THREADS>
struct expand_chunk {
    enum : uint { CHUNKS = K / W::WIDTH };
    typename W::Raw raw;

    void start(device const uchar *from, uint first, uint chunks, uint thread_index)
    {
        const uint c = min(first + thread_index, chunks - 1u);
        raw = W::fetch(from + ulong(c / CHUNKS) * ROW, c % CHUNKS);
    }

    void land(threadgroup half *stage, uint first, uint chunks, float fit, uint thread_index)
    {
        const uint c = first + thread_index;
        float w[W::WIDTH];
        weight_fit<W, W::GROUPS>::expand(raw, fit, w);
        if (c >= chunks) return;
        FOUNDRY_UNROLL
        for (uint q = 0u; q < W::WIDTH / 4u; q++) {
            const uint at = c / CHUNKS * K + W::position(c % CHUNKS, q) - first * W::WIDTH;
            *(threadgroup uint2 *)(stage + expand_at(at)) = uint2(as_type<uint>(half2(float2(w[4u * q], w[4u * q + 1u]))), as_type<uint>(half2(float2(w[4u * q + 2u], w[4u * q + 3u]))));
        }
    }
};

template <uint WIDTH, uint THREADS>
inline void expand_store(threadgroup half *stage, device half *to, uint first, uint chunks, uint thread_index)
{
    FOUNDRY_UNROLL
    for (uint q = 0u; q < WIDTH / 4u; q++) {
        const uint i = 4u * (thread_index + q * THREADS);
        if (first + i / WIDTH < chunks) *(device uint2 *)(to + ulong(first) * WIDTH + i) = *(threadgroup uint2 *)(stage + expand_at(i));
    }
}
