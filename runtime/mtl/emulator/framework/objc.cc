#include "objc.h"

#include <condition_variable>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>
#include <set>

namespace {
std::mutex lock;
std::map<std::string, Class*>& registry() {
    static std::map<std::string, Class*> classes;
    return classes;
}
std::set<std::string>& selectors() {
    static std::set<std::string> names;
    return names;
}
std::vector<std::string> notes;
std::deque<id> quarantine;
std::atomic<long> live{0};
long works = 0;
std::condition_variable works_changed;

struct Pool {
    std::vector<id> objects;
};
thread_local std::vector<Pool*> pools;

// What a message to nil or to an unknown method reaches: everything is zero.
uint64_t nothing() { return 0; }
}  // namespace

void work_begins() {
    std::lock_guard<std::mutex> hold(lock);
    works++;
}
void work_ends() {
    std::lock_guard<std::mutex> hold(lock);
    works--;
    works_changed.notify_all();
}

void violation(const char* format, ...) {
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    std::lock_guard<std::mutex> hold(lock);
    if (notes.size() < 100) notes.push_back(text);
}

Object::Object(Class* c) : isa(c) {
    if (c) live++;
}

Class::Class(const char* n, Class* s, Object* (*m)(), std::initializer_list<Method> list)
    : Object(nullptr), name(n), super(s), make(m), methods(list) {
    registry()[n] = this;
}

extern Class NSObjectClass;

extern "C" {

Class* objc_getClass(const char* name) {
    auto it = registry().find(name);
    return it == registry().end() ? nullptr : it->second;
}

SEL sel_registerName(const char* name) {
    std::lock_guard<std::mutex> hold(lock);
    return selectors().insert(name).first->c_str();
}

id objc_retain(id o) {
    if (!o || !o->isa) return o;
    if (o->dead) violation("retain of a released %s", o->isa->name);
    else o->refs++;
    return o;
}

void objc_release(id o) {
    if (!o || !o->isa) return;
    if (o->dead) {
        violation("release of a released %s", o->isa->name);
        return;
    }
    if (--o->refs > 0) return;
    if (pools.empty()) violation("the last release of a %s outside an autorelease pool", o->isa->name);
    o->drop();
    o->dead = true;
    live--;
    id old = nullptr;
    {
        std::lock_guard<std::mutex> hold(lock);
        quarantine.push_back(o);
        if (quarantine.size() > 4096) {
            old = quarantine.front();
            quarantine.pop_front();
        }
    }
    delete old;
}

id objc_alloc_init(Class* c) {
    if (!c || !c->make) {
        violation("alloc of %s, whose objects others make", c ? c->name : "nil");
        return nullptr;
    }
    return c->make();
}

void* objc_autoreleasePoolPush() {
    Pool* p = new Pool;
    pools.push_back(p);
    return p;
}

void objc_autoreleasePoolPop(void* pool) {
    if (pools.empty() || pools.back() != pool) {
        violation("an autorelease pool is popped on another thread, or out of order");
        return;
    }
    Pool* p = pools.back();
    while (!p->objects.empty()) {  // what goes may autorelease more
        id o = p->objects.back();
        p->objects.pop_back();
        objc_release(o);
    }
    pools.pop_back();
    delete p;
}

// find returns the method of a class, or of all classes; null: it has none.
static IMP find(Class* c, SEL selector, bool is_static) {
    if (absent(selector)) return nullptr;
    for (Class* k = c; k; k = k->super)
        for (const Method& m : k->methods)
            if (m.is_static == is_static && !strcmp(m.selector, selector)) return m.imp;
    return c == &NSObjectClass ? nullptr : find(&NSObjectClass, selector, is_static);
}

// emulator_lookup finds what self does for a selector; objc_msgSend calls it with
// the message's arguments saved.
IMP emulator_lookup(id self, SEL selector) {
    if (!self) {
        violation("message %s to nil", selector);
        return (IMP)nothing;
    }
    bool is_class = self->isa == nullptr;
    Class* c = is_class ? static_cast<Class*>(self) : self->isa;
    if (self->dead) {
        violation("use after release: -[%s %s]", c->name, selector);
        return (IMP)nothing;
    }
    // Any message may leave autoreleased objects behind, and some do only in drivers
    // that nobody has tested with.
    if (pools.empty()) violation("%c[%s %s] outside an autorelease pool", is_class ? '+' : '-', c->name, selector);
    // As in a real runtime, what was found is found again at once.
    struct Found {
        Class* c;
        SEL selector;
        bool is_class;
        IMP imp;
    };
    static thread_local Found cache[256];
    Found& f = cache[((uintptr_t)c / 64 ^ (uintptr_t)selector / 16) % 256];
    if (f.c == c && f.selector == selector && f.is_class == is_class && !absent(selector)) return f.imp;
    if (IMP imp = find(c, selector, is_class)) {
        f = {c, selector, is_class, imp};
        return imp;
    }
    violation("unknown selector %c[%s %s]", is_class ? '+' : '-', c->name, selector);
    return (IMP)nothing;
}

long emulator_live() {
    std::unique_lock<std::mutex> hold(lock);
    works_changed.wait(hold, [] { return works == 0; });
    return live;
}

// emulator_pools is how many pools are open on the calling thread.
long emulator_pools() { return (long)pools.size(); }

// emulator_violations copies the notes, one a line, and forgets them.
long emulator_violations(char* out, long bytes) {
    std::lock_guard<std::mutex> hold(lock);
    std::string all;
    for (const std::string& n : notes) all += n + "\n";
    notes.clear();
    long n = (long)all.size() < bytes - 1 ? (long)all.size() : bytes - 1;
    memcpy(out, all.data(), n);
    out[n] = 0;
    return n;
}

}  // extern "C"

