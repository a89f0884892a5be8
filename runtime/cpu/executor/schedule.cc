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

foundry_u32 any_bit(foundry_u32 mask, foundry_u64 random) {
    for (foundry_u32 skip = (foundry_u32)(random % (foundry_u32)__builtin_popcount(mask)); skip; skip--) mask &= mask - 1;
    return (foundry_u32)__builtin_ctz(mask);
}

// take removes a ready fiber from the sets, in the options' order; null: none.
foundry_fiber* take(Region* r) {
    foundry_group* g = &r->group;
    for (;;) {
        foundry_simdgroup* own = g->current->simd;
        if (!g->ready) return nullptr;
        foundry_u32 at;
        foundry_u64 random = 0;
        if (g->thread_order == FOUNDRY_REVERSED) {
            at = highest(g->ready);
        } else if (g->thread_order == FOUNDRY_RANDOM) {
            random = next_random(&r->random);
            at = any_bit(g->ready, random >> 32);
        } else {
            at = own->ready ? own->index : foundry_around(g->ready, own->index);
        }
        foundry_simdgroup* s = &g->simd[at];
        if (!s->ready) {
            g->ready &= ~(1u << at);
            continue;
        }
        foundry_u32 lane;
        if (g->thread_order == FOUNDRY_REVERSED) lane = highest(s->ready);
        else if (g->thread_order == FOUNDRY_RANDOM) lane = any_bit(s->ready, random & 0xFFFFFFFF);
        else lane = s == own ? foundry_around(s->ready, g->current->lane) : (foundry_u32)__builtin_ctz(s->ready);
        s->ready &= ~(1u << lane);
        return &g->fiber[at * 32 + lane];
    }
}

void at_site(Report* report, foundry_u64 site, const char* file) {
    report->operation = (foundry_u32)(site & 0xFF);
    report->line = (foundry_u32)(site >> 8);
    report->file = file;
}

// A lane that has not arrived at the operation its simdgroup waits in.
foundry_u32 missing_lane(const foundry_simdgroup* s) {
    return s->index * 32 + (foundry_u32)__builtin_ctz(s->all & ~s->waiting);
}

[[noreturn]] void simd_stuck(Region* r, foundry_simdgroup* s) {
    Report report = mistake(kSimdStuck);
    at_site(&report, s->site, s->file);
    report.other = missing_lane(s);
    r->group.current = &r->group.fiber[s->index * 32 + (foundry_u32)__builtin_ctz(s->waiting)];
    const foundry_fiber* other = &r->group.fiber[report.other];
    report.number = s->done & other->bit ? 1 : 0;
    report.first_file = other->file;
    report.first_line = other->line;
    fail(r, report);
}

// Nobody is ready and not all have returned: somebody waits for what cannot come.
[[noreturn]] void stuck(Region* r) {
    foundry_group* g = &r->group;
    for (foundry_u32 i = 0; i < g->simdgroups; i++)
        if (g->simd[i].waiting) simd_stuck(r, &g->simd[i]);
    Report report = mistake(kBarrierReturned);
    report.file = g->file;
    report.line = g->line;
    for (foundry_u32 i = 0; i < g->simdgroups; i++)
        if (g->simd[i].done) {
            report.other = i * 32 + (foundry_u32)__builtin_ctz(g->simd[i].done);
            break;
        }
    for (foundry_u32 i = 0; i < g->threads; i++)
        if (g->fiber[i].line) {
            g->current = &g->fiber[i];
            break;
        }
    fail(r, report);
}

// fiber_main runs threads on one stack: the fiber's own, then those that have not
// begun when a thread returns. Only a thread that waits keeps a stack.
void fiber_main() {
    Region* r = here();
    foundry_group* g = &r->group;
    for (;;) {
        foundry_fiber* f = g->current;
        r->kernel->entry(g, f);
        make_fresh(r, f->thread);
        foundry_simdgroup* s = f->simd;
        s->done |= f->bit;
        if (FOUNDRY_UNLIKELY(s->waiting && !s->ready)) simd_stuck(r, s);
        if (++g->done == g->threads) abandon(r);
        foundry_fiber* to;
        if (FOUNDRY_UNLIKELY(!s->ready || g->thread_order)) {
            to = take(r);
            if (FOUNDRY_UNLIKELY(!to)) stuck(r);
        } else {
            to = foundry_neighbour(f, s);
        }
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
    g->done = 0;
    g->device_epoch = g->threadgroup_epoch = 0;
    for (foundry_u32 i = 0; i < g->simdgroups; i++) {
        foundry_simdgroup* s = &g->simd[i];
        s->ready = s->all;
        s->waiting = s->done = 0;
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
        for (foundry_u32 i = 0; i < g->threads; i++) {
            make_fresh(r, i);
            g->fiber[i].line = 0;
        }
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

foundry_fiber* foundry_next(foundry_group* g) { return take((Region*)g); }

void foundry_simd_stuck(foundry_group* g) { simd_stuck((Region*)g, g->current->simd); }

void foundry_barrier_stuck(foundry_group* g) { stuck((Region*)g); }

void foundry_simd_mismatch(foundry_group* g, foundry_u64 site, const char* file) {
    const foundry_simdgroup* s = g->current->simd;
    Report report = mistake(kSimdMismatch);
    at_site(&report, s->site, s->file);
    report.first_operation = report.operation;
    report.first_file = report.file;
    report.first_line = report.line;
    at_site(&report, site, file);
    report.other = s->index * 32 + (foundry_u32)__builtin_ctz(s->waiting);
    fail((Region*)g, report);
}

void foundry_barrier_mismatch(foundry_group* g, const char* file, foundry_u32 line) {
    Report report = mistake(kBarrierElsewhere);
    report.file = file;
    report.line = line;
    report.first_file = g->file;
    report.first_line = g->line;
    for (foundry_u32 i = 0; i < g->threads; i++)
        if (g->fiber[i].line) {
            report.other = i;
            break;
        }
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
