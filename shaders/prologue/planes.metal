// Prologue: what formats in planes share whose blocks are 32 levels of four low
// bits, with a fifth bit elsewhere or none.
//
// A row is COLS / 2 bytes, 16 to a block: the low halves of a block's bytes are its
// first 16 levels, the high halves the others; behind them the row's other planes.
// It starts at a multiple of 16 bytes. A chunk is the halves of 16 or 8 bytes, WIDTH
// / 8 words: quads of the low halves come first, then those of the high ones.
template <uint WIDTH>
inline uint planes_block(uint c) { return c / (32u / WIDTH); }

template <uint WIDTH>
inline uint planes_position(uint c, uint q)
{
    constexpr uint WORDS = WIDTH / 8u;
    return 32u * planes_block<WIDTH>(c) + 4u * WORDS * (c % (32u / WIDTH)) + 16u * (q / WORDS) + 4u * (q % WORDS);
}

template <uint WIDTH>
inline uint planes_low(thread const uint *halves, uint q)
{
    constexpr uint WORDS = WIDTH / 8u;
    return q < WORDS ? low_halves(halves[q]) : high_halves(halves[q - WORDS]);
}

// The fifth bits of quad q, bit 0 of fifth being that of the first level of the chunk.
template <uint WIDTH>
inline uint planes_fifth(uint fifth, uint q) { return fifth_bits(fifth >> planes_position<WIDTH>(0u, q)); }
