// Devices, libraries, pipelines, archives, buffers, and the harness's controls.
#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <unistd.h>

#include "metal.h"

Emulator emulator;

bool Emulator::take(const char* name) {
    std::lock_guard<std::mutex> hold(lock);
    if (fault != name) return false;
    fault.clear();
    return true;
}

Buffer::Buffer(int64_t n) : Object(&BufferClass), length(n) {
    data = aligned_alloc(16384, (n + 16383) / 16384 * 16384);
    memset(data, 0, n);
}
Buffer::~Buffer() {
    if (!lent) free(data);
}

int64_t Emulator::limit(const char* name, int64_t usual) {
    auto it = limits.find(name);
    return it == limits.end() ? usual : it->second;
}

int64_t macos() { return emulator.limit("macos", 14); }

// absent reports what the emulated version of macOS does not have yet.
bool absent(SEL selector) {
    static const SEL newest = sel_registerName("setMaxKernelThreadgroupMemoryBindCount:");
    return selector == newest && macos() < 14;
}

namespace {

struct Device : Object {
    Device() : Object(&DeviceClass) {}
    void drop() override {
        std::lock_guard<std::mutex> hold(emulator.lock);
        emulator.gpu = nullptr;
    }
};

// gpu returns the GPU, retained. Metal gives all who ask the same object.
id gpu() {
    if (!emulator.pool) start_alone();
    std::lock_guard<std::mutex> hold(emulator.lock);
    if (emulator.gpu) return objc_retain(emulator.gpu);
    return emulator.gpu = new Device;
}

struct CompileOptions : Object {
    bool fast_math = true;  // Metal's default
    NSUInteger language = 0;
    CompileOptions() : Object(&CompileOptionsClass) {}
};

struct Library : Object {
    const Code* code;
    explicit Library(const Code* c) : Object(&LibraryClass), code(c) {}
};

struct PipelineDescriptor : Object {
    Function* function = nullptr;
    NSUInteger max_threads = 0;
    bool indirect = false;
    id archives = nullptr;
    PipelineDescriptor() : Object(&PipelineDescriptorClass) {}
    void drop() override {
        objc_release(function);
        objc_release(archives);
    }
};

struct ArchiveDescriptor : Object {
    std::string path;
    ArchiveDescriptor() : Object(&ArchiveDescriptorClass) {}
};

struct Archive : Object {
    std::set<std::string> pipelines;
    Archive() : Object(&ArchiveClass) {}
    static std::string key(const PipelineDescriptor* d) { return d->function->code->key + (d->indirect ? " indirect" : ""); }
};

id device_name(id, SEL) { return autorelease(new String("Apple M" + std::to_string(emulator.limit("generation", 3)) + " Pro")); }
bool supports_family(id, SEL, int64_t family) { return family <= emulator.limit("family", 1009); }
uint64_t working_set(id, SEL) { return emulator.limit("working-set", 12ll << 30); }
NSUInteger max_buffer(id, SEL) { return emulator.limit("buffer", 9ll << 30); }
NSUInteger max_threadgroup(id, SEL) { return emulator.limit("threadgroup-memory", 32768); }
bool supports_sampling(id, SEL, NSUInteger point) { return point == 0 && emulator.limit("counter-sampling", 1); }

id new_buffer(id, SEL, NSUInteger length, NSUInteger options) {
    if (length == 0) violation("newBufferWithLength: of zero bytes");
    if (options & ~0x3ffull) violation("newBufferWithLength: with unknown options %lx", (unsigned long)options);
    if (emulator.take("out-of-memory")) return nullptr;
    if ((int64_t)length > emulator.limit("buffer", 9ll << 30)) {
        violation("newBufferWithLength: of %lu bytes, maxBufferLength is less", (unsigned long)length);
        return nullptr;
    }
    Buffer* b = new Buffer((int64_t)length);
    b->is_private = (options & 0xf0) == 0x20;
    return b;
}

id new_buffer_over(id, SEL, void* pages, NSUInteger length, NSUInteger options, id) {
    size_t page = sysconf(_SC_PAGESIZE);
    if ((uintptr_t)pages % page) violation("newBufferWithBytesNoCopy: of a pointer that is not page-aligned");
    else if (length == 0 || length % page) violation("newBufferWithBytesNoCopy: of %lu bytes, not whole pages", (unsigned long)length);
    else if ((options & 0xf0) == 0x20) violation("newBufferWithBytesNoCopy: with private storage");
    else return new Buffer(pages, (int64_t)length);
    return nullptr;
}

id new_library(id, SEL, id source, id options, id* error) {
    if (!alive(source, &NSStringClass, "the source of newLibraryWithSource:")) return nullptr;
    if (!alive(options, &CompileOptionsClass, "the options of newLibraryWithSource:")) return nullptr;
    CompileOptions* o = static_cast<CompileOptions*>(options);
    if (o->fast_math) violation("a library is compiled with fast math");
    if (!o->language) violation("a library is compiled without a language version");
    if (emulator.take("compile-error")) {
        fail(error, 3, "program_source:9:9: warning: unused variable 'x'\n    int x;\n        ^\n"
                       "program_source:12:5: error: use of undeclared identifier 'injected'\n    injected = 1;\n    ^\n");
        return nullptr;
    }
    auto it = emulator.kernels.find(static_cast<String*>(source)->text);
    if (it == emulator.kernels.end()) {
        auto bad = emulator.rejected.find(static_cast<String*>(source)->text);
        fail(error, 3, bad != emulator.rejected.end() ? bad->second : "program_source:1:1: error: the harness did not prepare this text");
        return nullptr;
    }
    return new Library(&it->second);
}

id new_function(id self, SEL, id name) {
    const Code* code = static_cast<Library*>(self)->code;
    if (!alive(name, &NSStringClass, "the name of newFunctionWithName:")) return nullptr;
    return static_cast<String*>(name)->text == code->function ? new Function(code) : nullptr;
}

id new_pipeline(id, SEL, id descriptor, NSUInteger options, id* reflection, id* error) {
    if (!alive(descriptor, &PipelineDescriptorClass, "the pipeline descriptor")) return nullptr;
    PipelineDescriptor* d = static_cast<PipelineDescriptor*>(descriptor);
    if ((options & ~4ull) || reflection) violation("a pipeline is made with reflection that nobody reads");
    if (!d->function) {
        fail(error, 3, "Compute function must be set.");
        return nullptr;
    }
    bool found = false;
    if (d->archives)
        for (id a : static_cast<Array*>(d->archives)->items) found |= static_cast<Archive*>(a)->pipelines.count(Archive::key(d)) != 0;
    if (found) emulator.hits++;
    else if (options & 4) {
        fail(error, 2, "no archive has the pipeline");
        return nullptr;
    }
    NSUInteger n = d->max_threads ? d->max_threads : 1024;
    if (n > 1024) {
        fail(error, 3, "maxTotalThreadsPerThreadgroup exceeds the device's limit of 1024");
        return nullptr;
    }
    return new Pipeline(d->function->code, std::min(n, (NSUInteger)emulator.limit("pipeline-threads", 1024)), d->indirect);
}

id new_pipeline_of(id, SEL, id function, id* error) {
    if (!alive(function, &FunctionClass, "the function of a pipeline")) return nullptr;
    (void)error;
    return new Pipeline(static_cast<Function*>(function)->code, (NSUInteger)emulator.limit("pipeline-threads", 1024), false);
}
void set_function(id self, SEL, id f) {
    PipelineDescriptor* d = static_cast<PipelineDescriptor*>(self);
    if (!alive(f, &FunctionClass, "setComputeFunction:")) return;
    objc_retain(f);
    objc_release(d->function);
    d->function = static_cast<Function*>(f);
}
void set_label(id, SEL, id name) { alive(name, &NSStringClass, "setLabel:"); }
void set_max_threads(id self, SEL, NSUInteger n) { static_cast<PipelineDescriptor*>(self)->max_threads = n; }
void set_indirect(id self, SEL, bool on) { static_cast<PipelineDescriptor*>(self)->indirect = on; }
void set_archives(id self, SEL, id list) {
    PipelineDescriptor* d = static_cast<PipelineDescriptor*>(self);
    if (list && !alive(list, &NSArrayClass, "setBinaryArchives:")) return;
    objc_retain(list);
    objc_release(d->archives);
    d->archives = list;
}
NSUInteger max_total(id self, SEL) { return static_cast<Pipeline*>(self)->max_threads; }
NSUInteger execution_width(id, SEL) { return emulator.limit("lanes", 32); }

void set_fast_math(id self, SEL, bool on) { static_cast<CompileOptions*>(self)->fast_math = on; }
void set_language(id self, SEL, NSUInteger v) { static_cast<CompileOptions*>(self)->language = v; }

id new_archive(id, SEL, id descriptor, id* error) {
    if (!alive(descriptor, &ArchiveDescriptorClass, "the archive descriptor")) return nullptr;
    const std::string& path = static_cast<ArchiveDescriptor*>(descriptor)->path;
    Archive* a = new Archive;
    if (path.empty() && !emulator.take("no-archive")) return a;
    std::ifstream f(path);
    std::string line;
    if (!std::getline(f, line) || line != "EMULATED") {
        fail(error, 1, "the archive cannot be read");
        objc_release(a);
        return nullptr;
    }
    while (std::getline(f, line)) a->pipelines.insert(line);
    return a;
}
void set_archive_url(id self, SEL, id url) {
    ArchiveDescriptor* d = static_cast<ArchiveDescriptor*>(self);
    d->path = url && alive(url, &NSURLClass, "setUrl:") ? static_cast<URL*>(url)->path : "";
}
bool add_to_archive(id self, SEL, id descriptor, id* error) {
    if (!alive(descriptor, &PipelineDescriptorClass, "addComputePipelineFunctionsWithDescriptor:")) return false;
    PipelineDescriptor* d = static_cast<PipelineDescriptor*>(descriptor);
    if (!d->function) {
        fail(error, 1, "the descriptor has no function");
        return false;
    }
    if (emulator.take("archive-full")) {
        fail(error, 1, "the archive is full (injected)");
        return false;
    }
    static_cast<Archive*>(self)->pipelines.insert(Archive::key(d));
    return true;
}
bool save_archive(id self, SEL, id url, id* error) {
    if (!alive(url, &NSURLClass, "serializeToURL:")) return false;
    std::ofstream f(static_cast<URL*>(url)->path);
    f << "EMULATED\n";
    for (const std::string& s : static_cast<Archive*>(self)->pipelines) f << s << "\n";
    f.close();
    if (f) return true;
    fail(error, 1, "the archive cannot be written");
    return false;
}

void* contents(id self, SEL) {
    Buffer* b = static_cast<Buffer*>(self);
    if (!b->is_private) return b->data;
    violation("contents of a private buffer");
    return nullptr;
}

template <class T> Object* make() { return new T; }

}  // namespace

