// Indirect command buffers: commands that are encoded once and executed often.
#include "metal.h"

namespace {

struct IndirectDescriptor : Object {
    NSUInteger types = 0, buffers = 0, groups = 0;
    bool inherit_state = true, inherit_buffers = true;
    IndirectDescriptor() : Object(&IndirectDescriptorClass) {}
};

Object* make_indirect_descriptor() { return new IndirectDescriptor; }
void set_types(id self, SEL, NSUInteger t) { static_cast<IndirectDescriptor*>(self)->types = t; }
void set_inherit_state(id self, SEL, bool on) { static_cast<IndirectDescriptor*>(self)->inherit_state = on; }
void set_inherit_buffers(id self, SEL, bool on) { static_cast<IndirectDescriptor*>(self)->inherit_buffers = on; }
void set_max_buffers(id self, SEL, NSUInteger n) { static_cast<IndirectDescriptor*>(self)->buffers = n; }
void set_max_groups(id self, SEL, NSUInteger n) { static_cast<IndirectDescriptor*>(self)->groups = n; }

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
    c->command.state.set_buffer(b, offset, index, "setKernelBuffer:offset:atIndex:");
}
void icb_threadgroup(id self, SEL, NSUInteger length, NSUInteger index) {
    IndirectCommand* c = static_cast<IndirectCommand*>(self);
    if (index >= c->owner->max_groups) violation("an indirect command's threadgroup memory at index %lu of %lu", (unsigned long)index, (unsigned long)c->owner->max_groups);
    c->command.state.set_threadgroup(length, index);
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

id new_indirect(id, SEL, id descriptor, NSUInteger count, NSUInteger) {
    if (!alive(descriptor, &IndirectDescriptorClass, "the indirect command buffer's descriptor")) return nullptr;
    IndirectDescriptor* d = static_cast<IndirectDescriptor*>(descriptor);
    if (d->types != 32) violation("an indirect command buffer for commands other than concurrent dispatches");
    if (d->inherit_state || d->inherit_buffers) violation("indirect commands inherit state and set it too");
    if (emulator.take("no-indirect")) return nullptr;
    if (d->buffers > 31) violation("an indirect command buffer with %lu buffer slots, 31 is the limit", (unsigned long)d->buffers);
    return new Indirect(count, d->buffers, d->groups);
}

Indirect::Indirect(NSUInteger n, NSUInteger b, NSUInteger g) : Object(&IndirectClass), max_buffers(b), max_groups(g) {
    for (NSUInteger i = 0; i < n; i++) commands.push_back(new IndirectCommand(this));
}
void Indirect::drop() {
    for (IndirectCommand* c : commands) objc_release(c);
    commands.clear();
}

Class IndirectDescriptorClass("MTLIndirectCommandBufferDescriptor", nullptr, make_indirect_descriptor, {
    minus("setCommandTypes:", set_types), minus("setInheritPipelineState:", set_inherit_state), minus("setInheritBuffers:", set_inherit_buffers),
    minus("setMaxKernelBufferBindCount:", set_max_buffers), minus("setMaxKernelThreadgroupMemoryBindCount:", set_max_groups)});
Class IndirectClass("MTLIndirectCommandBuffer", nullptr, nullptr, {minus("indirectComputeCommandAtIndex:", indirect_command)});
Class IndirectCommandClass("MTLIndirectComputeCommand", nullptr, nullptr, {
    minus("setComputePipelineState:", icb_pipeline), minus("setKernelBuffer:offset:atIndex:", icb_buffer),
    minus("setThreadgroupMemoryLength:atIndex:", icb_threadgroup),
    minus("concurrentDispatchThreadgroups:threadsPerThreadgroup:", icb_dispatch), minus("setBarrier", icb_barrier)});
