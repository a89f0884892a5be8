// Prologue: what the block formats share.
//
// A chunk is eight weights of one block: two runs of four adjacent ones. Blocks
// start at even addresses, so bytes are read as ushorts. take4 gives four
// adjacent weights, from a column that is a multiple of four, to those who read a
// table's rows by element.
inline float low_char(ushort v) { return float(int(short(v << 8)) >> 8); }
inline float high_char(ushort v) { return float(int(short(v)) >> 8); }

// nibbles spreads the low halves of four bytes over w[0..3] and the high ones
// over w[4..7].
inline void nibbles(ushort a, ushort b, thread float *w)
{
    w[0] = float(a & 15u); w[1] = float((a >> 8) & 15u);
    w[2] = float(b & 15u); w[3] = float((b >> 8) & 15u);
    w[4] = float((a >> 4) & 15u); w[5] = float(a >> 12);
    w[6] = float((b >> 4) & 15u); w[7] = float(b >> 12);
}

template <typename W>
inline float4 take4(device const uchar *row, uint column)
{
    const uint c = W::chunk(column);
    float w[8];
    W::expand(W::fetch(row, c), w);
    const uint at = column == W::position(c, 0u) ? 0u : 4u;
    return at == 0u ? float4(w[0], w[1], w[2], w[3]) : float4(w[4], w[5], w[6], w[7]);
}
