// Metal's objects, as runtime/mtl sees them, over the CPU executor.
#pragma once

#include <condition_variable>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>
#include <set>
#include <thread>
#include <unordered_set>

#include "abi.h"  // the executor's interface, runtime/msl/include/abi.h
#include "objc.h"

struct Size {
    NSUInteger width, height, depth;
};
struct Range {
    NSUInteger location, length;
};

// Code is what the test harness registered for one MSL text.
struct Code {
    std::string function, key;  // the key is of the text
    const foundry_module_table* module;
    foundry_u32 index;
    struct Slot {
        std::string name;
        bool reads, writes;
        int64_t bytes;  // touched behind the bound offset, at most
    };
    std::vector<Slot> slots;
    std::vector<int64_t> arrays;  // bytes of each threadgroup argument
};

// The functions of the executor's library, and the faults to inject.
struct Emulator {
    foundry_pool* (*open)(foundry_u32);
    int (*run)(foundry_pool*, foundry_launch*, foundry_u64, const foundry_options*, foundry_error*);
    foundry_pool* pool;
    std::map<std::string, Code> kernels;
    std::map<std::string, std::string> rejected;  // text that does not compile, and what the compiler says
    std::string fault;    // taken by the next call that it concerns
    uint64_t seed;        // of the order of the dispatches of a wave
    std::atomic<long> committed{0};  // command buffers
    std::atomic<long> hits{0};       // pipelines that an archive had
    bool skip_execution;  // commands are checked and not run: the cost of encoding alone
    bool held = false;  // no command buffer starts
    std::mutex lock;
    std::condition_variable changed;
    std::map<std::string, int64_t> limits;  // what the GPU says of itself, where a test changed it
    Object* gpu = nullptr;  // the one GPU, while somebody has it
    bool take(const char* name);
    int64_t limit(const char* name, int64_t usual);
};
extern Emulator emulator;
// start_alone starts the executor where no harness did; it ends the program where it cannot.
void start_alone();

extern Class DeviceClass, CompileOptionsClass, LibraryClass, FunctionClass, PipelineDescriptorClass, PipelineClass,
    ArchiveDescriptorClass, ArchiveClass, BufferClass, QueueClass, CommandBufferClass, EncoderClass, BlitClass, SamplesClass, FenceClass, PassClass,
    IndirectDescriptorClass, IndirectClass, IndirectCommandClass;

struct Buffer : Object {
    void* data;
    int64_t length;
    bool is_private = false;
    bool lent = false;            // over the host's pages
    bool kernel_written = false;  // by a dispatch, at some time
    explicit Buffer(int64_t n);
    Buffer(void* pages, int64_t n) : Object(&BufferClass), data(pages), length(n), lent(true) {}
    ~Buffer() override;
    void drop() override { autorelease(new String("what Metal leaves behind when a buffer goes")); }
};

struct Function : Object {
    const Code* code;
    explicit Function(const Code* c) : Object(&FunctionClass), code(c) {}
};

struct Pipeline : Object {
    const Code* code;
    NSUInteger max_threads;
    bool indirect;
    Pipeline(const Code* c, NSUInteger n, bool i) : Object(&PipelineClass), code(c), max_threads(n), indirect(i) {}
};

// Binding is the state that a dispatch takes: pipeline, buffers, threadgroup
// memory.
struct Binding {
    Pipeline* pipeline = nullptr;
    struct {
        Buffer* buffer = nullptr;
        NSUInteger offset = 0;
    } slot[31];
    NSUInteger threadgroup[31] = {};
    // Each notes what it does not take; what names the message.
    void set_buffer(id buffer, NSUInteger offset, NSUInteger index, const char* what);
    void set_threadgroup(NSUInteger length, NSUInteger index);
};

// Copy is one copy of a blit encoder. sum is of the source's bytes when it was
// committed, where no kernel writes them: the host must leave them alone until the
// copy is done.
struct Copy {
    Buffer *from = nullptr, *to = nullptr;
    NSUInteger from_at = 0, to_at = 0, size = 0;
    uint64_t sum = 0;
};

// Sample is a timestamp taken, or with a destination all of them copied there.
struct Sample {
    struct Samples* samples = nullptr;
    NSUInteger at = 0, count = 0;
    Buffer* to = nullptr;
    NSUInteger to_at = 0;
};

// Command is one dispatch as it will run; without code a timestamp or a copy.
struct Command {
    const Code* code = nullptr;
    Copy copy;
    Sample sample;
    Binding state;
    Size grid{}, threads{};
    bool barrier = false;  // waits for all before it
};

// check_dispatch notes what Metal's validation layer would refuse; false: the
// command must not run.
bool check_dispatch(const Binding& state, Size grid, Size threads);

struct Queue : Object {
    std::deque<struct CommandBuffer*> waiting;
    std::mutex lock;
    std::condition_variable changed;
    bool stop = false;
    std::thread worker;
    Queue();
    void drop() override;
    void work();
};

struct CommandBuffer : Object {
    Queue* queue;
    bool retains;
    bool committed = false, encoding = false, completed = false;
    int64_t status = 0;
    Error* error = nullptr;
    double start = 0, end = 0;
    std::vector<Command> commands;
    std::unordered_set<Object*> held;     // retained until completion, or only remembered where retains is false
    CommandBuffer(Queue* q, bool r);
    void drop() override;
    void hold(Object* o);
    void execute();
    bool run(size_t begin, size_t end, std::string& text);
};

// Samples is a counter sample buffer for timestamps.
struct Samples : Object {
    std::vector<uint64_t> ticks;
    explicit Samples(NSUInteger n);
};

// Pass is a compute pass descriptor and its first attachment.
struct Pass : Object {
    struct Attachment : Object {
        Samples* samples = nullptr;
        NSUInteger first = 0, last = 0;
        Attachment();
        void drop() override { objc_release(samples); }
    };
    Attachment* attachment;
    NSUInteger type = 0;
    Pass();
    void drop() override { objc_release(attachment); }
};

// gpu_ticks is the GPU's clock, of 24 MHz; with a limit "ticks" each reading is that
// many after the one before.
uint64_t gpu_ticks();

// What a device and a command buffer make, each in the file of its class.
id counter_sets(id, SEL);
id new_fence(id, SEL);
void sample_timestamps(id, SEL, uint64_t* host, uint64_t* gpu);
id new_samples(id, SEL, id descriptor, id* error);
id new_indirect(id, SEL, id descriptor, NSUInteger count, NSUInteger options);
id new_queue(id, SEL);
id compute_encoder(id, SEL, NSUInteger type);
id compute_encoder_of(id, SEL, id descriptor);
id blit_encoder(id, SEL);

struct Indirect : Object {
    std::vector<struct IndirectCommand*> commands;
    NSUInteger max_buffers, max_groups;
    Indirect(NSUInteger n, NSUInteger buffers, NSUInteger groups);
    void drop() override;
};

struct IndirectCommand : Object {
    Command command;
    bool filled = false;
    Indirect* owner;
    explicit IndirectCommand(Indirect* o) : Object(&IndirectCommandClass), owner(o) {}
};
