// What went wrong, as one line for people.
namespace {

const char* const operation_names[] = {
    "none", "simd_sum", "simd_product", "simd_min", "simd_max", "simd_and", "simd_or", "simd_xor",
    "simd_prefix_exclusive_sum", "simd_prefix_inclusive_sum", "simd_shuffle", "simd_shuffle_xor", "simd_shuffle_down",
    "simd_shuffle_up", "simd_broadcast", "a vote (simd_ballot, simd_any, simd_all)", "simdgroup_barrier", "a simdgroup_matrix operation",
};

struct Text {
    char* at;
    size_t left;
    __attribute__((format(printf, 2, 3))) void add(const char* format, ...) {
        va_list args;
        va_start(args, format);
        const int n = vsnprintf(at, left, format, args);
        va_end(args);
        const size_t used = n < 0 ? 0 : (size_t)n < left ? (size_t)n : left - 1;
        at += used;
        left -= used;
    }
};

// position_of turns the n-th threadgroup that a launch starts into its place.
void position_of(const foundry_launch* l, foundry_u64 total, foundry_u64 n, const foundry_options* o, foundry_u32 position[3]) {
    if (o->group_order == FOUNDRY_REVERSED) n = total - 1 - n;
    if (o->group_order == FOUNDRY_RANDOM) {
        foundry_u64 state = o->seed, step = 0;
        for (foundry_u64 a = 0, b = 0; a != 1; ) {  // a step that has no factor in common with total
            step = a = next_random(&state) % total;
            if (total == 1) break;
            for (b = total; b; ) { foundry_u64 t = a % b; a = b; b = t; }
        }
        n = (foundry_u64)(((unsigned __int128)step * n + next_random(&state)) % total);
    }
    position[0] = (foundry_u32)(n % l->grid[0]);
    position[1] = (foundry_u32)(n / l->grid[0] % l->grid[1]);
    position[2] = (foundry_u32)(n / l->grid[0] / l->grid[1]);
}

const char* slot_name(const foundry_kernel* k, foundry_u32 i) { return k->slot_names[i]; }

// add_place says where an address lies: in or beside what the kernel may touch.
void add_place(Text* t, Region* r, uintptr_t address) {
    if (address >= (uintptr_t)r->threadgroup && address < (uintptr_t)r->threadgroup_end) {
        for (foundry_u32 i = r->array_count; i-- > 0;) {
            const Array* a = &r->array[i];
            if (address >= (uintptr_t)a->data) {
                t->add("byte %lu of threadgroup array \"%s\", which has %lu bytes", (unsigned long)(address - (uintptr_t)a->data), a->name,
                       (unsigned long)a->bytes);
                return;
            }
        }
        t->add("threadgroup memory before its first array");
        return;
    }
    const foundry_operand* o = r->group.operands;
    foundry_u64 nearest = 16ul << 20;
    int slot = -1;
    for (foundry_u32 i = 0; i < r->kernel->slots; i++) {
        const uintptr_t low = (uintptr_t)o[i].data, high = low + o[i].bytes;
        const foundry_u64 far = address < low ? low - address : address >= high ? address - high + 1 : 0;
        if (far < nearest) {
            nearest = far;
            slot = (int)i;
        }
    }
    if (slot < 0) {
        t->add("address 0x%lx, near no operand", (unsigned long)address);
        return;
    }
    const uintptr_t low = (uintptr_t)o[slot].data;
    if (address < low) {
        t->add("%lu bytes before slot %d \"%s\"", (unsigned long)(low - address), slot, slot_name(r->kernel, (foundry_u32)slot));
        return;
    }
    t->add("byte %lu of slot %d \"%s\", which has %lu bytes", (unsigned long)(address - low), slot, slot_name(r->kernel, (foundry_u32)slot),
           (unsigned long)o[slot].bytes);
}

void add_at(Text* t, const char* file, foundry_u32 line) { t->add(" at %s:%u", file ? file : "?", line & ~FOUNDRY_AT_MATRICES); }

// What all threads of a threadgroup meet in.
const char* meeting(foundry_u32 line) { return line & FOUNDRY_AT_MATRICES ? "matmul2d" : "the threadgroup_barrier"; }

void add_mistake(Text* t, Region* r, const Report* e) {
    switch (e->what) {
    case kNone: break;
    case kFault:
        t->add("accesses unreadable memory, ");
        add_place(t, r, e->address);
        break;
    case kStackOverflow: t->add("its private memory exceeds %u KiB: too large an array, or recursion", FOUNDRY_STACK >> 10); break;
    case kArithmetic: t->add("integer division by zero, or of the least integer by -1"); break;
    case kIllegal: t->add("an instruction that traps, as an index beyond a private array does in a checked run"); break;
    case kBarrierReturned:
        t->add("waits at %s", meeting(e->line));
        add_at(t, e->file, e->line);
        t->add(", which thread %u returned without reaching", e->other);
        break;
    case kBarrierElsewhere:
        t->add("reaches %s", meeting(e->line));
        add_at(t, e->file, e->line);
        t->add(" while thread %u waits at %s", e->other, meeting(e->line) == meeting(e->first_line) ? "another" : meeting(e->first_line));
        add_at(t, e->first_file, e->first_line);
        t->add(": barriers must be met by all threads alike");
        break;
    case kSimdStuck:
        t->add("waits in %s", operation_names[e->operation]);
        add_at(t, e->file, e->line);
        t->add(", which lane %u of its simdgroup (thread %u) ", e->other % 32, e->other);
        if (e->number) t->add("returned without reaching");
        else t->add("does not reach: it waits at %s", meeting(e->first_line));
        if (!e->number) add_at(t, e->first_file, e->first_line);
        break;
    case kSimdMismatch:
        t->add("reaches %s", operation_names[e->operation]);
        add_at(t, e->file, e->line);
        t->add(" while lane %u of its simdgroup (thread %u) waits in %s", e->other % 32, e->other, operation_names[e->first_operation]);
        add_at(t, e->first_file, e->first_line);
        t->add(": the lanes diverge");
        break;
    case kBadLane:
        t->add("%s", operation_names[e->operation]);
        add_at(t, e->file, e->line);
        t->add(" takes from lane %lu, the simdgroup has %u", (unsigned long)e->number, r->group.fiber[e->thread].simd->count);
        break;
    case kMatrices:
        t->add("matmul2d is given %s,", e->name);
        add_at(t, e->file, e->line);
        break;
    case kArrayOverrun: t->add("a thread writes beyond threadgroup array \"%s\" of %lu bytes", e->name, (unsigned long)e->number); break;
    case kTooManyArrays: t->add("more than %d threadgroup arrays", (int)kArraysMax); break;
    case kTooMuchThreadgroup:
        t->add("%lu bytes of threadgroup memory with array \"%s\"; %d are possible", (unsigned long)e->number, e->name, (int)kThreadgroupLimit);
        break;
    case kOutside:
        t->add("%s %lu bytes out of bounds, at ", e->write ? "writes" : "reads", (unsigned long)e->bytes);
        add_place(t, r, e->address);
        break;
    case kForbidden:
        t->add("%s ", e->write ? "writes" : "reads");
        add_place(t, r, e->address);
        t->add(" and is bound for %s only", e->write ? "reading" : "writing");
        break;
    case kMisaligned:
        t->add("%s a vector aligned to %lu bytes at ", e->write ? "writes" : "reads", (unsigned long)e->bytes);
        add_place(t, r, e->address);
        break;
    case kUninitialised:
        t->add("reads ");
        add_place(t, r, e->address);
        t->add(", which no thread has written yet");
        break;
    case kRace: {
        t->add("race: %s ", e->write ? "writes" : "reads");
        add_place(t, r, e->address);
        t->add(", which thread %u", e->other);
        if (e->other_serial == r->serial) {
            t->add(" %s with no barrier between", e->other_write ? "wrote" : "read");
            break;
        }
        foundry_u32 launch = r->launch;
        while (r->job->progress[launch].first_serial > e->other_serial) launch--;
        foundry_u32 p[3];
        const Progress* progress = &r->job->progress[launch];
        position_of(&r->job->launch[launch], progress->total, e->other_serial - progress->first_serial, r->job->options, p);
        t->add(" of threadgroup (%u, %u, %u)", p[0], p[1], p[2]);
        if (launch != r->launch) t->add(" of kernel %s, an earlier dispatch of the wave,", r->job->launch[launch].module->kernel[r->job->launch[launch].kernel]->name);
        t->add(" %s with no order between", e->other_write ? "wrote" : "read");
        break;
    }
    case kSteps: t->add("endless loop? more than %lu basic blocks", (unsigned long)r->job->options->max_steps); break;
    }
}

// write_error fills the caller's error from the region's report.
void write_error(Region* r, foundry_error* error) {
    const Report* e = &r->report;
    error->launch = r->launch;
    error->thread = e->thread;
    for (int i = 0; i < 3; i++) error->group[i] = r->group.position[i];
    Text t = {error->text, sizeof error->text};
    t.add("kernel %s, threadgroup (%u, %u, %u)", r->kernel->name, r->group.position[0], r->group.position[1], r->group.position[2]);
    if (e->what != kArrayOverrun) {
        t.add(", thread %u (simdgroup %u, lane %u)", e->thread, e->thread / 32, e->thread % 32);
    }
    t.add(": ");
    add_mistake(&t, r, e);
}

}  // namespace
