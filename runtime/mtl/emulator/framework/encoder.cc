// Compute encoders: what is encoded is checked here, as Metal's validation layer
// would.
#include <algorithm>

#include "metal.h"

namespace {

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
    std::map<id, NSUInteger> used;  // by useResources: for reading 1, for writing 2
    int groups = 0;  // debug groups that are open
    Encoder(CommandBuffer* b, bool c) : Object(&EncoderClass), buffer(b), concurrent(c) { objc_retain(b); }
    void drop() override {
        if (!ended) violation("a command encoder is released without endEncoding");
        objc_release(buffer);
        std::vector<Access>().swap(wave);
        used.clear();
    }
    bool open(const char* what) {
        if (ended) violation("%s after endEncoding", what);
        return !ended;
    }
};

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

void Binding::set_buffer(id b, NSUInteger offset, NSUInteger index, const char* what) {
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
    slot[index] = {buffer, offset};
}

void Binding::set_threadgroup(NSUInteger length, NSUInteger index) {
    if (index > 30) violation("setThreadgroupMemoryLength: at index %lu, 30 is the last", (unsigned long)index);
    else if (length % 16) violation("setThreadgroupMemoryLength: of %lu bytes, not a multiple of 16", (unsigned long)length);
    else threadgroup[index] = length;
}

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

namespace {

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
void set_buffers(id self, SEL, id* list, NSUInteger* offsets, Range range) {
    Encoder* e = static_cast<Encoder*>(self);
    if (!e->open("setBuffers:")) return;
    for (NSUInteger i = 0; i < range.length; i++) {
        e->state.set_buffer(list[i], offsets[i], range.location + i, "setBuffers:offsets:withRange:");
        if (list[i]) e->buffer->hold(list[i]);
    }
}
void set_buffer(id self, SEL, id b, NSUInteger offset, NSUInteger index) {
    Encoder* e = static_cast<Encoder*>(self);
    if (!e->open("setBuffer:")) return;
    e->state.set_buffer(b, offset, index, "setBuffer:offset:atIndex:");
    if (b) e->buffer->hold(b);
}
void set_threadgroup(id self, SEL, NSUInteger length, NSUInteger index) {
    Encoder* e = static_cast<Encoder*>(self);
    if (e->open("setThreadgroupMemoryLength:")) e->state.set_threadgroup(length, index);
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
    if (!usage || usage & ~3ull) violation("useResources: with usage %lu", (unsigned long)usage);
    for (NSUInteger i = 0; i < count; i++) {
        if (!alive(list[i], &BufferClass, "useResources:")) continue;
        e->buffer->hold(list[i]);
        e->used[list[i]] |= usage;
    }
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
        const Code* code = c->command.code;
        for (size_t s = 0; s < code->slots.size(); s++) {
            auto use = e->used.find(c->command.state.slot[s].buffer);
            NSUInteger usage = use == e->used.end() ? 0 : use->second;
            NSUInteger wanted = (code->slots[s].reads ? 1 : 0) | (code->slots[s].writes ? 2 : 0);
            if (wanted & ~usage)
                violation("%s: an indirect command has usage %lu of %s, useResources: gave it %lu", code->function.c_str(),
                          (unsigned long)wanted, code->slots[s].name.c_str(), (unsigned long)usage);
        }
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

}  // namespace

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

Class EncoderClass("MTLComputeCommandEncoder", nullptr, nullptr, {
    minus("waitForFence:", fence), minus("updateFence:", fence), minus("endEncoding", end_encoding), minus("setComputePipelineState:", set_pipeline),
    minus("setBuffers:offsets:withRange:", set_buffers), minus("setBuffer:offset:atIndex:", set_buffer),
    minus("setThreadgroupMemoryLength:atIndex:", set_threadgroup), minus("dispatchThreadgroups:threadsPerThreadgroup:", dispatch),
    minus("memoryBarrierWithScope:", memory_barrier), minus("useResources:count:usage:", use_resources),
    minus("executeCommandsInBuffer:withRange:", execute_indirect), minus("pushDebugGroup:", push_group), minus("popDebugGroup", pop_group)});
