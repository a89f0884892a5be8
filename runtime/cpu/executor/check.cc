// The checked mode. Kernels are compiled with -fsanitize=thread and a callback at
// each basic block, but the hooks are these: every access is held against the
// launch's operands and threadgroup arrays, and against a shadow that knows who
// last wrote and read each byte.
namespace {

// Who accessed a byte, and how far its threadgroup and simdgroup had come.
struct Mark {
    foundry_u32 serial;  // of the threadgroup; 0: nobody
    foundry_u32 epoch;   // threadgroup barriers it had passed
    uint16_t simd_epoch; // simdgroup barriers
    uint16_t thread;     // the highest bit: an atomic access
};
enum { kAtomic = 0x8000 };

// One byte: its last writer, and two readers that differ where there are two.
struct Cell {
    Mark writer, reader, other;
};

enum { kPage = 1024, kPagesKept = 4096 };

}  // namespace

// Shadow maps pages of addresses to their cells; pages appear when touched.
struct Shadow {
    uintptr_t* page;  // an open-addressed table; 0: free
    Cell** cells;
    size_t size, used;
    uintptr_t last_page;
    Cell* last_cells;
};

namespace {

size_t shadow_index(const Shadow* s, uintptr_t page) {
    size_t i = (page * 0x9E3779B97F4A7C15ul >> 20) & (s->size - 1);
    while (s->page[i] && s->page[i] != page) i = (i + 1) & (s->size - 1);
    return i;
}

void shadow_grow(Shadow* s) {
    Shadow bigger = {};
    bigger.size = s->size ? 2 * s->size : 256;
    bigger.page = (uintptr_t*)calloc(bigger.size, sizeof(uintptr_t));
    bigger.cells = (Cell**)calloc(bigger.size, sizeof(Cell*));
    if (!bigger.page || !bigger.cells) abort();  // as any allocation beyond memory
    for (size_t i = 0; i < s->size; i++)
        if (s->page[i]) {
            const size_t at = shadow_index(&bigger, s->page[i]);
            bigger.page[at] = s->page[i];
            bigger.cells[at] = s->cells[i];
        }
    bigger.used = s->used;
    free(s->page);
    free(s->cells);
    *s = bigger;
}

Cell* shadow_cell(Shadow* s, uintptr_t address) {
    const uintptr_t page = address / kPage;
    if (page != s->last_page) {
        if (2 * (s->used + 1) > s->size) shadow_grow(s);
        const size_t i = shadow_index(s, page);
        if (!s->page[i]) {
            s->page[i] = page;
            s->cells[i] = (Cell*)calloc(kPage, sizeof(Cell));
            if (!s->cells[i]) abort();
            s->used++;
        }
        s->last_page = page;
        s->last_cells = s->cells[i];
    }
    return &s->last_cells[address % kPage];
}

void shadow_free(Shadow* s) {
    if (!s) return;
    for (size_t i = 0; i < s->size; i++) free(s->cells[i]);
    free(s->page);
    free(s->cells);
    free(s);
}

// The threadgroup whose thread runs here; null outside a kernel, as in a
// module's constructors.
Region* running() {
    static Region* known;
    Region* r = here();
    if (r != __atomic_load_n(&known, __ATOMIC_RELAXED)) {
        foundry_u64 sp = (foundry_u64)__builtin_frame_address(0);
        if (!region_of(sp)) return nullptr;
        __atomic_store_n(&known, r, __ATOMIC_RELAXED);
    }
    return r;
}

[[noreturn]] void access_fails(Region* r, Mistake what, uintptr_t address, foundry_u64 bytes, bool write) {
    Report report = mistake(what);
    report.address = address;
    report.bytes = bytes;
    report.write = write;
    fail(r, report);
}

// happened_before: what m marks is ordered before what the current thread does.
// Threadgroups before `first` are out of reach: of an earlier wave, or, for
// threadgroup memory, any other.
bool happened_before(const Region* r, const Mark* m, foundry_u32 first, foundry_u32 epoch, foundry_u32 simd_epoch) {
    if (m->serial != r->serial) return m->serial < first;
    const foundry_fiber* f = r->group.current;
    const foundry_u32 thread = m->thread & ~kAtomic;
    return thread == f->thread || m->epoch < epoch || (thread / 32 == f->thread / 32 && m->simd_epoch < simd_epoch);
}

[[noreturn]] void race(Region* r, const Mark* m, bool other_write, uintptr_t address, bool write) {
    Report report = mistake(kRace);
    report.address = address;
    report.write = write;
    report.other_write = other_write;
    report.other = m->thread & ~kAtomic;
    report.other_serial = m->serial;
    fail(r, report);
}

void track(Region* r, uintptr_t address, foundry_u64 bytes, bool write, bool atomic, bool threadgroup) {
    const foundry_group* g = &r->group;
    const foundry_simdgroup* s = g->current->simd;
    const foundry_u32 epoch = threadgroup ? g->threadgroup_epoch : g->device_epoch;
    const foundry_u32 simd_epoch = threadgroup ? s->threadgroup_epoch : s->device_epoch;
    const foundry_u32 first = threadgroup ? r->serial : r->wave_serial;
    const Mark me = {r->serial, epoch, (uint16_t)simd_epoch, (uint16_t)(g->current->thread | (atomic ? kAtomic : 0))};
    for (foundry_u64 i = 0; i < bytes; i++) {
        Cell* c = shadow_cell(r->shadow, address + i);
        if (threadgroup && !write && c->writer.serial != r->serial) access_fails(r, kUninitialised, address + i, bytes, false);
        const bool both_atomic = atomic && (c->writer.thread & kAtomic);
        if (!both_atomic && !happened_before(r, &c->writer, first, epoch, simd_epoch)) race(r, &c->writer, true, address + i, write);
        if (!write) {
            if (c->reader.thread == me.thread || happened_before(r, &c->reader, first, epoch, simd_epoch)) c->reader = me;
            else c->other = me;
            continue;
        }
        const Mark* const readers[] = {&c->reader, &c->other};
        for (const Mark* m : readers)
            if (!(atomic && (m->thread & kAtomic)) && !happened_before(r, m, first, epoch, simd_epoch)) race(r, m, false, address + i, true);
        c->writer = me;
    }
}

void check_threadgroup(Region* r, uintptr_t address, foundry_u64 bytes, bool write, bool atomic) {
    for (foundry_u32 i = 0; i < r->array_count; i++) {
        const uintptr_t low = (uintptr_t)r->array[i].data;
        if (address >= low && address + bytes <= low + r->array[i].bytes) {
            track(r, address, bytes, write, atomic, true);
            return;
        }
    }
    access_fails(r, kOutside, address, bytes, write);
}

bool within(const foundry_operand* o, uintptr_t address, foundry_u64 bytes) {
    return address >= (uintptr_t)o->data && address + bytes <= (uintptr_t)o->data + o->bytes;
}

// A constant table of the module itself may be read.
bool in_module(const Region* r, uintptr_t address) {
    Dl_info a, m;
    return dladdr((void*)address, &a) && dladdr((const void*)r->module, &m) && a.dli_fbase == m.dli_fbase;
}

void check_device(Region* r, uintptr_t address, foundry_u64 bytes, foundry_u32 need, bool atomic) {
    const bool write = need & FOUNDRY_WRITE;
    const foundry_operand* o = r->group.operands;
    const foundry_u32 n = r->kernel->slots;
    foundry_u32 slot = r->last_slot;
    if (!(slot < n && within(&o[slot], address, bytes) && (o[slot].access & need) == need)) {
        foundry_u32 forbidden = 0;  // what the operands around it allow
        for (slot = 0; slot < n; slot++)
            if (within(&o[slot], address, bytes)) {
                if ((o[slot].access & need) == need) break;
                forbidden |= o[slot].access;
            }
        if (slot == n) {
            if (!write && !forbidden && in_module(r, address)) return;
            if (forbidden) access_fails(r, kForbidden, address, bytes, !(forbidden & FOUNDRY_WRITE));
            access_fails(r, kOutside, address, bytes, write);
        }
        r->last_slot = slot;
    }
    if (write || r->tracked >> slot & 1) track(r, address, bytes, write, atomic, false);
}

void check(const void* p, foundry_u64 bytes, foundry_u32 need, bool atomic) {
    Region* r = running();
    if (!r) return;
    const uintptr_t address = (uintptr_t)p;
    if (address - (uintptr_t)r >= FOUNDRY_REGION) check_device(r, address, bytes, need, atomic);
    else if (address >= (uintptr_t)r->threadgroup && address < (uintptr_t)r->threadgroup_end) check_threadgroup(r, address, bytes, need & FOUNDRY_WRITE, atomic);
    // Else a thread's own stack, or the group's state, which the header reads.
}

}  // namespace

