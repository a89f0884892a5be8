// Host threads and the lists of launches they run.
struct foundry_pool {
    pthread_mutex_t mutex;
    pthread_cond_t start;    // a job has come, or the end
    pthread_cond_t finish;   // every worker is done with it
    pthread_cond_t advance;  // a launch is complete
    pthread_mutex_t runs;    // one at a time
    foundry_u32 threads;
    pthread_t* thread;
    Region** region;
    void** altstack;
    Job* job;
    foundry_u64 generation;
    foundry_u32 active;
    foundry_u32 sleepers;  // at `advance`
    bool quit;
    Progress* progress;  // room for `room` launches
    foundry_u64 room;
    foundry_u32 serial;
};

namespace {

foundry_u64 now() {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (foundry_u64)t.tv_sec * 1000000000ul + (foundry_u64)t.tv_nsec;
}

bool complete(const Progress* p) { return __atomic_load_n(&p->done, __ATOMIC_SEQ_CST) == p->total; }
bool failed(const Job* j) { return __atomic_load_n(&j->failed, __ATOMIC_SEQ_CST); }

void pause_briefly() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#else
    __asm__ volatile("yield");
#endif
}

// await returns when the launch is complete: soon, or after a sleep.
void await(foundry_pool* pool, Job* job, const Progress* p) {
    for (int i = 0; i < 500; i++) {
        if (complete(p) || failed(job)) return;
        pause_briefly();
    }
    pthread_mutex_lock(&pool->mutex);
    __atomic_add_fetch(&pool->sleepers, 1, __ATOMIC_SEQ_CST);
    while (!complete(p) && !failed(job)) pthread_cond_wait(&pool->advance, &pool->mutex);
    __atomic_sub_fetch(&pool->sleepers, 1, __ATOMIC_SEQ_CST);
    pthread_mutex_unlock(&pool->mutex);
}

void wake(foundry_pool* pool) {
    if (!__atomic_load_n(&pool->sleepers, __ATOMIC_SEQ_CST)) return;
    pthread_mutex_lock(&pool->mutex);
    pthread_cond_broadcast(&pool->advance);
    pthread_mutex_unlock(&pool->mutex);
}

// bind makes launch i the region's; its threadgroups follow.
void bind(Region* r, Job* job, foundry_u64 i) {
    const foundry_launch* l = &job->launch[i];
    const foundry_kernel* k = l->module->kernel[l->kernel];
    foundry_group* g = &r->group;
    r->job = job;
    r->launch = (foundry_u32)i;
    r->module = l->module;
    r->kernel = k;
    r->tracked = job->progress[i].tracked;
    r->last_slot = 0;
    g->operands = l->operands;
    for (foundry_u32 s = 0; s < k->slots; s++) g->buffer[s] = l->operands[s].data;
    g->thread_order = job->options->thread_order;
    g->seed = (foundry_u32)(job->options->seed ^ job->options->seed >> 32);
    g->threads = k->threads[0] * k->threads[1] * k->threads[2];
    g->simdgroups = (g->threads + 31) / 32;
    for (int d = 0; d < 3; d++) {
        g->grid[d] = l->grid[d];
        g->size[d] = k->threads[d];
    }
    for (foundry_u32 s = 0; s < g->simdgroups; s++) {
        const foundry_u32 lanes = g->threads - 32 * s < 32 ? g->threads - 32 * s : 32;
        g->simd[s].count = lanes;
        g->simd[s].all = (foundry_u32)((1ul << lanes) - 1);
    }
}

