// Queues, command buffers, encoders and indirect commands: what is encoded is
// checked here and run by the queue's worker.
#include <algorithm>
#include <chrono>
#include <random>

#include "metal.h"

namespace {

double now() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Access is one range that a dispatch of the open wave touches.
struct Access {
    Buffer* buffer;
    int64_t begin, end;
    bool writes;
    const Code* code;
};

struct Encoder : Object {
    CommandBuffer* buffer;
    Binding state;
    bool ended = false, barrier = false, concurrent;
    Sample last;  // taken at the end
    std::vector<Access> wave;
    int groups = 0;  // debug groups that are open
    Encoder(CommandBuffer* b, bool c) : Object(&EncoderClass), buffer(b), concurrent(c) { objc_retain(b); }
    void drop() override {
        if (!ended) violation("a command encoder is released without endEncoding");
        objc_release(buffer);
    }
    bool open(const char* what) {
        if (ended) violation("%s after endEncoding", what);
        return !ended;
    }
};

struct BlitEncoder : Object {
    CommandBuffer* buffer;
    bool ended = false;
    explicit BlitEncoder(CommandBuffer* b) : Object(&BlitClass), buffer(b) { objc_retain(b); }
    void drop() override {
        if (!ended) violation("a command encoder is released without endEncoding");
        objc_release(buffer);
    }
};

// sum_of is FNV-1a of a copy's source; never 0, which stands for none.
uint64_t sum_of(const Copy& c) {
    uint64_t h = 14695981039346656037ull;
    const unsigned char* p = (const unsigned char*)c.from->data + c.from_at;
    for (NSUInteger i = 0; i < c.size; i++) h = (h ^ p[i]) * 1099511628211ull;
    return h | 1;
}

// check_wave notes a dispatch that touches what another of its wave writes.
void check_wave(std::vector<Access>& wave, const Binding& state) {
    const Code* code = state.pipeline->code;
    size_t before = wave.size();
    for (size_t i = 0; i < code->slots.size(); i++) {
        const Code::Slot& s = code->slots[i];
        if (!state.slot[i].buffer) continue;
        if (s.writes) state.slot[i].buffer->kernel_written = true;
        int64_t begin = state.slot[i].offset;
        Access a{state.slot[i].buffer, begin, std::min(begin + s.bytes, state.slot[i].buffer->length), s.writes, code};
        for (size_t j = 0; j < before; j++) {
            const Access& o = wave[j];
            if (o.buffer == a.buffer && (o.writes || a.writes) && o.begin < a.end && a.begin < o.end)
                violation("no barrier between %s and %s, which both touch bytes %ld..%ld of a buffer", o.code->function.c_str(),
                          code->function.c_str(), (long)std::max(o.begin, a.begin), (long)std::min(o.end, a.end));
        }
        wave.push_back(a);
    }
}

}  // namespace

bool check_dispatch(const Binding& state, Size grid, Size threads) {
    if (!state.pipeline) {
        violation("a dispatch without a pipeline");
        return false;
    }
    const Code* code = state.pipeline->code;
    const char* name = code->function.c_str();
    NSUInteger n = threads.width * threads.height * threads.depth;
    bool good = true;
    if (n == 0 || n > 1024 || n > state.pipeline->max_threads) {
        violation("%s: a threadgroup of %lu threads, the limit is %lu", name, (unsigned long)n,
                  (unsigned long)std::min<NSUInteger>(1024, state.pipeline->max_threads));
        good = false;
    }
    if (!grid.width || !grid.height || !grid.depth) {
        violation("%s: an empty grid", name);
        good = false;
    }
    for (size_t i = 0; i < code->slots.size(); i++) {
        if (!state.slot[i].buffer) {
            violation("%s: missing buffer binding at index %zu for %s", name, i, code->slots[i].name.c_str());
            good = false;
        }
    }
    NSUInteger total = 0;
    for (size_t i = 0; i < code->arrays.size(); i++) {
        total += state.threadgroup[i];
        if ((int64_t)state.threadgroup[i] < code->arrays[i]) {
            violation("%s: threadgroup memory at index %zu is %lu bytes, the kernel uses %ld", name, i,
                      (unsigned long)state.threadgroup[i], (long)code->arrays[i]);
            good = false;
        }
    }
    if (total > 32768) {
        violation("%s: %lu bytes of threadgroup memory, the limit is 32768", name, (unsigned long)total);
        good = false;
    }
    return good;
}

