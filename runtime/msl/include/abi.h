// The C interface of the CPU executor, and the state that it shares with the
// kernels it runs. Three parts: what a host calls, what a compiled module of
// kernels exports, and the running threadgroup as the kernels' header sees it.
//
// A host opens a pool once, loads modules of kernels (shared objects that export
// foundry_module), and runs lists of launches:
//
//     foundry_pool* pool = foundry_open(threads);
//     foundry_error error;
//     if (foundry_run(pool, launches, count, &options, &error)) puts(error.text);
//     foundry_close(pool);
//
// Every function may be called from any thread; runs of one pool are made one
// after another.
extern "C" {

typedef unsigned int foundry_u32;
typedef unsigned long foundry_u64;

// ---- what a host calls

enum { FOUNDRY_READ = 1, FOUNDRY_WRITE = 2 };

// One buffer argument: the bytes a launch may touch through a slot, and how.
struct foundry_operand {
    void* data;
    foundry_u64 bytes;
    foundry_u32 access;  // FOUNDRY_READ | FOUNDRY_WRITE
};

// One dispatch. Launches run in the listed order or overlap; with barrier set,
// everything listed before has finished and is visible when this one starts.
struct foundry_launch {
    const struct foundry_module_table* module;  // what foundry_module returned
    const foundry_operand* operands;            // one a slot
    foundry_u32 kernel;                         // index into the module
    foundry_u32 barrier;
    foundry_u32 grid[3];                        // threadgroups
    double seconds;                             // out, with options.timing: first start to last end
};

enum { FOUNDRY_FORWARD, FOUNDRY_REVERSED, FOUNDRY_RANDOM };  // orders, from 0 on

struct foundry_options {
    foundry_u32 threads;       // host threads to use, at most the pool's; 0 = all
    foundry_u32 checked;       // the modules were compiled with the checks; one host thread
    foundry_u32 group_order;   // of threadgroups
    foundry_u32 thread_order;  // of the threads of a threadgroup
    foundry_u64 seed;          // of random orders
    foundry_u64 max_steps;     // basic blocks a thread may execute, checked only; 0 = no limit
    foundry_u32 timing;
};

// What went wrong first. text is one line: kernel, threadgroup, thread, what.
struct foundry_error {
    foundry_u32 launch;  // index into the list
    foundry_u32 group[3];
    foundry_u32 thread;  // index in the threadgroup
    foundry_u32 unused;
    char text[1000];
};

struct foundry_pool;

foundry_pool* foundry_open(foundry_u32 threads);  // null: no memory or no threads
void foundry_close(foundry_pool*);
// 0, or 1 with *error filled. What runs after an error is not defined further.
int foundry_run(foundry_pool*, foundry_launch*, foundry_u64 count, const foundry_options*, foundry_error*);

// ---- what a module of kernels exports: foundry_module()

struct foundry_kernel {
    const char* name;
    // Runs one thread from its first statement to its last.
    void (*entry)(const struct foundry_group*, const struct foundry_fiber*);
    foundry_u32 slots;
    foundry_u32 arrays;   // threadgroup arguments
    foundry_u32 threads[3];
    foundry_u32 unused;
    const char* const* slot_names;
    const char* const* array_names;
    const foundry_u32* array_bytes;  // multiples of 16
};

struct foundry_module_table {
    foundry_u64 kernels;
    const foundry_kernel* const* kernel;
};

// ---- the running threadgroup

// Where a thread that waits goes on. Only these three are saved at a switch.
struct foundry_context {
    void* sp;
    void* fp;
    void* pc;
};

#define FOUNDRY_SITE(line, operation) ((foundry_u64)(line) << 8 | (foundry_u64)(operation))

// One thread. Dense and of 64 bytes, for the caches.
struct foundry_fiber {
    foundry_context at;
    struct foundry_simdgroup* simd;
    foundry_u32 thread;  // index in the threadgroup
    foundry_u32 lane;
    foundry_u32 bit;     // 1 << lane
    foundry_u64 steps;   // checked only: basic blocks executed
    void* top;           // of its stack
};

enum { FOUNDRY_LANES_MAX = 32, FOUNDRY_SLOT_BYTES = 8 };

// The lanes' values in an operation, and the one that all get.
struct foundry_slot {
    alignas(64) unsigned char lane[FOUNDRY_LANES_MAX * FOUNDRY_SLOT_BYTES];
    alignas(64) unsigned char result[FOUNDRY_SLOT_BYTES];
};

// Lanes that exchange values. Sets of lanes are masks. A lane is the running one,
// ready, at the threadgroup barrier, returned, or else waiting in the simdgroup
// operation in progress.
struct foundry_simdgroup {
    foundry_u32 all;
    foundry_u32 ready;     // may be switched to, in ascending order
    foundry_u32 shuffled;  // the same, where threads run in another order
    foundry_u32 barred;    // at the threadgroup barrier
    foundry_u32 done;      // returned
    foundry_u32 index;
    foundry_u32 count;    // lanes
    void* values;         // slot[0].lane or slot[1].lane, of the operation in progress
    foundry_u64 site;     // FOUNDRY_SITE of where the first lane arrived, 0: none has
    const char* file;
    foundry_u32 device_epoch;       // simdgroup barriers passed, by what they order
    foundry_u32 threadgroup_epoch;
    // A lane may run one operation ahead of the readers of the last: two sets.
    foundry_slot slot[2];
};

struct foundry_group {
    foundry_context host;        // the executor, waiting for the threadgroup
    foundry_fiber* current;
    foundry_u32 thread_order;    // of foundry_options
    foundry_u32 arrived;         // at the threadgroup barrier
    foundry_u32 ready;           // simdgroups that may have ready lanes
    foundry_u32 threads;
    foundry_u32 simdgroups;
    foundry_u32 done;            // threads that returned
    const char* file;            // of the barrier in progress
    foundry_u32 line;
    foundry_u32 staged;          // calls of matrix_staged since matrix units last ran, and FOUNDRY_STAGED_STILL
    foundry_u32 device_epoch;    // barriers passed, by what they order
    foundry_u32 threadgroup_epoch;
    foundry_u32 position[3];
    foundry_u32 grid[3];
    foundry_u32 size[3];         // threads
    foundry_u32 seed;            // of foundry_options: of what an implementation is free to choose
    const foundry_operand* operands;
    void* buffer[31];            // their data
    void* array[31];             // threadgroup arguments
    void* meeting;               // of threads in matmul2d; null: none has arrived
    foundry_simdgroup simd[32];
    foundry_fiber fiber[1024];
};

// The memory of a host thread's threadgroup is one region, aligned to its size:
// the group, threadgroup memory, and the threads' stacks. So a thread finds its
// group by masking its stack pointer.
enum { FOUNDRY_STACK = 64 << 10 };
#define FOUNDRY_REGION (256ul << 20)

// In a barrier's line: threads meet in matmul2d.
#define FOUNDRY_AT_MATRICES (1u << 31)
// In foundry_group.staged: no barrier has passed since matrix units ran, so what the stages
// hold has not been replaced.
#define FOUNDRY_STAGED_STILL (1u << 31)

enum foundry_operations {
    FOUNDRY_OP_NONE, FOUNDRY_OP_SUM, FOUNDRY_OP_PRODUCT, FOUNDRY_OP_MIN, FOUNDRY_OP_MAX, FOUNDRY_OP_AND, FOUNDRY_OP_OR,
    FOUNDRY_OP_XOR, FOUNDRY_OP_EXCLUSIVE_SUM, FOUNDRY_OP_INCLUSIVE_SUM, FOUNDRY_OP_SHUFFLE, FOUNDRY_OP_SHUFFLE_XOR,
    FOUNDRY_OP_SHUFFLE_DOWN, FOUNDRY_OP_SHUFFLE_UP, FOUNDRY_OP_BROADCAST, FOUNDRY_OP_BALLOT, FOUNDRY_OP_BARRIER,
    FOUNDRY_OP_MATRIX
};

// What kernels call when the inline path ends. They do not return where a
// mistake is found: the threadgroup is given up.
foundry_fiber* foundry_turn(foundry_group*);     // who runs while the running lane waits for its simdgroup; null: it is the last
void foundry_turn_ends(foundry_group*);          // all lanes have arrived
foundry_fiber* foundry_barred(foundry_group*);   // who runs while the running thread waits for its threadgroup
void foundry_barrier_ends(foundry_group*);       // all threads have arrived
void foundry_simd_mismatch(foundry_group*, foundry_u64 site, const char* file) __attribute__((noreturn));
void foundry_barrier_mismatch(foundry_group*, foundry_u32 line, const char* file) __attribute__((noreturn));
void foundry_matrix_mistake(foundry_group*, const char* what, foundry_u32 line, const char* file) __attribute__((noreturn));
void foundry_bad_lane(foundry_group*, foundry_u32 lane, foundry_u64 site, const char* file) __attribute__((noreturn));
// Checked kernels: the address of a whole vector.
void foundry_aligned(const void*, foundry_u64 alignment, bool write);
// The threadgroup's array for a declaration in a kernel's body, told by its key.
void* foundry_threadgroup_array(const void* key, const char* name, foundry_u64 bytes);

}  // extern "C"

