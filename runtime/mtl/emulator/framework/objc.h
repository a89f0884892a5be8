// An Objective-C runtime as small as runtime/mtl needs: objects with retain
// counts, classes with tables of methods, autorelease pools, objc_msgSend. It is
// strict: what a real runtime would crash on, or quietly accept, is noted as a
// violation that the test reads.
#pragma once

#include <atomic>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <initializer_list>
#include <string>
#include <vector>

typedef uint64_t NSUInteger;
typedef const char* SEL;  // interned: equal names are equal pointers
typedef void (*IMP)();

struct Class;

struct Object {
    Class* isa;
    std::atomic<int> refs{1};
    bool dead = false;  // released to zero: kept for a while so that a late use is seen
    explicit Object(Class* c);
    virtual ~Object() {}
    virtual void drop() {}  // gives back what it holds when the last reference goes
};
typedef Object* id;

struct Method {
    bool is_static;
    const char* selector;
    IMP imp;
};

struct Class : Object {
    const char* name;
    Class* super;
    Object* (*make)();  // for objc_alloc_init; null: cannot be made so
    std::vector<Method> methods;
    Class(const char* name, Class* super, Object* (*make)(), std::initializer_list<Method> methods);
};

template <class F> Method plus(const char* selector, F f) { return {true, selector, (IMP)f}; }
template <class F> Method minus(const char* selector, F f) { return {false, selector, (IMP)f}; }

extern "C" {
id objc_retain(id);
void objc_release(id);
void* objc_autoreleasePoolPush();
SEL sel_registerName(const char*);
void objc_autoreleasePoolPop(void*);
}
id autorelease(id);
// Work of another thread, which lets go of objects at its end: emulator_live waits
// for it.
void work_begins();
void work_ends();
// The version of macOS that is emulated, and the selectors that it lacks.
int64_t macos();
bool absent(SEL selector);
// violation notes one line; the test reads it with emulator_violations.
void violation(const char* format, ...) __attribute__((format(printf, 1, 2)));
// as returns o as a T, or null with a violation when it is dead or of another class.
bool alive(id o, Class* want, const char* what);

struct String : Object {
    std::string text;
    explicit String(std::string s);
};
struct Error : Object {
    std::string text;
    int64_t code;
    Error(std::string s, int64_t code);
};
struct Array : Object {
    std::vector<id> items;
    Array();
    void drop() override;
};
struct URL : Object {
    std::string path;
    explicit URL(std::string s);
};
extern Class NSStringClass, NSErrorClass, NSArrayClass, NSURLClass;
// fail stores an autoreleased NSError where out is not null.
void fail(id* out, int64_t code, const std::string& text);
