// Queues and command buffers: what was encoded is run by the queue's worker.
#include <algorithm>
#include <random>

#include "metal.h"

namespace {

double now() { return (double)gpu_ticks() / 24e6; }

// sum_of is FNV-1a of a copy's source; never 0, which stands for none.
uint64_t sum_of(const Copy& c) {
    uint64_t h = 14695981039346656037ull;
    const unsigned char* p = (const unsigned char*)c.from->data + c.from_at;
    for (NSUInteger i = 0; i < c.size; i++) h = (h ^ p[i]) * 1099511628211ull;
    return h | 1;
}

}  // namespace

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
        void* pool = objc_autoreleasePoolPush();
        objc_release(b);
        objc_autoreleasePoolPop(pool);
        work_ends();
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
    // What is kept for a while is the object, not all that was encoded.
    std::unordered_set<Object*>().swap(held);
    std::vector<Command>().swap(commands);
    objc_release(error);
    // The worker's own reference may be the last one to the queue's buffer.
    if (std::this_thread::get_id() != queue->worker.get_id()) {
        objc_release(queue);
        return;
    }
    work_begins();
    std::thread([](Queue* q) {
        void* pool = objc_autoreleasePoolPush();
        objc_release(q);
        objc_autoreleasePoolPop(pool);
        work_ends();
    }, queue).detach();
}

void CommandBuffer::execute() {
    {
        std::unique_lock<std::mutex> hold(emulator.lock);
        emulator.changed.wait(hold, [] { return !emulator.held; });
    }
    start = now();
    for (Object* o : held)
        if (o->dead) violation("a %s was released while a command buffer held it unretained", o->isa->name);
    int64_t code = 0;
    std::string text;
    if (emulator.take("device-lost")) code = 11, text = "Caused GPU Device Removed Error (injected)";
    else if (emulator.take("command-buffer-error")) code = 1, text = "Internal Error (injected)";
    else if (emulator.take("gpu-out-of-memory")) code = 8, text = "Insufficient Memory (injected)";
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
id new_queue(id, SEL) { return new Queue; }

namespace {

id command_buffer(id self, SEL) {
    if (emulator.take("no-command-buffer")) return nullptr;
    return autorelease(new CommandBuffer(static_cast<Queue*>(self), true));
}
id command_buffer_unretained(id self, SEL) { return autorelease(new CommandBuffer(static_cast<Queue*>(self), false)); }

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
    autorelease(new String("what Metal leaves behind in commit"));
    objc_retain(b);
    work_begins();
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

}  // namespace

Class QueueClass("MTLCommandQueue", nullptr, nullptr,
    {minus("commandBuffer", command_buffer), minus("commandBufferWithUnretainedReferences", command_buffer_unretained)});
Class CommandBufferClass("MTLCommandBuffer", nullptr, nullptr, {
    minus("computeCommandEncoderWithDispatchType:", compute_encoder), minus("blitCommandEncoder", blit_encoder),
    minus("computeCommandEncoderWithDescriptor:", compute_encoder_of), minus("commit", commit), minus("waitUntilCompleted", wait_completed),
    minus("status", status), minus("error", buffer_error), minus("GPUStartTime", gpu_start), minus("GPUEndTime", gpu_end)});
