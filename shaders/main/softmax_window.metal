// Main: a row of softmax.metal of which the columns before hidden count as absent and
// become 0. There are fewer of them than columns that are visible.
template <typename Row>
struct SoftmaxWindow {
    enum : uint { WIDTH = Row::WIDTH };
    Row row;
    uint hidden;
    void load(uint c, thread float *w) const
    {
        row.load(c, w);
        for (uint q = 0u; q < WIDTH / 4u; q++) {
            const uint at = row.position(c, q);
            for (uint j = 0u; j < 4u; j++)
                if (at + j < hidden) w[4u * q + j] = -INFINITY;
        }
    }
    uint position(uint c, uint q) const { return row.position(c, q); }
};