// objc_msgSend jumps to the method with every argument register and the stack as
// the caller left them.
#if defined(__x86_64__)
__asm__(R"(
.text
.globl objc_msgSend
.type objc_msgSend, @function
objc_msgSend:
    pushq %rbp
    movq %rsp, %rbp
    subq $192, %rsp
    movq %rdi, 0(%rsp)
    movq %rsi, 8(%rsp)
    movq %rdx, 16(%rsp)
    movq %rcx, 24(%rsp)
    movq %r8, 32(%rsp)
    movq %r9, 40(%rsp)
    movq %rax, 48(%rsp)
    movups %xmm0, 64(%rsp)
    movups %xmm1, 80(%rsp)
    movups %xmm2, 96(%rsp)
    movups %xmm3, 112(%rsp)
    movups %xmm4, 128(%rsp)
    movups %xmm5, 144(%rsp)
    movups %xmm6, 160(%rsp)
    movups %xmm7, 176(%rsp)
    call emulator_lookup@PLT
    movq %rax, %r11
    movq 0(%rsp), %rdi
    movq 8(%rsp), %rsi
    movq 16(%rsp), %rdx
    movq 24(%rsp), %rcx
    movq 32(%rsp), %r8
    movq 40(%rsp), %r9
    movq 48(%rsp), %rax
    movups 64(%rsp), %xmm0
    movups 80(%rsp), %xmm1
    movups 96(%rsp), %xmm2
    movups 112(%rsp), %xmm3
    movups 128(%rsp), %xmm4
    movups 144(%rsp), %xmm5
    movups 160(%rsp), %xmm6
    movups 176(%rsp), %xmm7
    leave
    jmp *%r11
)");
#elif defined(__aarch64__)
__asm__(R"(
.text
.globl objc_msgSend
objc_msgSend:
    stp x29, x30, [sp, #-224]!
    mov x29, sp
    stp x0, x1, [sp, #16]
    stp x2, x3, [sp, #32]
    stp x4, x5, [sp, #48]
    stp x6, x7, [sp, #64]
    str x8, [sp, #80]
    stp q0, q1, [sp, #96]
    stp q2, q3, [sp, #128]
    stp q4, q5, [sp, #160]
    stp q6, q7, [sp, #192]
    bl emulator_lookup
    mov x9, x0
    ldp x0, x1, [sp, #16]
    ldp x2, x3, [sp, #32]
    ldp x4, x5, [sp, #48]
    ldp x6, x7, [sp, #64]
    ldr x8, [sp, #80]
    ldp q0, q1, [sp, #96]
    ldp q2, q3, [sp, #128]
    ldp q4, q5, [sp, #160]
    ldp q6, q7, [sp, #192]
    ldp x29, x30, [sp], #224
    br x9
)");
#else
#error "the emulated framework knows x86-64 and arm64"
#endif

id autorelease(id o) {
    if (pools.empty()) {
        violation("a %s is autoreleased outside a pool and leaks", o->isa->name);
        return o;
    }
    pools.back()->objects.push_back(o);
    return o;
}

bool alive(id o, Class* want, const char* what) {
    if (!o) {
        violation("%s is nil", what);
        return false;
    }
    if (o->dead) {
        violation("%s is a released %s", what, o->isa->name);
        return false;
    }
    for (Class* c = o->isa; c; c = c->super)
        if (c == want) return true;
    violation("%s is a %s, wants a %s", what, o->isa->name, want->name);
    return false;
}

// ---- the part of Foundation that Metal's calls take and give

namespace {
id string_with(id, SEL, const char* s, NSUInteger encoding) {
    if (encoding != 4) violation("stringWithCString: with an encoding other than UTF-8");
    return autorelease(new String(s));
}
id string_with_utf8(id, SEL, const char* s) { return autorelease(new String(s)); }
const char* utf8(id self, SEL) { return static_cast<String*>(self)->text.c_str(); }
id description(id self, SEL) { return autorelease(new String(static_cast<Error*>(self)->text)); }
int64_t code(id self, SEL) { return static_cast<Error*>(self)->code; }
NSUInteger count(id self, SEL) { return static_cast<Array*>(self)->items.size(); }
id object_at(id self, SEL, NSUInteger i) {
    Array* a = static_cast<Array*>(self);
    if (i < a->items.size()) return a->items[i];
    violation("objectAtIndex: %lu of %zu", (unsigned long)i, a->items.size());
    return nullptr;
}
id array_with(id, SEL, id o) {
    Array* a = new Array;
    a->items.push_back(objc_retain(o));
    return autorelease(a);
}
id retain(id self, SEL) { return objc_retain(self); }
void release(id self, SEL) { objc_release(self); }
id autoreleased(id self, SEL) { return autorelease(self); }
id made(id self, SEL) { return objc_alloc_init(static_cast<Class*>(self)); }
id itself(id self, SEL) { return self; }
bool responds(id self, SEL, SEL selector) { return find(self->isa, selector, false); }
id process_info(id, SEL) { return autorelease(new Object(objc_getClass("NSProcessInfo"))); }
id system_version(id, SEL) { return autorelease(new String("Version " + std::to_string(macos()) + ".0 (emulated)")); }
id file_url(id, SEL, id path) {
    if (!alive(path, &NSStringClass, "the path of fileURLWithPath:")) return nullptr;
    return autorelease(new URL(static_cast<String*>(path)->text));
}
}  // namespace

Class NSStringClass("NSString", nullptr, nullptr,
                    {plus("stringWithCString:encoding:", string_with), plus("stringWithUTF8String:", string_with_utf8), minus("UTF8String", utf8)});
Class NSErrorClass("NSError", nullptr, nullptr, {minus("localizedDescription", description), minus("code", code)});
Class NSArrayClass("NSArray", nullptr, nullptr,
                   {plus("arrayWithObject:", array_with), minus("count", count), minus("objectAtIndex:", object_at)});
Class NSURLClass("NSURL", nullptr, nullptr, {plus("fileURLWithPath:", file_url)});
Class NSObjectClass("NSObject", nullptr, nullptr, {minus("respondsToSelector:", responds), minus("retain", retain), minus("release", release),
                     minus("autorelease", autoreleased), plus("alloc", made), plus("new", made), minus("init", itself)});
static Class ProcessInfoClass("NSProcessInfo", nullptr, nullptr,
    {plus("processInfo", process_info), minus("operatingSystemVersionString", system_version)});

String::String(std::string s) : Object(&NSStringClass), text(std::move(s)) {}
Error::Error(std::string s, int64_t c) : Object(&NSErrorClass), text(std::move(s)), code(c) {}
Array::Array() : Object(&NSArrayClass) {}
void Array::drop() {
    for (id o : items) objc_release(o);
    items.clear();
}
// A constant of a framework is none of the user's objects: it is not counted.
static String* constant(const char* text) {
    String* s = new String(text);
    live--;
    return s;
}
extern "C" {
extern const id MTLCommonCounterSetTimestamp;
const id MTLCommonCounterSetTimestamp = constant("timestamp");
}
URL::URL(std::string s) : Object(&NSURLClass), path(std::move(s)) {}

void fail(id* out, int64_t code, const std::string& text) {
    if (out) *out = autorelease(new Error(text, code));
}
