// Blit encoders: copies between buffers, and timestamps resolved into one.
#include "metal.h"

namespace {

struct BlitEncoder : Object {
    CommandBuffer* buffer;
    bool ended = false;
    explicit BlitEncoder(CommandBuffer* b) : Object(&BlitClass), buffer(b) { objc_retain(b); }
    void drop() override {
        if (!ended) violation("a command encoder is released without endEncoding");
        objc_release(buffer);
    }
};

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

}  // namespace

id blit_encoder(id self, SEL) {
    CommandBuffer* b = static_cast<CommandBuffer*>(self);
    if (b->committed) violation("a blit encoder on a committed command buffer");
    if (b->encoding) violation("a second encoder while one is open");
    b->encoding = true;
    return autorelease(new BlitEncoder(b));
}

Class BlitClass("MTLBlitCommandEncoder", nullptr, nullptr,
    {minus("copyFromBuffer:sourceOffset:toBuffer:destinationOffset:size:", copy_buffer), minus("endEncoding", end_blit),
     minus("resolveCounters:inRange:destinationBuffer:destinationOffset:", resolve)});
