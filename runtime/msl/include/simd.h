// What follows from the simdgroup operations of a platform: vectors and votes.
namespace metal {

#define FOUNDRY_SIMD_VECTOR1(name)                                                                      \
    template <class T, int N> FOUNDRY_SIMD vec<T, N> name(vec<T, N> x FOUNDRY_COMMA_AT) {               \
        FOUNDRY_LANES(N, x.v[i] = name(x.v[i] FOUNDRY_PASS_AT))                                         \
        return x;                                                                                       \
    }
#define FOUNDRY_SIMD_VECTOR2(name)                                                                      \
    template <class T, int N> FOUNDRY_SIMD vec<T, N> name(vec<T, N> x, ushort lane FOUNDRY_COMMA_AT) {  \
        FOUNDRY_LANES(N, x.v[i] = name(x.v[i], lane FOUNDRY_PASS_AT))                                   \
        return x;                                                                                       \
    }
FOUNDRY_SIMD_VECTOR1(simd_sum)
FOUNDRY_SIMD_VECTOR1(simd_product)
FOUNDRY_SIMD_VECTOR1(simd_min)
FOUNDRY_SIMD_VECTOR1(simd_max)
FOUNDRY_SIMD_VECTOR1(simd_and)
FOUNDRY_SIMD_VECTOR1(simd_or)
FOUNDRY_SIMD_VECTOR1(simd_xor)
FOUNDRY_SIMD_VECTOR1(simd_prefix_exclusive_sum)
FOUNDRY_SIMD_VECTOR1(simd_prefix_inclusive_sum)
FOUNDRY_SIMD_VECTOR2(simd_shuffle)
FOUNDRY_SIMD_VECTOR2(simd_broadcast)
FOUNDRY_SIMD_VECTOR2(simd_shuffle_xor)
FOUNDRY_SIMD_VECTOR2(simd_shuffle_down)
FOUNDRY_SIMD_VECTOR2(simd_shuffle_up)
#undef FOUNDRY_SIMD_VECTOR1
#undef FOUNDRY_SIMD_VECTOR2

// One bit a lane.
class simd_vote {
    ulong votes, everyone;
public:
    typedef ulong vote_t;
    inline simd_vote(ulong v, ulong e) : votes(v), everyone(e) {}
    explicit inline operator vote_t() const { return votes; }
    inline bool all() const { return votes == everyone; }
    inline bool any() const { return votes != 0; }
};
FOUNDRY_SIMD simd_vote simd_ballot(bool x FOUNDRY_COMMA_AT) { return simd_vote(foundry_votes(x FOUNDRY_PASS_AT), foundry_everyone()); }
FOUNDRY_SIMD bool simd_any(bool x FOUNDRY_COMMA_AT) { return foundry_votes(x FOUNDRY_PASS_AT) != 0; }
FOUNDRY_SIMD bool simd_all(bool x FOUNDRY_COMMA_AT) { return foundry_votes(x FOUNDRY_PASS_AT) == foundry_everyone(); }

}  // namespace metal