Class DeviceClass("MTLDevice", nullptr, nullptr, {
    minus("name", device_name), minus("supportsFamily:", supports_family), minus("recommendedMaxWorkingSetSize", working_set),
    minus("maxBufferLength", max_buffer), minus("maxThreadgroupMemoryLength", max_threadgroup),
    minus("newCommandQueue", new_queue),
    minus("supportsCounterSampling:", supports_sampling), minus("counterSets", counter_sets), minus("newFence", new_fence),
    minus("sampleTimestamps:gpuTimestamp:", sample_timestamps), minus("newCounterSampleBufferWithDescriptor:error:", new_samples), minus("newBufferWithLength:options:", new_buffer),
    minus("newBufferWithBytesNoCopy:length:options:deallocator:", new_buffer_over),
    minus("newLibraryWithSource:options:error:", new_library),
    minus("newComputePipelineStateWithDescriptor:options:reflection:error:", new_pipeline),
    minus("newComputePipelineStateWithFunction:error:", new_pipeline_of),
    minus("newBinaryArchiveWithDescriptor:error:", new_archive),
    minus("newIndirectCommandBufferWithDescriptor:maxCommandCount:options:", new_indirect)});
Class CompileOptionsClass("MTLCompileOptions", nullptr, make<CompileOptions>,
    {minus("setFastMathEnabled:", set_fast_math), minus("setLanguageVersion:", set_language)});