#pragma GCC visibility push(default)
extern "C" {

void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}

#define FOUNDRY_HOOKS(n)                                                    \
    void __tsan_read##n(void* p) { check(p, n, FOUNDRY_READ, false); }       \
    void __tsan_write##n(void* p) { check(p, n, FOUNDRY_WRITE, false); }       \
    void __tsan_unaligned_read##n(void* p) { check(p, n, FOUNDRY_READ, false); } \
    void __tsan_unaligned_write##n(void* p) { check(p, n, FOUNDRY_WRITE, false); }
FOUNDRY_HOOKS(1)
FOUNDRY_HOOKS(2)
FOUNDRY_HOOKS(4)
FOUNDRY_HOOKS(8)
FOUNDRY_HOOKS(16)
#undef FOUNDRY_HOOKS
void __tsan_read_range(void* p, unsigned long n) { check(p, n, FOUNDRY_READ, false); }
void __tsan_write_range(void* p, unsigned long n) { check(p, n, FOUNDRY_WRITE, false); }
void* __tsan_memcpy(void* to, const void* from, size_t n) {
    check(from, n, FOUNDRY_READ, false);
    check(to, n, FOUNDRY_WRITE, false);
    return memcpy(to, from, n);
}
void* __tsan_memmove(void* to, const void* from, size_t n) {
    check(from, n, FOUNDRY_READ, false);
    check(to, n, FOUNDRY_WRITE, false);
    return memmove(to, from, n);
}
void* __tsan_memset(void* to, int value, size_t n) {
    check(to, n, FOUNDRY_WRITE, false);
    return memset(to, value, n);
}

