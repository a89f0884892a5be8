// Counter sample buffers, compute passes that fill them, and fences.
#include <chrono>

#include "metal.h"

uint64_t gpu_ticks() {
    static std::atomic<uint64_t> steps{0};
    if (int64_t step = emulator.limit("ticks", 0)) return steps += step;
    auto ns = std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch());
    return (uint64_t)ns.count() * 3 / 125;
}

struct CounterSet : Object {
    const char* name;
    explicit CounterSet(const char* n);
};
static Class CounterSetClass("MTLCounterSet", nullptr, nullptr,
    {minus("name", +[](id self, SEL) -> id { return autorelease(new String(static_cast<CounterSet*>(self)->name)); })});
CounterSet::CounterSet(const char* n) : Object(&CounterSetClass), name(n) {}

id counter_sets(id, SEL) {
    Array* a = new Array;
    for (const char* name : {"statistic", "timestamp"}) a->items.push_back(new CounterSet(name));
    return autorelease(a);
}

id new_fence(id, SEL) { return new Object(&FenceClass); }

void sample_timestamps(id, SEL, uint64_t* host, uint64_t* gpu) {
    *gpu = gpu_ticks();
    *host = *gpu * 125 / 3;
}

namespace {

struct SamplesDescriptor : Object {
    id set = nullptr;
    NSUInteger storage = 0, count = 0;
    SamplesDescriptor();
    void drop() override { objc_release(set); }
};

Object* make_samples_descriptor() { return new SamplesDescriptor; }
void set_counter_set(id self, SEL, id set) {
    SamplesDescriptor* d = static_cast<SamplesDescriptor*>(self);
    if (!alive(set, &CounterSetClass, "setCounterSet:")) return;
    if (strcmp(static_cast<CounterSet*>(set)->name, "timestamp")) violation("setCounterSet: to one without the timestamp");
    d->set = objc_retain(set);
}
void set_storage(id self, SEL, NSUInteger mode) { static_cast<SamplesDescriptor*>(self)->storage = mode; }
void set_count(id self, SEL, NSUInteger n) { static_cast<SamplesDescriptor*>(self)->count = n; }

id pass_descriptor(id, SEL) { return autorelease(new Pass); }
void set_type(id self, SEL, NSUInteger type) { static_cast<Pass*>(self)->type = type; }
id attachments(id self, SEL) { return self; }  // the pass stands for its array of them
id attachment(id self, SEL, NSUInteger i) {
    if (i != 0) violation("sampleBufferAttachments[%lu] of one", (unsigned long)i);
    return static_cast<Pass*>(self)->attachment;
}
void set_samples(id self, SEL, id samples) {
    Pass::Attachment* a = static_cast<Pass::Attachment*>(self);
    if (alive(samples, &SamplesClass, "setSampleBuffer:")) a->samples = static_cast<Samples*>(objc_retain(samples));
}
void set_first(id self, SEL, NSUInteger i) { static_cast<Pass::Attachment*>(self)->first = i; }
void set_last(id self, SEL, NSUInteger i) { static_cast<Pass::Attachment*>(self)->last = i; }

}  // namespace

static Class SamplesDescriptorClass("MTLCounterSampleBufferDescriptor", nullptr, make_samples_descriptor,
    {minus("setCounterSet:", set_counter_set), minus("setStorageMode:", set_storage), minus("setSampleCount:", set_count)});
static Class AttachmentClass("MTLComputePassSampleBufferAttachmentDescriptor", nullptr, nullptr, {
    minus("setSampleBuffer:", set_samples), minus("setStartOfEncoderSampleIndex:", set_first), minus("setEndOfEncoderSampleIndex:", set_last)});
Class SamplesClass("MTLCounterSampleBuffer", nullptr, nullptr, {});
Class FenceClass("MTLFence", nullptr, nullptr, {});
Class PassClass("MTLComputePassDescriptor", nullptr, nullptr, {
    plus("computePassDescriptor", pass_descriptor), minus("setDispatchType:", set_type),
    minus("sampleBufferAttachments", attachments), minus("objectAtIndexedSubscript:", attachment)});

namespace {
SamplesDescriptor::SamplesDescriptor() : Object(&SamplesDescriptorClass) {}
}  // namespace
Samples::Samples(NSUInteger n) : Object(&SamplesClass), ticks(n, ~0ull) {}
Pass::Attachment::Attachment() : Object(&AttachmentClass) {}
Pass::Pass() : Object(&PassClass), attachment(new Attachment) {}

id new_samples(id, SEL, id descriptor, id* error) {
    if (!alive(descriptor, &SamplesDescriptorClass, "the counter sample buffer's descriptor")) return nullptr;
    SamplesDescriptor* d = static_cast<SamplesDescriptor*>(descriptor);
    if (!d->set) violation("a counter sample buffer without a counter set");
    if (d->storage != 0 && d->storage != 2) violation("a counter sample buffer of storage mode %lu", (unsigned long)d->storage);
    if (d->count == 0 || d->count * 8 > 32768 || emulator.take("no-samples")) {
        fail(error, 1, "a sample buffer of " + std::to_string(d->count) + " samples cannot be had");
        return nullptr;
    }
    return new Samples(d->count);
}
