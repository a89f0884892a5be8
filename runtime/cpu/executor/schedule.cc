// One threadgroup: its threads run one after another until each has returned,
// taking turns where they wait for one another.
namespace {

foundry_u64 next_random(foundry_u64* state) {
    foundry_u64 z = *state += 0x9E3779B97F4A7C15ul;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9ul;
    z = (z ^ z >> 27) * 0x94D049BB133111EBul;
    return z ^ z >> 31;
}

foundry_u32 highest(foundry_u32 mask) { return 31 - (foundry_u32)__builtin_clz(mask); }

// A bit of mask, drawn by lot.
foundry_u32 any_bit(foundry_u32 mask, foundry_u64 random) {
    for (foundry_u32 skip = (foundry_u32)(random % (foundry_u64)__builtin_popcount(mask)); skip; skip--) mask &= mask - 1;
    return (foundry_u32)__builtin_ctz(mask);
}

// The lanes of s that may run, where the group's order of threads looks for them.
foundry_u32* lanes(foundry_group* g, foundry_simdgroup* s) { return g->thread_order == FOUNDRY_FORWARD ? &s->ready : &s->shuffled; }

// The lanes that wait in the operation in progress, with the running one.
foundry_u32 waiting(foundry_group* g, foundry_simdgroup* s) { return s->all & ~*lanes(g, s) & ~s->barred & ~s->done; }

foundry_u32 lowest(foundry_u32 mask) { return (foundry_u32)__builtin_ctz(mask); }

// The first of mask behind `at`, around.
foundry_u32 around(foundry_u32 mask, foundry_u32 at) {
    const foundry_u32 behind = mask & ~((2u << at) - 1);
    return lowest(behind ? behind : mask);
}

// take removes a ready fiber from the sets, in the options' order; null: none.
// The running one's simdgroup goes first, for the caches.
foundry_fiber* take(Region* r) {
    foundry_group* g = &r->group;
    const foundry_fiber* f = g->current;
    while (g->ready) {
        const bool own = *lanes(g, f->simd) != 0;
        foundry_u32 at, lane;
        if (g->thread_order == FOUNDRY_REVERSED) at = highest(g->ready);
        else if (g->thread_order == FOUNDRY_RANDOM) at = any_bit(g->ready, next_random(&r->random));
        else at = own ? f->simd->index : around(g->ready, f->simd->index);
        foundry_u32* ready = lanes(g, &g->simd[at]);
        if (!*ready) {
            g->ready &= ~(1u << at);
            continue;
        }
        if (g->thread_order == FOUNDRY_REVERSED) lane = highest(*ready);
        else if (g->thread_order == FOUNDRY_RANDOM) lane = any_bit(*ready, next_random(&r->random));
        else lane = own ? around(*ready, f->lane) : lowest(*ready);
        *ready &= ~(1u << lane);
        return &g->fiber[at * 32 + lane];
    }
    return nullptr;
}

void at_site(Report* report, foundry_u64 site, const char* file) {
    report->operation = (foundry_u32)(site & 0xFF);
    report->line = (foundry_u32)(site >> 8);
    report->file = file;
}

// Lanes of s wait in an operation that others cannot reach any more.
[[noreturn]] void simd_stuck(Region* r, foundry_simdgroup* s) {
    foundry_group* g = &r->group;
    Report report = mistake(kSimdStuck);
    at_site(&report, s->site, s->file);
    report.other = s->index * 32 + lowest(s->barred | s->done);
    report.number = s->done >> report.other % 32 & 1;
    report.first_file = g->file;
    report.first_line = g->line;
    g->current = &g->fiber[s->index * 32 + lowest(waiting(g, s))];
    fail(r, report);
}

// Nobody is ready and not all have returned: somebody waits for what cannot come.
[[noreturn]] void stuck(Region* r) {
    foundry_group* g = &r->group;
    Report report = mistake(kBarrierReturned);
    report.file = g->file;
    report.line = g->line;
    bool barred = false, done = false;
    for (foundry_u32 i = 0; i < g->simdgroups; i++) {
        foundry_simdgroup* s = &g->simd[i];
        if (waiting(g, s)) simd_stuck(r, s);
        if (s->done && !done) {
            report.other = i * 32 + lowest(s->done);
            done = true;
        }
        if (s->barred && !barred) {
            g->current = &g->fiber[i * 32 + lowest(s->barred)];
            barred = true;
        }
    }
    fail(r, report);
}

foundry_fiber* after_return(Region* r) {
    foundry_group* g = &r->group;
    foundry_simdgroup* s = g->current->simd;
    if (!*lanes(g, s) && waiting(g, s)) simd_stuck(r, s);
    foundry_fiber* to = take(r);
    if (!to) stuck(r);
    return to;
}

// fiber_main runs threads on one stack: the fiber's own, then those that have not
// begun when a thread returns. Only a thread that waits keeps a stack.
void fiber_main() {
    Region* r = here();
    foundry_group* g = &r->group;
    for (;;) {
        foundry_fiber* f = g->current;
        r->kernel->entry(g, f);
        if (f->at.pc != (void*)&fiber_main) make_fresh(f);
        foundry_simdgroup* s = f->simd;
        s->done |= f->bit;
        if (++g->done == g->threads) abandon(r);
        foundry_fiber* to = f + 1;
        const foundry_u32 next = f->bit << 1;
        if (__builtin_expect(s->ready & next, 1)) s->ready ^= next;
        else to = after_return(r);
        g->current = to;
        if (to->at.pc != (void*)&fiber_main) {
            foundry_context lost;
            foundry_switch(&lost, &to->at);
        }
    }
}

// ---- threadgroup memory: arrays between canaries, filled with a pattern that is
// a NaN in every float type and improbable as an index.

enum { kPoison = 0xFF, kGuard = 0xC5 };

unsigned char* make_array(Region* r, const void* key, const char* name, foundry_u64 bytes) {
    if (r->array_count == kArraysMax) fail(r, mistake(kTooManyArrays));
    unsigned char* at = r->array_count ? r->array[r->array_count - 1].data + round_up(r->array[r->array_count - 1].bytes, 16) + kCanary
                                       : r->threadgroup + kCanary;
    r->array_used += round_up(bytes, 16);
    if (r->array_used > kThreadgroupLimit) {
        Report report = mistake(kTooMuchThreadgroup);
        report.number = r->array_used;
        report.name = name;
        fail(r, report);
    }
    if (!r->array_count) memset(r->threadgroup, kGuard, kCanary);
    memset(at, kPoison, bytes);
    memset(at + bytes, kGuard, round_up(bytes, 16) - bytes + kCanary);
    r->array[r->array_count++] = Array{key, name, at, bytes};
    return at;
}

bool guarded(const unsigned char* p, size_t n) {
    unsigned char wrong = 0;
    for (size_t i = 0; i < n; i++) wrong |= p[i] ^ kGuard;
    return !wrong;
}

// overrun returns the array whose surroundings were written, or null.
const Array* overrun(const Region* r) {
    if (r->array_count && !guarded(r->threadgroup, kCanary)) return &r->array[0];
    for (foundry_u32 i = 0; i < r->array_count; i++) {
        const Array* a = &r->array[i];
        if (!guarded(a->data + a->bytes, round_up(a->bytes, 16) - a->bytes + kCanary)) return a;
    }
    return nullptr;
}

// run_group runs one threadgroup; false: r->report says what went wrong.
bool run_group(Region* r) {
    foundry_group* g = &r->group;
    const foundry_kernel* k = r->kernel;
    g->arrived = 0;
    g->line = 0;
    g->staged = 0;
    g->meeting = nullptr;
    g->done = 0;
    g->device_epoch = g->threadgroup_epoch = 0;
    for (foundry_u32 i = 0; i < g->simdgroups; i++) {
        foundry_simdgroup* s = &g->simd[i];
        s->ready = s->shuffled = s->barred = s->done = 0;
        *lanes(g, s) = s->all;
        s->site = 0;
        s->values = s->slot[0].lane;
        s->device_epoch = s->threadgroup_epoch = 0;
    }
    g->ready = (foundry_u32)((2ul << (g->simdgroups - 1)) - 1);
    r->array_count = 0;
    r->array_used = 0;
    for (foundry_u32 i = 0; i < k->arrays; i++) g->array[i] = make_array(r, nullptr, k->array_names[i], k->array_bytes[i]);
    r->report.what = kNone;
    if (g->thread_order == FOUNDRY_FORWARD) {
        g->current = &g->fiber[0];
        g->simd[0].ready ^= 1;
    } else {
        g->current = &g->fiber[g->threads - 1];
        g->current = take(r);
    }
    foundry_switch(&g->host, &g->current->at);
    if (FOUNDRY_UNLIKELY(r->report.what != kNone)) {
        for (foundry_u32 i = 0; i < g->threads; i++) make_fresh(&g->fiber[i]);
        return false;
    }
    if (const Array* a = overrun(r)) {
        r->report = mistake(kArrayOverrun);
        r->report.name = a->name;
        r->report.number = a->bytes;
        return false;
    }
    return true;
}

}  // namespace

