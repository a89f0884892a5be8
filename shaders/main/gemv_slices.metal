// Main: rows of a weight matrix against one vector in device memory, as
// main/gemv.metal has it, for weights in chunks of 32.
//
// Before a round of chunks, a simdgroup brings what they meet to threadgroup memory
// of its own, the slice: 144 bytes for each of SEATS chunks, for as many rounds as
// are loaded together. All its teams have the same chunks. Nobody waits but the
// simdgroup, and a vector of any length needs no more memory. The first PRE rounds
// are in raw, AHEAD are loaded before the first of them is used.
// A slice: what SEATS chunks of 32 weights meet, from chunk `first` of all CHUNKS on.
template <typename W, uint SEATS, uint CHUNKS>
struct gemv_slice {
    enum : uint { MINE = SEATS / 4u }; // quads a lane
    float4 held[MINE];

    void start(device const float *x, uint first, uint place)
    {
        FOUNDRY_UNROLL
        for (uint i = 0u; i < MINE; i++) held[i] = ((device const float4 *)x)[min(8u * first + place + 32u * i, 8u * CHUNKS - 1u)];
    }

    void land(threadgroup float *slice, uint place)
    {
        FOUNDRY_UNROLL
        for (uint i = 0u; i < MINE; i++) chunked_store4<W, 128u>(slice, 4u * place, i, held[i]);
    }
};

// The slice as an operand: a team's rows share the sums that offsets meet, and making
// them in the gaps first takes a lane no fewer additions.
struct SliceOperand {
    threadgroup const float *x;
    template <typename W>
    float4 quad(uint, uint c, uint q) const { return *(threadgroup const float4 *)(x + c * chunk_gaps::FLOATS + 4u * q); }
    template <typename W>
    float sum(uint m, uint c, uint g) const { return sum_of_group<W>(*this, m, c, g); }
};

// N rounds of chunks in raw, from chunk `first` of the simdgroup on; place is the
// lane's in its simdgroup, seat in its team.
template <typename W, uint R, uint LANES, uint SEATS, uint CHUNKS, uint N>
inline void gemv_rounds(thread const typename W::Raw *raw, device const float *x, threadgroup float *slice, uint first, uint place, uint seat,
                        thread float *acc)
{
    gemv_slice<W, SEATS, CHUNKS> part[N];
    FOUNDRY_UNROLL
    for (uint i = 0u; i < N; i++) part[i].start(x, first + i * LANES, place);
    simdgroup_barrier(mem_flags::mem_threadgroup);
    FOUNDRY_UNROLL
    for (uint i = 0u; i < N; i++) part[i].land(slice + i * SEATS * chunk_gaps::FLOATS, place);
    simdgroup_barrier(mem_flags::mem_threadgroup);
    FOUNDRY_UNROLL
    for (uint i = 0u; i < N; i++) {
        const SliceOperand mine{slice + i * SEATS * chunk_gaps::FLOATS};
        if (first + i * LANES + seat < CHUNKS) gemv_chunk<W, SliceOperand, R, 1u>(raw + i * R, mine, seat, acc);
    }
}

template <typename W, uint R, uint LANES, uint SEATS, uint CHUNKS, uint PRE, uint AHEAD>
inline void gemv_sliced(device const uchar *const thread *row, thread const typename W::Raw *raw, device const float *x, threadgroup float *slice,
                        uint share, uint place, thread float *acc)
{
    const uint seat = place % SEATS;
    gemv_rounds<W, R, LANES, SEATS, CHUNKS, PRE>(raw, x, slice, share * SEATS, place, seat, acc);
    for (uint first = PRE * LANES + share * SEATS; first < CHUNKS; first += AHEAD * LANES) {
        typename W::Raw next[AHEAD * R];
        FOUNDRY_UNROLL
        for (uint i = 0u; i < AHEAD; i++) {
            FOUNDRY_UNROLL
            for (uint r = 0u; r < R; r++) next[i * R + r] = W::fetch(row[r], min(first + i * LANES + seat, CHUNKS - 1u));
        }
        gemv_rounds<W, R, LANES, SEATS, CHUNKS, AHEAD>(next, x, slice, first, place, seat, acc);
    }
}

