// Prologue: weights times a power of two, which brings them to where halves reach: of
// formats with factors these are multiplied, of others each weight.
template <typename W, uint GROUPS>
struct weight_fit {
    static void expand(typename W::Raw r, float fit, thread float *w) { W::expand_times(r, fit, w); }
};

template <typename W>
struct weight_fit<W, 0u> {
    static void expand(typename W::Raw r, float fit, thread float *w)
    {
        W::expand(r, w);
        FOUNDRY_UNROLL
        for (uint i = 0u; i < W::WIDTH; i++) w[i] *= fit;
    }
};
