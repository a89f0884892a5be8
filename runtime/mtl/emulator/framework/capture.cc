// Captures: a trace here is a file that says how many command buffers were
// committed while it was taken.
#include "metal.h"

namespace {

struct CaptureDescriptor : Object {
    id object = nullptr, url = nullptr;
    int64_t to = 1;  // the developer tools: Metal's default
    CaptureDescriptor();
    void drop() override {
        objc_release(object);
        objc_release(url);
    }
};

// The one manager, which is no object of the user's: it is not counted.
struct Manager : Object {
    std::string path;
    long before = 0;
    Manager() : Object(nullptr) {}
};

Object* make_capture_descriptor() { return new CaptureDescriptor; }
void set_object(id self, SEL, id o) {
    if (alive(o, &DeviceClass, "setCaptureObject:")) static_cast<CaptureDescriptor*>(self)->object = objc_retain(o);
}
void set_destination(id self, SEL, int64_t to) { static_cast<CaptureDescriptor*>(self)->to = to; }
void set_url(id self, SEL, id url) {
    if (alive(url, &NSURLClass, "setOutputURL:")) static_cast<CaptureDescriptor*>(self)->url = objc_retain(url);
}

extern Class ManagerClass;
id shared(id, SEL) {
    static Manager* manager = [] {
        Manager* m = new Manager;
        m->isa = &ManagerClass;
        m->refs = 1 << 30;
        return m;
    }();
    return manager;
}
bool start(id self, SEL, id descriptor, id* error) {
    Manager* m = static_cast<Manager*>(self);
    CaptureDescriptor* d = static_cast<CaptureDescriptor*>(descriptor);
    if (!d->object || !d->url || d->to != 2) violation("a capture without an object, a place or a document");
    if (!m->path.empty()) violation("startCapture while one is taken");
    if (!emulator.limit("capture", 0)) {
        fail(error, 1, "Capturing is not supported. Please set MTL_CAPTURE_ENABLED=1");
        return false;
    }
    m->path = static_cast<URL*>(d->url)->path;
    m->before = emulator.committed;
    return true;
}
// is_capturing also says so where a test has somebody else capture.
bool is_capturing(id self, SEL) { return !static_cast<Manager*>(self)->path.empty() || emulator.limit("capturing", 0); }
void stop(id self, SEL) {
    Manager* m = static_cast<Manager*>(self);
    if (m->path.empty()) violation("stopCapture while none is taken");
    else if (FILE* f = fopen(m->path.c_str(), "w")) {
        fprintf(f, "%ld command buffers\n", emulator.committed - m->before);
        fclose(f);
    }
    m->path.clear();
}

Class ManagerClass("MTLCaptureManager", nullptr, nullptr, {
    plus("sharedCaptureManager", shared), minus("startCaptureWithDescriptor:error:", start), minus("stopCapture", stop),
    minus("isCapturing", is_capturing)});
Class DescriptorClass("MTLCaptureDescriptor", nullptr, make_capture_descriptor, {
    minus("setCaptureObject:", set_object), minus("setDestination:", set_destination), minus("setOutputURL:", set_url)});

CaptureDescriptor::CaptureDescriptor() : Object(&DescriptorClass) {}

}  // namespace