// ---- command queue and command buffer

Queue::Queue() : Object(&QueueClass) { worker = std::thread([this] { work(); }); }

void Queue::drop() {
    {
        std::lock_guard<std::mutex> hold(lock);
        stop = true;
    }
    changed.notify_all();
    worker.join();
}

void Queue::work() {
    std::unique_lock<std::mutex> hold(lock);
    for (;;) {
        changed.wait(hold, [this] { return stop || !waiting.empty(); });
        if (waiting.empty()) return;
        CommandBuffer* b = waiting.front();
        waiting.pop_front();
        hold.unlock();
        b->execute();
        hold.lock();
        b->completed = true;
        changed.notify_all();
        hold.unlock();
        objc_release(b);
        hold.lock();
    }
}

CommandBuffer::CommandBuffer(Queue* q, bool r) : Object(&CommandBufferClass), queue(q), retains(r) {
    objc_retain(q);
    commands.reserve(256);
}

void CommandBuffer::hold(Object* o) {
    if (held.insert(o).second && retains) objc_retain(o);
}

void CommandBuffer::drop() {
    if (encoding) violation("a command buffer is released while it is encoded");
    if (retains)
        for (Object* o : held) objc_release(o);
    held.clear();
    objc_release(error);
    // The worker's own reference may be the last one to the queue's buffer.
    if (std::this_thread::get_id() != queue->worker.get_id()) objc_release(queue);
    else std::thread([](Queue* q) { objc_release(q); }, queue).detach();
}

void CommandBuffer::execute() {
    start = now();
    for (Object* o : held)
        if (o->dead) violation("a %s was released while a command buffer held it unretained", o->isa->name);
    int64_t code = 0;
    std::string text;
    if (emulator.take("device-lost")) code = 11, text = "Caused GPU Device Removed Error (injected)";
    else if (emulator.take("command-buffer-error")) code = 1, text = "Internal Error (injected)";
    else if (emulator.take("gpu-out-of-memory")) code = 8, text = "Insufficient Memory (injected)";
    if (emulator.take("late")) std::this_thread::sleep_for(std::chrono::milliseconds(20));
    for (size_t i = 0; i < commands.size() && !code;) {
        if (commands[i].sample.samples) {
            const Sample& s = commands[i++].sample;
            if (!s.to) s.samples->ticks[s.at] = gpu_ticks();
            else memcpy((char*)s.to->data + s.to_at, &s.samples->ticks[s.at], 8 * s.count);
            continue;
        }
        if (!commands[i].code) {
            const Copy& c = commands[i++].copy;
            if (c.sum && c.sum != sum_of(c)) violation("the host wrote to the source of a copy that had not run");
            memcpy((char*)c.to->data + c.to_at, (char*)c.from->data + c.from_at, c.size);
            continue;
        }
        size_t j = i + 1;
        while (j < commands.size() && commands[j].code) j++;
        if (!emulator.skip_execution && !run(i, j, text)) code = 3;
        i = j;
    }
    end = now();
    if (code) error = new Error(text, code);
    status = code ? 5 : 4;
}

// run executes dispatches [begin, end) of the commands.
bool CommandBuffer::run(size_t begin, size_t end, std::string& text) {
    // The dispatches of a wave may run in any order: shuffle them.
    std::mt19937_64 random(emulator.seed++);
    for (size_t i = begin; i < end;) {
        size_t j = i + 1;
        while (j < end && !commands[j].barrier) j++;
        bool barrier = commands[i].barrier;
        commands[i].barrier = false;
        std::shuffle(commands.begin() + i, commands.begin() + j, random);
        commands[i].barrier = barrier;
        i = j;
    }
    std::vector<foundry_launch> launches(end - begin);
    std::vector<std::vector<foundry_operand>> operands(end - begin);
    for (size_t i = 0; i < end - begin; i++) {
        const Command& c = commands[begin + i];
        for (size_t s = 0; s < c.code->slots.size(); s++) {
            const Code::Slot& slot = c.code->slots[s];
            int64_t left = c.state.slot[s].buffer->length - (int64_t)c.state.slot[s].offset;
            foundry_operand o = {};
            o.data = (char*)c.state.slot[s].buffer->data + c.state.slot[s].offset;
            o.bytes = std::min(slot.bytes, left);
            o.access = (slot.reads ? FOUNDRY_READ : 0) | (slot.writes ? FOUNDRY_WRITE : 0);
            operands[i].push_back(o);
        }
        foundry_launch& l = launches[i];
        l = {};
        l.module = c.code->module;
        l.kernel = c.code->index;
        l.operands = operands[i].data();
        l.barrier = c.barrier || i == 0;
        l.grid[0] = c.grid.width, l.grid[1] = c.grid.height, l.grid[2] = c.grid.depth;
    }
    foundry_options options = {};
    foundry_error failure = {};
    if (emulator.run(emulator.pool, launches.data(), launches.size(), &options, &failure)) {
        text = failure.text;
        return false;
    }
    return true;
}

