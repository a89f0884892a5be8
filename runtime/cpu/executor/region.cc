// Regions: the memory of a host thread's threadgroup.
namespace {

enum { kRegionsMax = 1024 };
Region* regions[kRegionsMax];  // read by the fault handler; entries are set once and cleared
pthread_mutex_t regions_mutex = PTHREAD_MUTEX_INITIALIZER;

size_t page_bytes() {
    static const size_t bytes = (size_t)sysconf(_SC_PAGESIZE);
    return bytes;
}

size_t round_up(size_t n, size_t to) { return (n + to - 1) / to * to; }

// region_of returns the region that an address lies in, or null.
Region* region_of(uintptr_t address) {
    const uintptr_t base = address & ~(uintptr_t)(FOUNDRY_REGION - 1);
    for (int i = 0; i < kRegionsMax; i++) {
        Region* r = __atomic_load_n(&regions[i], __ATOMIC_ACQUIRE);
        if ((uintptr_t)r == base && r) return r;
    }
    return nullptr;
}

// Stacks lie below the region's end, each with an unreadable page beneath. Their
// distance is an odd number of pages mostly, so that 1,024 tops spread over the
// sets of the TLB.
size_t stack_distance() { return FOUNDRY_STACK + page_bytes(); }

unsigned char* stack_top(Region* r, foundry_u32 i) { return (unsigned char*)r + FOUNDRY_REGION - i * stack_distance(); }

void fiber_main();

// A fiber before its first statement.
void make_fresh(foundry_fiber* f) {
    f->at = foundry_context{f->top, nullptr, (void*)&fiber_main};
    f->steps = 0;
}

// make_stacks makes sure of n stacks, each above an unreadable page.
bool make_stacks(Region* r, foundry_u32 n) {
    for (; r->stacks < n; r->stacks++) {
        if (mprotect(stack_top(r, r->stacks) - FOUNDRY_STACK, FOUNDRY_STACK, PROT_READ | PROT_WRITE)) return false;
    }
    return true;
}

void drop_region(Region* r) {
    pthread_mutex_lock(&regions_mutex);
    for (int i = 0; i < kRegionsMax; i++)
        if (regions[i] == r) __atomic_store_n(&regions[i], (Region*)nullptr, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&regions_mutex);
    munmap(r->mapped, r->mapped_bytes);
}

Region* make_region() {
    const size_t reserved = 2 * FOUNDRY_REGION;
    unsigned char* m = (unsigned char*)mmap(nullptr, reserved, PROT_NONE, MAP_PRIVATE | MAP_ANON | MAP_NORESERVE, -1, 0);
    if (m == MAP_FAILED) return nullptr;
    unsigned char* base = (unsigned char*)round_up((size_t)m, FOUNDRY_REGION);
    if (base > m) munmap(m, base - m);
    if (m + reserved > base + FOUNDRY_REGION) munmap(base + FOUNDRY_REGION, m + reserved - base - FOUNDRY_REGION);
    // The group, an unreadable page, threadgroup memory, an unreadable page, stacks.
    const size_t head = round_up(sizeof(Region), page_bytes());
    const size_t threadgroup = round_up(kThreadgroupLimit + (kArraysMax + 1) * kCanary, page_bytes());
    unsigned char* tg = base + head + page_bytes();
    const bool fits = head + threadgroup + 2 * page_bytes() + kThreadsMax * stack_distance() <= FOUNDRY_REGION;
    if (!fits || mprotect(base, head, PROT_READ | PROT_WRITE) || mprotect(tg, threadgroup, PROT_READ | PROT_WRITE)) {
        munmap(base, FOUNDRY_REGION);
        return nullptr;
    }
    Region* r = (Region*)base;  // zeroed
    r->threadgroup = tg;
    r->threadgroup_end = tg + threadgroup;
    r->mapped = base;
    r->mapped_bytes = FOUNDRY_REGION;
    for (foundry_u32 i = 0; i < kThreadsMax; i++) {
        foundry_fiber* f = &r->group.fiber[i];
        f->simd = &r->group.simd[i / 32];
        f->thread = i;
        f->lane = i % 32;
        f->bit = 1u << i % 32;
        // Tops of stacks differ in their cache sets.
        f->top = stack_top(r, i) - 64 - (size_t)(i * 5 % 32) * 128;
#if defined(__x86_64__)
        f->top = (unsigned char*)f->top - 8;  // as after a call
#endif
        make_fresh(f);
    }
    for (foundry_u32 i = 0; i < 32; i++) r->group.simd[i].index = i;
    pthread_mutex_lock(&regions_mutex);
    bool placed = false;
    for (int i = 0; i < kRegionsMax && !placed; i++)
        if (!regions[i]) {
            __atomic_store_n(&regions[i], r, __ATOMIC_RELEASE);
            placed = true;
        }
    pthread_mutex_unlock(&regions_mutex);
    if (!placed) {
        munmap(base, FOUNDRY_REGION);
        return nullptr;
    }
    return r;
}

}  // namespace