void report_failure(foundry_pool* pool, Job* job, Region* r) {
    foundry_u32 none = 0;
    if (!__atomic_compare_exchange_n(&job->failed, &none, 1, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) return;
    write_error(r, job->error);
    wake(pool);
}

void work(foundry_pool* pool, Job* job, Region* r) {
    const foundry_options* o = job->options;
    foundry_u64 wave = 0;  // its first launch
    foundry_u32 wave_serial = pool->serial + 1;
    for (foundry_u64 i = 0; i < job->count; i++) {
        const foundry_launch* l = &job->launch[i];
        Progress* p = &job->progress[i];
        if (l->barrier) {
            for (; wave < i; wave++) await(pool, job, &job->progress[wave]);
            wave_serial = pool->serial + 1;
        }
        if (failed(job)) return;
        if (o->checked) p->first_serial = pool->serial + 1;
        bool bound = false;
        for (;;) {
            const foundry_u64 ticket = __atomic_fetch_add(&p->next, 1, __ATOMIC_SEQ_CST);
            if (ticket >= p->total || failed(job)) break;
            if (!bound) {
                bind(r, job, i);
                r->wave_serial = wave_serial;
                bound = true;
            }
            if (o->timing && ticket == 0) p->begin = now();
            position_of(l, p->total, ticket, o, r->group.position);
            r->random = o->seed ^ (i << 40) ^ ticket;
            if (o->checked) r->serial = ++pool->serial;
            if (!run_group(r)) {
                report_failure(pool, job, r);
                return;
            }
            if (o->timing) {
                const foundry_u64 t = now();
                foundry_u64 end = __atomic_load_n(&p->end, __ATOMIC_RELAXED);
                while (end < t && !__atomic_compare_exchange_n(&p->end, &end, t, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {}
            }
            if (__atomic_add_fetch(&p->done, 1, __ATOMIC_SEQ_CST) == p->total) wake(pool);
        }
    }
}

struct Start {
    foundry_pool* pool;
    foundry_u32 index;
};

void* worker(void* argument) {
    Start* start = (Start*)argument;
    foundry_pool* pool = start->pool;
    const foundry_u32 index = start->index;
    free(start);
    stack_t alternate;
    memset(&alternate, 0, sizeof alternate);
    alternate.ss_sp = pool->altstack[index];
    alternate.ss_size = kAltStack;
    sigaltstack(&alternate, nullptr);
    foundry_u64 seen = 0;
    pthread_mutex_lock(&pool->mutex);
    for (;;) {
        while (!pool->quit && pool->generation == seen) pthread_cond_wait(&pool->start, &pool->mutex);
        if (pool->quit) break;
        seen = pool->generation;
        Job* job = pool->job;
        const foundry_u32 most = job->options->checked ? 1 : job->options->threads ? job->options->threads : pool->threads;
        pthread_mutex_unlock(&pool->mutex);
        if (index < most) work(pool, job, pool->region[index]);
        pthread_mutex_lock(&pool->mutex);
        if (--pool->active == 0) pthread_cond_signal(&pool->finish);
    }
    pthread_mutex_unlock(&pool->mutex);
    alternate.ss_flags = SS_DISABLE;
    sigaltstack(&alternate, nullptr);
    return nullptr;
}

int refuse(foundry_error* error, foundry_u64 launch, const char* format, ...) {
    error->launch = (foundry_u32)launch;
    va_list args;
    va_start(args, format);
    vsnprintf(error->text, sizeof error->text, format, args);
    va_end(args);
    return 1;
}

// validate refuses launches that cannot run, and counts the others' threadgroups.
int validate(const Job* job) {
    for (foundry_u64 i = 0; i < job->count; i++) {
        const foundry_launch* l = &job->launch[i];
        if (l->kernel >= l->module->kernels) return refuse(job->error, i, "kernel %u of %lu does not exist", l->kernel, (unsigned long)l->module->kernels);
        const foundry_kernel* k = l->module->kernel[l->kernel];
        const foundry_u64 threads = (foundry_u64)k->threads[0] * k->threads[1] * k->threads[2];
        if (threads < 1 || threads > kThreadsMax) return refuse(job->error, i, "kernel %s: %lu threads a threadgroup; 1 to %d are possible", k->name, (unsigned long)threads, (int)kThreadsMax);
        if (k->slots > 31 || k->arrays > 31) return refuse(job->error, i, "kernel %s: %u buffers and %u threadgroup arguments; 31 of each are possible", k->name, k->slots, k->arrays);
        foundry_u64 bytes = 0;
        for (foundry_u32 a = 0; a < k->arrays; a++) bytes += round_up(k->array_bytes[a], 16);
        if (bytes > kThreadgroupLimit) return refuse(job->error, i, "kernel %s: %lu bytes of threadgroup memory; %d are possible", k->name, (unsigned long)bytes, (int)kThreadgroupLimit);
        if (!l->grid[0] || !l->grid[1] || !l->grid[2]) return refuse(job->error, i, "kernel %s: an empty grid", k->name);
        Progress* p = &job->progress[i];
        memset((void*)p, 0, sizeof *p);
        p->total = (foundry_u64)l->grid[0] * l->grid[1] * l->grid[2];
    }
    return 0;
}

// track_reads marks the slots whose reads may race: those that overlap with
// something that the wave writes.
void track_reads(const Job* job) {
    for (foundry_u64 first = 0, last; first < job->count; first = last) {
        for (last = first + 1; last < job->count && !job->launch[last].barrier; last++) {}
        for (foundry_u64 i = first; i < last; i++) {
            const foundry_launch* a = &job->launch[i];
            for (foundry_u32 s = 0; s < a->module->kernel[a->kernel]->slots; s++)
                for (foundry_u64 j = first; j < last; j++) {
                    const foundry_launch* b = &job->launch[j];
                    for (foundry_u32 t = 0; t < b->module->kernel[b->kernel]->slots; t++) {
                        const foundry_operand *x = &a->operands[s], *y = &b->operands[t];
                        if ((y->access & FOUNDRY_WRITE) && (uintptr_t)x->data < (uintptr_t)y->data + y->bytes && (uintptr_t)y->data < (uintptr_t)x->data + x->bytes)
                            job->progress[i].tracked |= 1u << s;
                    }
                }
        }
    }
}

int run(foundry_pool* pool, Job* job) {
    if (job->count > pool->room) {
        free(pool->progress);
        pool->room = job->count < 256 ? 256 : 2 * job->count;
        void* memory = nullptr;
        if (posix_memalign(&memory, 64, pool->room * sizeof(Progress))) memory = nullptr;
        pool->progress = (Progress*)memory;
        if (!memory) {
            pool->room = 0;
            return refuse(job->error, 0, "no memory for %lu launches", (unsigned long)job->count);
        }
    }
    job->progress = pool->progress;
    if (int refused = validate(job)) return refused;
    for (foundry_u64 i = 0; i < job->count; i++) {
        const foundry_launch* l = &job->launch[i];
        const foundry_u32* n = l->module->kernel[l->kernel]->threads;
        for (foundry_u32 w = 0; w < pool->threads; w++)
            if (!make_stacks(pool->region[w], n[0] * n[1] * n[2])) return refuse(job->error, i, "no memory for stacks");
    }
    if (job->options->checked) {
        track_reads(job);
        Region* r = pool->region[0];
        if (pool->serial > 0xF0000000u || (r->shadow && r->shadow->used > kPagesKept)) {
            shadow_free(r->shadow);
            r->shadow = nullptr;
            if (pool->serial > 0xF0000000u) pool->serial = 0;
        }
        if (!r->shadow) r->shadow = (Shadow*)calloc(1, sizeof(Shadow));
        if (!r->shadow) return refuse(job->error, 0, "no memory for the checks");
    }
    pthread_mutex_lock(&pool->mutex);
    pool->job = job;
    pool->active = pool->threads;
    pool->generation++;
    pthread_cond_broadcast(&pool->start);
    while (pool->active) pthread_cond_wait(&pool->finish, &pool->mutex);
    pool->job = nullptr;
    pthread_mutex_unlock(&pool->mutex);
    if (job->options->timing)
        for (foundry_u64 i = 0; i < job->count; i++) {
            const Progress* p = &job->progress[i];
            job->launch[i].seconds = p->end > p->begin ? (double)(p->end - p->begin) * 1e-9 : 0;
        }
    return (int)job->failed;
}

pthread_once_t handlers_once = PTHREAD_ONCE_INIT;

}  // namespace

extern "C" {

void foundry_close(foundry_pool* pool) {
    pthread_mutex_lock(&pool->mutex);
    pool->quit = true;
    pthread_cond_broadcast(&pool->start);
    pthread_mutex_unlock(&pool->mutex);
    for (foundry_u32 i = 0; i < pool->threads; i++) {
        pthread_join(pool->thread[i], nullptr);
        shadow_free(pool->region[i]->shadow);
        drop_region(pool->region[i]);
        munmap(pool->altstack[i], kAltStack);
    }
    free(pool->progress);
    free(pool->thread);
    free(pool->region);
    free(pool->altstack);
    pthread_mutex_destroy(&pool->mutex);
    pthread_mutex_destroy(&pool->runs);
    pthread_cond_destroy(&pool->start);
    pthread_cond_destroy(&pool->finish);
    pthread_cond_destroy(&pool->advance);
    free(pool);
}

foundry_pool* foundry_open(foundry_u32 threads) {
    pthread_once(&handlers_once, install_handlers);
    foundry_pool* pool = (foundry_pool*)calloc(1, sizeof(foundry_pool));
    if (!pool) return nullptr;
    pthread_mutex_init(&pool->mutex, nullptr);
    pthread_mutex_init(&pool->runs, nullptr);
    pthread_cond_init(&pool->start, nullptr);
    pthread_cond_init(&pool->finish, nullptr);
    pthread_cond_init(&pool->advance, nullptr);
    pool->thread = (pthread_t*)calloc(threads, sizeof(pthread_t));
    pool->region = (Region**)calloc(threads, sizeof(Region*));
    pool->altstack = (void**)calloc(threads, sizeof(void*));
    // Workers take no signal but those of their own faults.
    sigset_t all, before;
    sigfillset(&all);
    sigdelset(&all, SIGSEGV);
    sigdelset(&all, SIGBUS);
    sigdelset(&all, SIGFPE);
    sigdelset(&all, SIGILL);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool ok = pool->thread && pool->region && pool->altstack && threads > 0;
    for (foundry_u32 i = 0; ok && i < threads; i++) {
        Region* region = make_region();
        void* stack = mmap(nullptr, kAltStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON, -1, 0);
        Start* start = (Start*)malloc(sizeof(Start));
        ok = region && stack != MAP_FAILED && start;
        if (ok) {
            pool->region[i] = region;
            pool->altstack[i] = stack;
            *start = Start{pool, i};
            ok = pthread_create(&pool->thread[i], nullptr, worker, start) == 0;
        }
        if (ok) {
            pool->threads++;
            continue;
        }
        if (region) drop_region(region);
        if (stack != MAP_FAILED) munmap(stack, kAltStack);
        free(start);
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    if (ok) return pool;
    foundry_close(pool);
    return nullptr;
}

int foundry_run(foundry_pool* pool, foundry_launch* launches, foundry_u64 count, const foundry_options* options, foundry_error* error) {
    Job job = {launches, count, options, error, nullptr, 0};
    pthread_mutex_lock(&pool->runs);
    const int result = run(pool, &job);
    pthread_mutex_unlock(&pool->runs);
    return result;
}

}  // extern "C"
