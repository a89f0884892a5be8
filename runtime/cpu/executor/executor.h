// The executor: runs lists of launches on a pool of host threads, each of which
// runs one threadgroup at a time, its threads as fibers.
//
// Order of the unit: this, region, schedule, report, check, fault, pool.
#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <time.h>
#if defined(__APPLE__)
#include <sys/ucontext.h>
#else
#include <ucontext.h>
#endif
#include <unistd.h>

#include <new>

struct Shadow;  // check.cc

namespace {

// What went wrong, as data; report.cc makes a line of it.
enum Mistake {
    kNone,
    kFault,               // address
    kStackOverflow,
    kArithmetic,          // x86 only: arm64 does not trap
    kIllegal,
    kBarrierReturned,     // other: a thread that returned
    kBarrierElsewhere,    // file, line here; first_file, first_line there
    kSimdStuck,           // other: a lane that did not arrive
    kSimdMismatch,
    kBadLane,             // number: the lane
    kMatrices,            // name: what is wrong with a call of matmul2d
    kArrayOverrun,        // name: the array
    kTooManyArrays,
    kTooMuchThreadgroup,  // number: bytes
    kOutside,             // checked: address, bytes, write
    kForbidden,           // checked: the slot's access does not allow it
    kMisaligned,
    kUninitialised,
    kRace,                // other: thread; other_serial: its threadgroup
    kSteps,
};

struct Report {
    Mistake what;
    foundry_u32 thread;
    uintptr_t address;
    foundry_u64 bytes;
    bool write, other_write;
    foundry_u32 other, other_serial;
    foundry_u64 number;
    foundry_u32 operation, first_operation;
    const char *file, *first_file;
    foundry_u32 line, first_line;
    const char* name;
};

// Where a launch of the running list stands.
struct alignas(64) Progress {
    foundry_u64 next;   // ticket of the next threadgroup to start
    foundry_u64 done;   // threadgroups finished
    foundry_u64 total;
    foundry_u32 first_serial;  // checked only
    foundry_u32 tracked;       // checked only: slots, as a mask, that some launch of the wave writes
    foundry_u64 begin, end;    // ns, with timing
};

// A list being run.
struct Job {
    foundry_launch* launch;
    foundry_u64 count;
    const foundry_options* options;
    foundry_error* error;
    Progress* progress;
    foundry_u32 failed;  // some worker has found a mistake
};

// A declared threadgroup array of the running threadgroup.
struct Array {
    const void* key;  // of a declaration in a body; null for an argument
    const char* name;
    unsigned char* data;
    foundry_u64 bytes;
};

enum {
    kThreadgroupLimit = 227 << 10,  // of the GPUs with the most
    kCanary = 64,              // bytes between threadgroup arrays
    kArraysMax = 64,
    kThreadsMax = 1024,
    kAltStack = 64 << 10,
};

// One host thread's region. group must be first: kernels find it by masking.
struct Region {
    foundry_group group;
    // What only the executor needs of the running threadgroup.
    const foundry_kernel* kernel;
    const foundry_module_table* module;
    Job* job;
    foundry_u32 launch;
    foundry_u32 serial;       // of this threadgroup, counted over all runs; checked only
    foundry_u32 wave_serial;  // the first of the wave
    foundry_u32 tracked;      // see Progress
    foundry_u32 last_slot;    // where the last access was found
    Shadow* shadow;
    foundry_u64 random;
    Report report;
    foundry_u32 array_count;
    foundry_u64 array_used;   // bytes of threadgroup memory
    Array array[kArraysMax];
    // Layout, fixed.
    unsigned char* threadgroup;  // kThreadgroupLimit and the canaries
    unsigned char* threadgroup_end;
    foundry_u32 stacks;          // made so far
    unsigned char* mapped;
    size_t mapped_bytes;
};

inline Region* here() { return (Region*)foundry_here(); }

// Gives the threadgroup up: the host goes on, the fibers are never resumed.
[[noreturn]] void abandon(Region* r) {
    foundry_context lost;
    foundry_switch(&lost, &r->group.host);
    __builtin_unreachable();
}

[[noreturn]] void fail(Region* r, Report report) {
    report.thread = r->group.current->thread;
    r->report = report;
    abandon(r);
}

Report mistake(Mistake what) {
    Report r;
    memset(&r, 0, sizeof r);
    r.what = what;
    return r;
}

}  // namespace
