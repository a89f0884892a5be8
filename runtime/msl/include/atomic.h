// Atomics of 32 bits, relaxed: the one order the Metal language has for them.
namespace metal {

enum memory_order { memory_order_relaxed };

#if FOUNDRY_CUDA
inline uint foundry_atomic_add(uint* p, uint x) { return atomicAdd(p, x); }
inline uint foundry_atomic_or(uint* p, uint x) { return atomicOr(p, x); }
#else
inline uint foundry_atomic_add(uint* p, uint x) { return __atomic_fetch_add(p, x, __ATOMIC_RELAXED); }
inline uint foundry_atomic_or(uint* p, uint x) { return __atomic_fetch_or(p, x, __ATOMIC_RELAXED); }
#endif

template <class T> struct atomic {
    static_assert(sizeof(T) == 4, "atomics are of 32 bits");
    T value;
};
typedef atomic<int> atomic_int;
typedef atomic<uint> atomic_uint;
typedef atomic<float> atomic_float;

template <class T> inline T atomic_load_explicit(const volatile atomic<T>* p, memory_order) {
    return as_type<T>(foundry_atomic_load((uint*)&p->value));
}
template <class T> inline void atomic_store_explicit(volatile atomic<T>* p, identity_t<T> x, memory_order) {
    foundry_atomic_store((uint*)&p->value, as_type<uint>(x));
}
template <class T> inline T atomic_exchange_explicit(volatile atomic<T>* p, identity_t<T> x, memory_order) {
    return as_type<T>(foundry_atomic_exchange((uint*)&p->value, as_type<uint>(x)));
}
template <class T>
inline bool atomic_compare_exchange_weak_explicit(volatile atomic<T>* p, T* expected, identity_t<T> desired, memory_order, memory_order) {
    uint e = as_type<uint>(*expected);
    const bool ok = foundry_atomic_compare_exchange((uint*)&p->value, &e, as_type<uint>(desired));
    *expected = as_type<T>(e);
    return ok;
}

// Every other operation is the same loop around what it computes.
#define FOUNDRY_ATOMIC_FETCH(name, expr)                                                         \
    template <class T> inline T name(volatile atomic<T>* p, identity_t<T> b, memory_order) {     \
        uint before = foundry_atomic_load((uint*)&p->value);                                     \
        for (;;) {                                                                               \
            const T a = as_type<T>(before);                                                      \
            if (foundry_atomic_compare_exchange((uint*)&p->value, &before, as_type<uint>(T(expr)))) return a; \
        }                                                                                        \
    }
FOUNDRY_ATOMIC_FETCH(atomic_fetch_add_explicit, a + b)
FOUNDRY_ATOMIC_FETCH(atomic_fetch_sub_explicit, a - b)
FOUNDRY_ATOMIC_FETCH(atomic_fetch_max_explicit, max(a, b))
FOUNDRY_ATOMIC_FETCH(atomic_fetch_min_explicit, min(a, b))
FOUNDRY_ATOMIC_FETCH(atomic_fetch_and_explicit, a & b)
FOUNDRY_ATOMIC_FETCH(atomic_fetch_or_explicit, a | b)
FOUNDRY_ATOMIC_FETCH(atomic_fetch_xor_explicit, a ^ b)
#undef FOUNDRY_ATOMIC_FETCH

// Those that kernels meet in numbers have an instruction of their own.
inline uint atomic_fetch_add_explicit(volatile atomic<uint>* p, uint b, memory_order) { return foundry_atomic_add((uint*)&p->value, b); }
inline uint atomic_fetch_or_explicit(volatile atomic<uint>* p, uint b, memory_order) { return foundry_atomic_or((uint*)&p->value, b); }

}  // namespace metal