namespace {

id command_buffer(id self, SEL) { return autorelease(new CommandBuffer(static_cast<Queue*>(self), true)); }
id command_buffer_unretained(id self, SEL) { return autorelease(new CommandBuffer(static_cast<Queue*>(self), false)); }

id compute_encoder(id self, SEL, NSUInteger type) {
    CommandBuffer* b = static_cast<CommandBuffer*>(self);
    if (b->committed) violation("a compute encoder on a committed command buffer");
    if (b->encoding) violation("a second encoder while one is open");
    b->encoding = true;
    return autorelease(new Encoder(b, type == 1));
}
id compute_encoder_of(id self, SEL, id descriptor) {
    if (!alive(descriptor, &PassClass, "the descriptor of a compute pass")) return nullptr;
    Pass* p = static_cast<Pass*>(descriptor);
    id e = compute_encoder(self, nullptr, p->type);
    Pass::Attachment* a = p->attachment;
    if (!a->samples) return e;
    CommandBuffer* b = static_cast<CommandBuffer*>(self);
    if (a->first >= a->samples->ticks.size() || a->last >= a->samples->ticks.size()) {
        violation("a pass samples at %lu and %lu of %zu", (unsigned long)a->first, (unsigned long)a->last, a->samples->ticks.size());
        return e;
    }
    Command c;
    c.sample.samples = a->samples;
    c.sample.at = a->first;
    b->commands.push_back(c);
    b->hold(a->samples);
    static_cast<Encoder*>(e)->last = {a->samples, a->last, 0, nullptr, 0};
    return e;
}
void commit(id self, SEL) {
    CommandBuffer* b = static_cast<CommandBuffer*>(self);
    if (b->committed) {
        violation("commit of a command buffer that is committed");
        return;
    }
    if (b->encoding) violation("commit before endEncoding");
    b->committed = true;
    for (Command& c : b->commands)
        if (c.copy.from && !c.copy.from->is_private && !c.copy.from->kernel_written) c.copy.sum = sum_of(c.copy);
    emulator.committed++;
    b->status = 2;
    objc_retain(b);
    {
        std::lock_guard<std::mutex> hold(b->queue->lock);
        b->queue->waiting.push_back(b);
    }
    b->queue->changed.notify_all();
}
void wait_completed(id self, SEL) {
    CommandBuffer* b = static_cast<CommandBuffer*>(self);
    if (!b->committed) {
        violation("waitUntilCompleted before commit");
        return;
    }
    std::unique_lock<std::mutex> hold(b->queue->lock);
    b->queue->changed.wait(hold, [b] { return b->completed; });
}
NSUInteger status(id self, SEL) { return static_cast<CommandBuffer*>(self)->status; }
id buffer_error(id self, SEL) { return static_cast<CommandBuffer*>(self)->error; }
double gpu_start(id self, SEL) { return static_cast<CommandBuffer*>(self)->start; }
double gpu_end(id self, SEL) { return static_cast<CommandBuffer*>(self)->end; }

// ---- blit encoder

id blit_encoder(id self, SEL) {
    CommandBuffer* b = static_cast<CommandBuffer*>(self);
    if (b->committed) violation("a blit encoder on a committed command buffer");
    if (b->encoding) violation("a second encoder while one is open");
    b->encoding = true;
    return autorelease(new BlitEncoder(b));
}
void end_blit(id self, SEL) {
    BlitEncoder* e = static_cast<BlitEncoder*>(self);
    if (e->ended) violation("endEncoding after endEncoding");
    else e->buffer->encoding = false;
    e->ended = true;
}
void copy_buffer(id self, SEL, id from, NSUInteger from_at, id to, NSUInteger to_at, NSUInteger size) {
    BlitEncoder* e = static_cast<BlitEncoder*>(self);
    if (e->ended) {
        violation("copyFromBuffer: after endEncoding");
        return;
    }
    if (!alive(from, &BufferClass, "the source of copyFromBuffer:") || !alive(to, &BufferClass, "the destination of copyFromBuffer:")) return;
    Command c;
    c.copy = {static_cast<Buffer*>(from), static_cast<Buffer*>(to), from_at, to_at, size, 0};
    if (from_at % 4 || to_at % 4 || size % 4 || !size) violation("copyFromBuffer: of %lu bytes from %lu to %lu, not whole words", (unsigned long)size, (unsigned long)from_at, (unsigned long)to_at);
    else if ((int64_t)(from_at + size) > c.copy.from->length || (int64_t)(to_at + size) > c.copy.to->length) violation("copyFromBuffer: beyond the end of a buffer");
    else if (from == to && from_at < to_at + size && to_at < from_at + size) violation("copyFromBuffer: within one buffer, source and destination overlap");
    else if (c.copy.to->lent) violation("copyFromBuffer: into pages that the host lent");
    else {
        for (const Command& o : e->buffer->commands)
            if (o.copy.to && o.copy.to == c.copy.from && o.copy.to_at < from_at + size && from_at < o.copy.to_at + o.copy.size)
                c.copy.from->kernel_written = true;  // what it reads is not the host's
        e->buffer->commands.push_back(c);
        e->buffer->hold(from);
        e->buffer->hold(to);
    }
}

void resolve(id self, SEL, id samples, Range range, id to, NSUInteger to_at) {
    BlitEncoder* e = static_cast<BlitEncoder*>(self);
    if (e->ended) {
        violation("resolveCounters: after endEncoding");
        return;
    }
    if (!alive(samples, &SamplesClass, "the source of resolveCounters:") || !alive(to, &BufferClass, "the destination of resolveCounters:")) return;
    Command c;
    c.sample = {static_cast<Samples*>(samples), range.location, range.length, static_cast<Buffer*>(to), to_at};
    if (range.location + range.length > c.sample.samples->ticks.size()) violation("resolveCounters: beyond the last sample");
    else if (to_at % 8 || (int64_t)(to_at + 8 * range.length) > c.sample.to->length) violation("resolveCounters: beyond the end of a buffer");
    else {
        e->buffer->commands.push_back(c);
        e->buffer->hold(samples);
        e->buffer->hold(to);
    }
}

// ---- compute encoder

void end_encoding(id self, SEL) {
    Encoder* e = static_cast<Encoder*>(self);
    if (!e->open("endEncoding")) return;
    if (e->groups) violation("endEncoding with %d debug groups open", e->groups);
    e->ended = true;
    e->buffer->encoding = false;
    if (!e->last.samples) return;
    Command c;
    c.sample = e->last;
    e->buffer->commands.push_back(c);
}
void fence(id self, SEL, id f) {
    Encoder* e = static_cast<Encoder*>(self);
    if (e->open("a fence") && alive(f, &FenceClass, "a fence")) e->buffer->hold(f);
}
void set_pipeline(id self, SEL, id p) {
    Encoder* e = static_cast<Encoder*>(self);
    if (!e->open("setComputePipelineState:") || !alive(p, &PipelineClass, "setComputePipelineState:")) return;
    e->state.pipeline = static_cast<Pipeline*>(p);
    e->buffer->hold(p);
}
void bind(Binding& state, id b, NSUInteger offset, NSUInteger index, const char* what) {
    if (index > 30) {
        violation("%s at index %lu, 30 is the last", what, (unsigned long)index);
        return;
    }
    if (!alive(b, &BufferClass, what)) return;
    Buffer* buffer = static_cast<Buffer*>(b);
    if ((int64_t)offset >= buffer->length) {
        violation("%s with offset %lu of a buffer of %ld bytes", what, (unsigned long)offset, (long)buffer->length);
        return;
    }
    state.slot[index].buffer = buffer;
    state.slot[index].offset = offset;
}
void set_buffer(id self, SEL, id b, NSUInteger offset, NSUInteger index) {
    Encoder* e = static_cast<Encoder*>(self);
    if (!e->open("setBuffer:")) return;
    bind(e->state, b, offset, index, "setBuffer:offset:atIndex:");
    if (b) e->buffer->hold(b);
}
void set_buffers(id self, SEL, id* list, NSUInteger* offsets, Range range) {
    Encoder* e = static_cast<Encoder*>(self);
    if (!e->open("setBuffers:")) return;
    for (NSUInteger i = 0; i < range.length; i++) {
        bind(e->state, list[i], offsets[i], range.location + i, "setBuffers:offsets:withRange:");
        if (list[i]) e->buffer->hold(list[i]);
    }
}
void threadgroup(Binding& state, NSUInteger length, NSUInteger index) {
    if (index > 30) violation("setThreadgroupMemoryLength: at index %lu, 30 is the last", (unsigned long)index);
    else if (length % 16) violation("setThreadgroupMemoryLength: of %lu bytes, not a multiple of 16", (unsigned long)length);
    else state.threadgroup[index] = length;
}
void set_threadgroup(id self, SEL, NSUInteger length, NSUInteger index) {
    Encoder* e = static_cast<Encoder*>(self);
    if (e->open("setThreadgroupMemoryLength:")) threadgroup(e->state, length, index);
}
void add(Encoder* e, const Command& c, bool barrier) {
    if (barrier || !e->concurrent) e->wave.clear();
    check_wave(e->wave, c.state);
    e->buffer->commands.push_back(c);
    e->buffer->commands.back().barrier = barrier || !e->concurrent || e->buffer->commands.size() == 1;
}
void dispatch(id self, SEL, Size grid, Size threads) {
    Encoder* e = static_cast<Encoder*>(self);
    if (!e->open("dispatchThreadgroups:") || !check_dispatch(e->state, grid, threads)) return;
    Command c;
    c.code = e->state.pipeline->code;
    c.state = e->state;
    c.grid = grid, c.threads = threads;
    add(e, c, e->barrier);
    e->barrier = false;
}
void memory_barrier(id self, SEL, NSUInteger scope) {
    Encoder* e = static_cast<Encoder*>(self);
    if (!e->open("memoryBarrierWithScope:")) return;
    if (!(scope & 1)) violation("a memory barrier that leaves buffers out");
    e->barrier = true;
}
void use_resources(id self, SEL, id* list, NSUInteger count, NSUInteger usage) {
    Encoder* e = static_cast<Encoder*>(self);
    if (!e->open("useResources:")) return;
    if (usage & ~3ull) violation("useResources: with usage %lu", (unsigned long)usage);
    for (NSUInteger i = 0; i < count; i++)
        if (alive(list[i], &BufferClass, "useResources:")) e->buffer->hold(list[i]);
}
void execute_indirect(id self, SEL, id icb, Range range) {
    Encoder* e = static_cast<Encoder*>(self);
    if (!e->open("executeCommandsInBuffer:") || !alive(icb, &IndirectClass, "executeCommandsInBuffer:")) return;
    Indirect* i = static_cast<Indirect*>(icb);
    if (range.location + range.length > i->commands.size()) {
        violation("executeCommandsInBuffer: beyond its %zu commands", i->commands.size());
        return;
    }
    for (NSUInteger n = range.location; n < range.location + range.length; n++) {
        IndirectCommand* c = i->commands[n];
        if (!c->filled) continue;
        for (size_t s = 0; s < c->command.code->slots.size(); s++)
            if (!e->buffer->held.count(c->command.state.slot[s].buffer))
                violation("%s: an indirect command uses a buffer without useResources:", c->command.code->function.c_str());
        add(e, c->command, c->command.barrier || (n == range.location && e->barrier));
    }
    e->barrier = false;
    e->buffer->hold(icb);
}
// A label goes to the harness as what a capture would show.
void push_group(id self, SEL, id name) {
    static_cast<Encoder*>(self)->groups++;
    if (alive(name, &NSStringClass, "pushDebugGroup:")) violation("capture shows %s", static_cast<String*>(name)->text.c_str());
}
void pop_group(id self, SEL) {
    if (--static_cast<Encoder*>(self)->groups < 0) violation("popDebugGroup without a group");
}

// ---- indirect command buffer

id indirect_command(id self, SEL, NSUInteger n) {
    Indirect* i = static_cast<Indirect*>(self);
    if (n < i->commands.size()) return i->commands[n];
    violation("indirectComputeCommandAtIndex: %lu of %zu", (unsigned long)n, i->commands.size());
    return nullptr;
}
void icb_pipeline(id self, SEL, id p) {
    if (!alive(p, &PipelineClass, "setComputePipelineState: of an indirect command")) return;
    Pipeline* pipeline = static_cast<Pipeline*>(p);
    if (!pipeline->indirect) violation("%s: its pipeline does not support indirect command buffers", pipeline->code->function.c_str());
    static_cast<IndirectCommand*>(self)->command.state.pipeline = pipeline;
}
void icb_buffer(id self, SEL, id b, NSUInteger offset, NSUInteger index) {
    IndirectCommand* c = static_cast<IndirectCommand*>(self);
    if (index >= c->owner->max_buffers) violation("setKernelBuffer: at index %lu of %lu", (unsigned long)index, (unsigned long)c->owner->max_buffers);
    bind(c->command.state, b, offset, index, "setKernelBuffer:offset:atIndex:");
}
void icb_threadgroup(id self, SEL, NSUInteger length, NSUInteger index) {
    IndirectCommand* c = static_cast<IndirectCommand*>(self);
    if (index >= c->owner->max_groups) violation("an indirect command's threadgroup memory at index %lu of %lu", (unsigned long)index, (unsigned long)c->owner->max_groups);
    threadgroup(c->command.state, length, index);
}
void icb_dispatch(id self, SEL, Size grid, Size threads) {
    IndirectCommand* c = static_cast<IndirectCommand*>(self);
    if (!check_dispatch(c->command.state, grid, threads)) return;
    c->command.code = c->command.state.pipeline->code;
    c->command.grid = grid, c->command.threads = threads;
    c->filled = true;
}
void icb_barrier(id self, SEL) { static_cast<IndirectCommand*>(self)->command.barrier = true; }

}  // namespace