// Atomics of 32 bits, the only ones the kernels' header has.
typedef unsigned foundry_a32;
foundry_a32 __tsan_atomic32_load(const volatile foundry_a32* p, int) {
    check((const void*)p, 4, FOUNDRY_READ, true);
    return __atomic_load_n(p, __ATOMIC_RELAXED);
}
void __tsan_atomic32_store(volatile foundry_a32* p, foundry_a32 x, int) {
    check((const void*)p, 4, FOUNDRY_WRITE, true);
    __atomic_store_n(p, x, __ATOMIC_RELAXED);
}
foundry_a32 __tsan_atomic32_exchange(volatile foundry_a32* p, foundry_a32 x, int) {
    check((const void*)p, 4, FOUNDRY_READ | FOUNDRY_WRITE, true);
    return __atomic_exchange_n(p, x, __ATOMIC_RELAXED);
}
foundry_a32 __tsan_atomic32_fetch_add(volatile foundry_a32* p, foundry_a32 x, int) {
    check((const void*)p, 4, FOUNDRY_READ | FOUNDRY_WRITE, true);
    return __atomic_fetch_add(p, x, __ATOMIC_RELAXED);
}
foundry_a32 __tsan_atomic32_fetch_or(volatile foundry_a32* p, foundry_a32 x, int) {
    check((const void*)p, 4, FOUNDRY_READ | FOUNDRY_WRITE, true);
    return __atomic_fetch_or(p, x, __ATOMIC_RELAXED);
}
int __tsan_atomic32_compare_exchange_strong(volatile foundry_a32* p, foundry_a32* expected, foundry_a32 x, int, int) {
    check((const void*)p, 4, FOUNDRY_READ | FOUNDRY_WRITE, true);
    return __atomic_compare_exchange_n(p, expected, x, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}
int __tsan_atomic32_compare_exchange_weak(volatile foundry_a32* p, foundry_a32* expected, foundry_a32 x, int a, int b) {
    return __tsan_atomic32_compare_exchange_strong(p, expected, x, a, b);
}
foundry_a32 __tsan_atomic32_compare_exchange_val(volatile foundry_a32* p, foundry_a32 expected, foundry_a32 x, int a, int b) {
    __tsan_atomic32_compare_exchange_strong(p, &expected, x, a, b);
    return expected;
}

void foundry_aligned(const void* p, foundry_u64 alignment, bool write) {
    if ((uintptr_t)p % alignment == 0) return;
    if (Region* r = running()) access_fails(r, kMisaligned, (uintptr_t)p, alignment, write);
}

// At each basic block.
void __sanitizer_cov_trace_pc() {
    Region* r = running();
    if (!r) return;
    const foundry_u64 most = r->job->options->max_steps;
    if (++r->group.current->steps > most && most) fail(r, mistake(kSteps));
}

}  // extern "C"
#pragma GCC visibility pop