extern "C" {

foundry_fiber* foundry_turn(foundry_group* g) {
    foundry_simdgroup* s = g->current->simd;
    if (*lanes(g, s)) return take((Region*)g);
    if (s->barred | s->done) simd_stuck((Region*)g, s);
    return nullptr;
}

void foundry_turn_ends(foundry_group* g) {
    foundry_simdgroup* s = g->current->simd;
    *lanes(g, s) = s->all ^ g->current->bit;
    g->ready |= 1u << s->index;
    s->site = 0;
    s->values = s->values == s->slot[0].lane ? s->slot[1].lane : s->slot[0].lane;
}

foundry_fiber* foundry_barred(foundry_group* g) {
    Region* r = (Region*)g;
    foundry_simdgroup* s = g->current->simd;
    if (!*lanes(g, s) && waiting(g, s)) simd_stuck(r, s);
    foundry_fiber* to = take(r);
    if (!to) stuck(r);
    return to;
}

void foundry_barrier_ends(foundry_group* g) {
    g->arrived = 0;
    g->line = 0;
    for (foundry_u32 i = 0; i < g->simdgroups; i++) {
        foundry_simdgroup* s = &g->simd[i];
        s->barred = 0;
        *lanes(g, s) = s->all;
    }
    *lanes(g, g->current->simd) ^= g->current->bit;
    g->ready = (foundry_u32)((2ul << (g->simdgroups - 1)) - 1);
}

void foundry_simd_mismatch(foundry_group* g, foundry_u64 site, const char* file) {
    const foundry_simdgroup* s = g->current->simd;
    Report report = mistake(kSimdMismatch);
    at_site(&report, s->site, s->file);
    report.first_operation = report.operation;
    report.first_file = report.file;
    report.first_line = report.line;
    at_site(&report, site, file);
    report.other = s->index * 32 + lowest(waiting(g, g->current->simd) & ~g->current->bit);
    fail((Region*)g, report);
}

void foundry_barrier_mismatch(foundry_group* g, foundry_u32 line, const char* file) {
    Report report = mistake(kBarrierElsewhere);
    report.file = file;
    report.line = line;
    report.first_file = g->file;
    report.first_line = g->line;
    for (foundry_u32 i = g->simdgroups; i-- > 0;)
        if (g->simd[i].barred) report.other = i * 32 + lowest(g->simd[i].barred);
    fail((Region*)g, report);
}

void foundry_matrix_mistake(foundry_group* g, const char* what, foundry_u32 line, const char* file) {
    Report report = mistake(kMatrices);
    report.file = file;
    report.line = line;
    report.name = what;
    fail((Region*)g, report);
}

void foundry_bad_lane(foundry_group* g, foundry_u32 lane, foundry_u64 site, const char* file) {
    Report report = mistake(kBadLane);
    at_site(&report, site, file);
    report.number = lane;
    fail((Region*)g, report);
}

void* foundry_threadgroup_array(const void* key, const char* name, foundry_u64 bytes) {
    Region* r = here();
    for (foundry_u32 i = 0; i < r->array_count; i++)
        if (r->array[i].key == key) return r->array[i].data;
    return make_array(r, key, name, bytes);
}

}  // extern "C"
