// Flights: halves on their way from device memory to an operand's stage in threadgroup
// memory (common/tile.metal, common/matrix.metal).
//
// tile_flight carries eight adjacent ones: start begins (start_row, where the halves
// behind them are wanted next), land ends it, and tile_wait, then a barrier, make it
// visible. tile_wait<N> leaves the flights of the last N calls of tile_launched in the
// air. An executor that copies without registers defines FOUNDRY_TILE and these names.
#ifndef FOUNDRY_TILE
struct tile_flight {
    uint4 held;
    void start(device const uchar *from, threadgroup half *) { held = *(device const uint4 *)from; }
    void start_row(device const uchar *from, threadgroup half *to) { start(from, to); }
    void land(threadgroup half *to) { *(threadgroup uint4 *)to = held; }
};

inline void tile_launched() {}

template <uint N>
inline void tile_wait() {}
#endif

// Whether COUNT pieces, every THREADS-th of them a thread's, end before the one at index.
// Where all threads have as many, a compiler knows that none does.
template <uint COUNT, uint THREADS>
inline bool flight_ended(uint index) { return COUNT % THREADS != 0u && index >= COUNT; }

// What is narrowed on the way.
inline void gemm_put(threadgroup half *to, float v) { *to = half(v); }
inline void gemm_put(threadgroup half *to, float4 v) { *(threadgroup half4 *)to = half4(v); }
