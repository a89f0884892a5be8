// Simdgroups and threadgroups on the CPU: threads are fibers of one host thread,
// and an operation that needs the others' values runs them until all arrived.
namespace metal {

// Where an operation stands in the kernel's text, so that lanes that meet at
// different ones are found.
#define FOUNDRY_AT const char *file = __builtin_FILE(), int line = __builtin_LINE()
#define FOUNDRY_PASS_AT , file, line
#define FOUNDRY_COMMA_AT , FOUNDRY_AT
#define FOUNDRY_SIMD static FOUNDRY_INLINE

// In foundry_arrive and threadgroup_barrier the next lane is mostly ready, and to
// go there is a branch that processors foresee; a search of the masks, which the
// executor makes, would have each switch wait for the one before.

// foundry_arrive gives x to the operation in progress and returns when every lane
// has; the last to arrive calls finish before any goes on.
template <class T, class Finish>
static FOUNDRY_INLINE T* foundry_arrive(T x, uint operation, Finish finish, const char* file, int line) {
    static_assert(sizeof(T) <= FOUNDRY_SLOT_BYTES, "a value that simdgroups exchange has at most 8 bytes");
    foundry_group* g = foundry_here();
    foundry_fiber* f = g->current;
    foundry_simdgroup* s = f->simd;
    T* values = (T*)s->values;
    values[f->lane] = x;
    const ulong site = FOUNDRY_SITE(uint(line), operation);
    if (s->site != site) {
        if (FOUNDRY_UNLIKELY(s->site)) foundry_simd_mismatch(g, site, file);
        s->site = site;
        s->file = file;
    }
    foundry_fiber* to = f + 1;
    const uint next = f->bit << 1;
    if (FOUNDRY_LIKELY(s->ready & next)) {
        s->ready ^= next;
    } else if (!(to = foundry_turn(g))) {
        finish(values, s);
        foundry_turn_ends(g);
        return values;
    }
    g->current = to;
    foundry_switch(&f->at, &to->at);
    return values;
}

template <class T> static FOUNDRY_INLINE T& foundry_result(T* values) {
    return *(T*)((foundry_slot*)values)->result;
}

static FOUNDRY_INLINE foundry_fiber* foundry_self() { return foundry_here()->current; }

template <class T> constexpr T foundry_highest() { return numeric_limits<T>::max(); }
template <> constexpr float foundry_highest<float>() { return INFINITY; }
template <> constexpr half foundry_highest<half>() { return half(INFINITY); }
template <class T> constexpr T foundry_lowest() { return numeric_limits<T>::lowest(); }
template <> constexpr float foundry_lowest<float>() { return -INFINITY; }
template <> constexpr half foundry_lowest<half>() { return half(-INFINITY); }

// Reductions go in halves, 16 lanes onto 16, as a butterfly of shuffles adds.
// Lanes that do not exist count as the neutral element.
#define FOUNDRY_REDUCTION(name, OP, neutral, expr)                                                    \
    template <class T> static FOUNDRY_INLINE enable_if_t<is_scalar_v<T>, T> name(T x, FOUNDRY_AT) {   \
        T* values = foundry_arrive(                                                                   \
            x, OP,                                                                                    \
            [](T* v, foundry_simdgroup* s) {                                                          \
                for (uint i = s->count; i < 32; i++) v[i] = T(neutral);                               \
                T t[16];                                                                              \
                for (int i = 0; i < 16; i++) { T a = v[i], b = v[i + 16]; t[i] = T(expr); }           \
                for (int i = 0; i < 8; i++) { T a = t[i], b = t[i + 8]; t[i] = T(expr); }             \
                for (int i = 0; i < 4; i++) { T a = t[i], b = t[i + 4]; t[i] = T(expr); }             \
                T c = t[0], d = t[1];                                                                 \
                { T a = c, b = t[2]; c = T(expr); }                                                   \
                { T a = d, b = t[3]; d = T(expr); }                                                   \
                T a = c, b = d;                                                                       \
                foundry_result(v) = T(expr);                                                          \
            },                                                                                        \
            file, line);                                                                              \
        return foundry_result(values);                                                                \
    }
FOUNDRY_REDUCTION(simd_sum, FOUNDRY_OP_SUM, 0, a + b)
FOUNDRY_REDUCTION(simd_product, FOUNDRY_OP_PRODUCT, 1, a * b)
FOUNDRY_REDUCTION(simd_min, FOUNDRY_OP_MIN, foundry_highest<T>(), min(a, b))
FOUNDRY_REDUCTION(simd_max, FOUNDRY_OP_MAX, foundry_lowest<T>(), max(a, b))
FOUNDRY_REDUCTION(simd_and, FOUNDRY_OP_AND, T(-1), a & b)
FOUNDRY_REDUCTION(simd_or, FOUNDRY_OP_OR, 0, a | b)
FOUNDRY_REDUCTION(simd_xor, FOUNDRY_OP_XOR, 0, a ^ b)
#undef FOUNDRY_REDUCTION

// Prefix sums, left to right.
template <class T> static FOUNDRY_INLINE enable_if_t<is_scalar_v<T>, T> simd_prefix_exclusive_sum(T x, FOUNDRY_AT) {
    T* values = foundry_arrive(
        x, FOUNDRY_OP_EXCLUSIVE_SUM,
        [](T* v, foundry_simdgroup* s) {
            T sum = T(0);
            for (uint i = 0; i < s->count; i++) { T here = v[i]; v[i] = sum; sum = T(sum + here); }
        },
        file, line);
    return values[foundry_self()->lane];
}
template <class T> static FOUNDRY_INLINE enable_if_t<is_scalar_v<T>, T> simd_prefix_inclusive_sum(T x, FOUNDRY_AT) {
    T* values = foundry_arrive(
        x, FOUNDRY_OP_INCLUSIVE_SUM,
        [](T* v, foundry_simdgroup* s) {
            for (uint i = 1; i < s->count; i++) v[i] = T(v[i - 1] + v[i]);
        },
        file, line);
    return values[foundry_self()->lane];
}

// The value of lane `from`. A lane that does not exist is a mistake, but for the
// shifts, where such a lane keeps its own value.
template <class T> static FOUNDRY_INLINE T foundry_shuffle(T x, uint from, bool shift, uint operation, const char* file, int line) {
    T* values = foundry_arrive(x, operation, [](T*, foundry_simdgroup*) {}, file, line);
    if (FOUNDRY_UNLIKELY(from >= foundry_self()->simd->count)) {
        if (!shift) foundry_bad_lane(foundry_here(), from, FOUNDRY_SITE(uint(line), operation), file);
        return x;
    }
    return values[from];
}
template <class T> static FOUNDRY_INLINE enable_if_t<is_scalar_v<T>, T> simd_shuffle(T x, ushort lane, FOUNDRY_AT) {
    return foundry_shuffle(x, lane, false, FOUNDRY_OP_SHUFFLE, file, line);
}
template <class T> static FOUNDRY_INLINE enable_if_t<is_scalar_v<T>, T> simd_broadcast(T x, ushort lane, FOUNDRY_AT) {
    return foundry_shuffle(x, lane, false, FOUNDRY_OP_BROADCAST, file, line);
}
template <class T> static FOUNDRY_INLINE enable_if_t<is_scalar_v<T>, T> simd_shuffle_xor(T x, ushort mask, FOUNDRY_AT) {
    return foundry_shuffle(x, foundry_self()->lane ^ mask, false, FOUNDRY_OP_SHUFFLE_XOR, file, line);
}
template <class T> static FOUNDRY_INLINE enable_if_t<is_scalar_v<T>, T> simd_shuffle_down(T x, ushort by, FOUNDRY_AT) {
    return foundry_shuffle(x, foundry_self()->lane + by, true, FOUNDRY_OP_SHUFFLE_DOWN, file, line);
}
template <class T> static FOUNDRY_INLINE enable_if_t<is_scalar_v<T>, T> simd_shuffle_up(T x, ushort by, FOUNDRY_AT) {
    return foundry_shuffle(x, foundry_self()->lane - by, true, FOUNDRY_OP_SHUFFLE_UP, file, line);
}

static FOUNDRY_INLINE ulong foundry_votes(bool x, const char* file, int line) {
    uint* values = foundry_arrive(
        uint(x), FOUNDRY_OP_BALLOT,
        [](uint* v, foundry_simdgroup* s) {
            uint votes = 0;
            for (uint i = 0; i < s->count; i++) votes |= v[i] << i;
            foundry_result(v) = votes;
        },
        file, line);
    return foundry_result(values);
}
static FOUNDRY_INLINE ulong foundry_everyone() { return foundry_self()->simd->all; }

// Memory is ordered between the lanes of the simdgroup.
static FOUNDRY_INLINE void simdgroup_barrier(mem_flags flags, FOUNDRY_AT) {
    foundry_arrive(
        uint(flags), FOUNDRY_OP_BARRIER,
        [](uint* v, foundry_simdgroup* s) {
            s->device_epoch += (v[0] & uint(mem_flags::mem_device)) != 0;
            s->threadgroup_epoch += (v[0] & uint(mem_flags::mem_threadgroup)) != 0;
        },
        file, line);
}

// Every thread of the threadgroup arrives before any goes on.
static FOUNDRY_INLINE void threadgroup_barrier(mem_flags flags, FOUNDRY_AT) {
    foundry_group* g = foundry_here();
    foundry_fiber* f = g->current;
    foundry_simdgroup* s = f->simd;
    if (g->line != uint(line)) {
        if (FOUNDRY_UNLIKELY(g->line)) foundry_barrier_mismatch(g, uint(line), file);
        g->line = uint(line);
        g->file = file;
    }
    if (++g->arrived == g->threads) {
        g->device_epoch += (uint(flags) & uint(mem_flags::mem_device)) != 0;
        g->threadgroup_epoch += (uint(flags) & uint(mem_flags::mem_threadgroup)) != 0;
        foundry_barrier_ends(g);
        g->staged &= ~FOUNDRY_STAGED_STILL;
        return;
    }
    s->barred |= f->bit;
    foundry_fiber* to = f + 1;
    const uint next = f->bit << 1;
    if (FOUNDRY_LIKELY(s->ready & next)) s->ready ^= next;
    else to = foundry_barred(g);
    g->current = to;
    foundry_switch(&f->at, &to->at);
}

// threadgroup T name[N]; in a kernel's body.
#define FOUNDRY_THREADGROUP_ARRAY(T, name, dims)      \
    static const char foundry_key_##name{};           \
    typedef T foundry_type_##name dims;               \
    foundry_type_##name& name = *(foundry_type_##name*)foundry_threadgroup_array(&foundry_key_##name, #name, sizeof(foundry_type_##name));

}  // namespace metal