Indirect::Indirect(NSUInteger n, NSUInteger b, NSUInteger g) : Object(&IndirectClass), max_buffers(b), max_groups(g) {
    for (NSUInteger i = 0; i < n; i++) commands.push_back(new IndirectCommand(this));
}
void Indirect::drop() {
    for (IndirectCommand* c : commands) objc_release(c);
    commands.clear();
}

Class QueueClass("MTLCommandQueue", nullptr, nullptr,
    {minus("commandBuffer", command_buffer), minus("commandBufferWithUnretainedReferences", command_buffer_unretained)});
Class CommandBufferClass("MTLCommandBuffer", nullptr, nullptr, {
    minus("computeCommandEncoderWithDispatchType:", compute_encoder), minus("blitCommandEncoder", blit_encoder),
    minus("computeCommandEncoderWithDescriptor:", compute_encoder_of), minus("commit", commit), minus("waitUntilCompleted", wait_completed),
    minus("status", status), minus("error", buffer_error), minus("GPUStartTime", gpu_start), minus("GPUEndTime", gpu_end)});
Class EncoderClass("MTLComputeCommandEncoder", nullptr, nullptr, {
    minus("waitForFence:", fence), minus("updateFence:", fence), minus("endEncoding", end_encoding), minus("setComputePipelineState:", set_pipeline), minus("setBuffer:offset:atIndex:", set_buffer),
    minus("setBuffers:offsets:withRange:", set_buffers),
    minus("setThreadgroupMemoryLength:atIndex:", set_threadgroup), minus("dispatchThreadgroups:threadsPerThreadgroup:", dispatch),
    minus("memoryBarrierWithScope:", memory_barrier), minus("useResources:count:usage:", use_resources),
    minus("executeCommandsInBuffer:withRange:", execute_indirect), minus("pushDebugGroup:", push_group), minus("popDebugGroup", pop_group)});
Class BlitClass("MTLBlitCommandEncoder", nullptr, nullptr,
    {minus("copyFromBuffer:sourceOffset:toBuffer:destinationOffset:size:", copy_buffer), minus("endEncoding", end_blit),
     minus("resolveCounters:inRange:destinationBuffer:destinationOffset:", resolve)});
Class IndirectClass("MTLIndirectCommandBuffer", nullptr, nullptr, {minus("indirectComputeCommandAtIndex:", indirect_command)});
Class IndirectCommandClass("MTLIndirectComputeCommand", nullptr, nullptr, {
    minus("setComputePipelineState:", icb_pipeline), minus("setKernelBuffer:offset:atIndex:", icb_buffer),
    minus("setThreadgroupMemoryLength:atIndex:", icb_threadgroup),
    minus("concurrentDispatchThreadgroups:threadsPerThreadgroup:", icb_dispatch), minus("setBarrier", icb_barrier)});