Class LibraryClass("MTLLibrary", nullptr, nullptr, {minus("newFunctionWithName:", new_function)});
Class FunctionClass("MTLFunction", nullptr, nullptr, {});
Class PipelineDescriptorClass("MTLComputePipelineDescriptor", nullptr, make<PipelineDescriptor>, {
    minus("setComputeFunction:", set_function), minus("setLabel:", set_label), minus("setMaxTotalThreadsPerThreadgroup:", set_max_threads),
    minus("setSupportIndirectCommandBuffers:", set_indirect), minus("setBinaryArchives:", set_archives)});
Class PipelineClass("MTLComputePipelineState", nullptr, nullptr,
    {minus("maxTotalThreadsPerThreadgroup", max_total), minus("threadExecutionWidth", execution_width)});
Class ArchiveDescriptorClass("MTLBinaryArchiveDescriptor", nullptr, make<ArchiveDescriptor>, {minus("setUrl:", set_archive_url)});
Class ArchiveClass("MTLBinaryArchive", nullptr, nullptr,
    {minus("addComputePipelineFunctionsWithDescriptor:error:", add_to_archive), minus("serializeToURL:error:", save_archive)});
Class BufferClass("MTLBuffer", nullptr, nullptr, {minus("contents", contents)});

extern "C" {

id MTLCreateSystemDefaultDevice() { return emulator.limit("default-device", 1) ? gpu() : nullptr; }

id MTLCopyAllDevices() {
    Array* a = new Array;
    a->items.push_back(gpu());
    return a;
}

// ---- the harness's controls

int emulator_start(void* open, void* run, unsigned threads) {
    emulator.open = (foundry_pool * (*)(foundry_u32)) open;
    emulator.run = (int (*)(foundry_pool*, foundry_launch*, foundry_u64, const foundry_options*, foundry_error*))run;
    if (!emulator.pool) emulator.pool = emulator.open(threads);
    return emulator.pool != nullptr;
}

// emulator_kernel registers the code of one text; its slots and threadgroup
// arguments follow by emulator_slot and emulator_array.
void emulator_kernel(const char* text, const char* function, const void* module, unsigned index) {
    std::string key = std::string(function) + " " + std::to_string(std::hash<std::string>()(text));
    emulator.kernels[text] = Code{function, key, (const foundry_module_table*)module, index, {}, {}};
}
void emulator_slot(const char* text, const char* name, int reads, int writes, int64_t bytes) {
    emulator.kernels[text].slots.push_back({name, reads != 0, writes != 0, bytes});
}
void emulator_array(const char* text, int64_t bytes) { emulator.kernels[text].arrays.push_back(bytes); }

void emulator_reject(const char* text, const char* message) { emulator.rejected[text] = message; }

void emulator_fault(const char* name) {
    std::lock_guard<std::mutex> hold(emulator.lock);
    emulator.fault = name;
}
void emulator_hold(int on) {
    std::lock_guard<std::mutex> hold(emulator.lock);
    emulator.held = on != 0;
    emulator.changed.notify_all();
}
// emulator_limit sets what the GPU says of itself; a negative value is the usual one.
void emulator_limit(const char* name, int64_t value) {
    std::lock_guard<std::mutex> hold(emulator.lock);
    if (value < 0) emulator.limits.erase(name);
    else emulator.limits[name] = value;
}
// emulator_nothing stands in for objc_msgSend, to time the caller alone.
uint64_t emulator_nothing() { return 0; }
long emulator_hits() { return emulator.hits; }
void emulator_skip(int on) { emulator.skip_execution = on != 0; }

}  // extern "C"