#define FOUNDRY_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define FOUNDRY_LIKELY(x) __builtin_expect(!!(x), 1)
#define FOUNDRY_INLINE inline __attribute__((always_inline))

// foundry_switch suspends the caller at *from and goes on at *to. Everything but
// stack pointer, frame pointer and program counter is declared lost, so that the
// compiler keeps only what is live.
static FOUNDRY_INLINE void foundry_switch(foundry_context* from, foundry_context* to) {
#if defined(__x86_64__)
    __asm__ volatile(
        "leaq 1f(%%rip), %%rax\n\t"
        "movq %%rsp, 0(%0)\n\t"
        "movq %%rbp, 8(%0)\n\t"
        "movq %%rax, 16(%0)\n\t"
        "movq 0(%1), %%rsp\n\t"
        "movq 8(%1), %%rbp\n\t"
        "jmpq *16(%1)\n"
        "1:"
        : "+D"(from), "+S"(to)
        :
        : "rax", "rbx", "rcx", "rdx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "xmm0", "xmm1", "xmm2",
          "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15",
          "memory", "cc");
#elif defined(__aarch64__)
    register foundry_context* x0 __asm__("x0") = from;
    register foundry_context* x1 __asm__("x1") = to;
    __asm__ volatile(
        "adr x9, 1f\n\t"
        "mov x10, sp\n\t"
        "stp x10, x29, [x0]\n\t"
        "str x9, [x0, #16]\n\t"
        "ldp x10, x29, [x1]\n\t"
        "ldr x9, [x1, #16]\n\t"
        "mov sp, x10\n\t"
        "br x9\n"
        "1:"
        : "+r"(x0), "+r"(x1)
        :
        : "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14", "x15", "x16", "x17",
#ifndef __APPLE__
          "x18",
#endif
          "x19", "x20", "x21", "x22", "x23", "x24", "x25", "x26", "x27", "x28", "x30", "v0", "v1", "v2", "v3", "v4", "v5",
          "v6", "v7", "v8", "v9", "v10", "v11", "v12", "v13", "v14", "v15", "v16", "v17", "v18", "v19", "v20", "v21",
          "v22", "v23", "v24", "v25", "v26", "v27", "v28", "v29", "v30", "v31", "memory", "cc");
#else
#error "the CPU device knows x86-64 and arm64"
#endif
}

// The threadgroup whose thread is running here. volatile has it computed at each
// use: read back from the thread's stack it would make a switch wait for the last.
static FOUNDRY_INLINE foundry_group* foundry_here(void) {
    foundry_u64 sp;
#if defined(__x86_64__)
    __asm__ volatile("movq %%rsp, %0" : "=r"(sp));
#else
    __asm__ volatile("mov %0, sp" : "=r"(sp));
#endif
    return (foundry_group*)(sp & ~(FOUNDRY_REGION - 1));
}
